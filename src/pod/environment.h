/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/strv.h"
#include "pod/fields.h"
#include "pod/objects.h"

/*
 * The variables of a container, by Kubernetes' rules (pkg/kubelet/kubelet_pods.go,
 * makeEnvironment): everything of `envFrom` first, then `env`; of two with one name the later value
 * counts, in the place of the earlier. HOSTNAME is added unless the spec has it. There are no
 * variables of services.
 *
 * Every failure has the reason "CreateContainerConfigError": the kubelet's word for a container
 * that waits until what it refers to is there.
 */
#define ENVIRONMENT_REASON      "CreateContainerConfigError"
#define ENVIRONMENT_LIMIT       4096       /* variables */
#define ENVIRONMENT_LIMIT_BYTES (1u << 20) /* names and values together; and words of a command */

/*
 * NAME=VALUE, valid UTF-8. `ret_notes` gets a sentence for each object of which keys were skipped,
 * as they are no names of variables: the event InvalidEnvironmentVariableNames. On the loop's
 * thread, as `o` asks.
 */
int environment_make(const struct pod_fields *f, const struct pod_container *c,
                     const struct pod_objects *o, struct strv *ret, struct strv *ret_notes,
                     struct err *e);

/*
 * Replaces $(NAME) by the variable; $$ is $, and what is unknown or not closed stays as it is.
 * (third_party/forked/golang/expansion.) More than the limit, of bytes or of references, is -E2BIG.
 */
int environment_expand(const char *text, const struct strv *env, struct buf *out, struct err *e);

/* Of a command or of its arguments. */
int environment_words(const struct pod_words *words, const struct strv *env, struct strv *ret,
                      struct err *e);

/* The same for a subPathExpr, where what is unknown is an error. */
int environment_path(const char *text, const struct strv *env, struct buf *out, struct err *e);
