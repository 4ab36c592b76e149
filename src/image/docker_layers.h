/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "base/util.h"
#include "image/tarball.h"

/*
 * The layers of an archive that docker before 25 wrote (moby, image/tarexport/save.go): files
 * ID/layer.tar, whose ID is no digest of theirs. A layer that is in it already is a symbolic link
 * ("../ID/layer.tar"), which may come before what it leads to; hard links are followed too. Links
 * that podman writes, ID/layer.tar to HEX.tar, are in the way of nobody.
 */
struct docker_layers;

struct docker_layers *docker_layers_new(void);
void docker_layers_free(struct docker_layers *l);
DEFINE_AUTO(docker_layers);

/* Whether an entry is such a layer, by its name. */
bool docker_layer_is(const char *name);

/* Notes one; of a file what it has, otherwise NULL. "TooLarge": there are too many. */
int docker_layers_add(struct docker_layers *l, const struct tarball_entry *t,
                      const struct digest *content, struct err *e);

/* What is behind this name, over links inside of the archive. "BadImage" (-EINVAL): nothing, or
 * something else. After the first call nothing is to be added. */
int docker_layers_find(struct docker_layers *l, const char *name, struct digest *ret,
                       struct err *e);
