/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/json.h"
#include "image/credentials.h"

/*
 * One auth.json or config.json: what is in it for a registry, and its text with something changed.
 * credentials.h says how keys are matched. Registries are given by reference_registry().
 */
struct auth_file {
    char *path;
    struct buf text; /* the lists point into it */
    struct json_members root, auths, helpers;
};

/* 1 with *ret filled; 0 when there is no such file, and *ret is an empty one then. */
int auth_file_read(const char *path, struct auth_file *ret, struct err *e);
void auth_file_done(struct auth_file *f);

/* The program that keeps the credentials of a registry. */
struct auth_helper {
    char *name;
    char *server;  /* what the helper knows the registry by */
    bool is_store; /* for all registries (credsStore), not for this one (credHelpers) */
};

/* 1 with *ret filled, or 0. */
int auth_file_helper(const struct auth_file *f, const char *registry, struct auth_helper *ret,
                     struct err *e);
void auth_helper_done(struct auth_helper *h);

/* What `auths` has: 1 with *ret filled, or 0. */
int auth_file_find(const struct auth_file *f, const char *registry, const char *repository,
                   struct credential *ret, struct err *e);

/* The text of the file with this entry, or with none under the key for a NULL credential. The
 * result is 0 when nothing is different. *ret is empty before; the caller wipes it. */
int auth_file_edit(const struct auth_file *f, const char *key, const struct credential *c,
                   struct buf *ret, struct err *e);
