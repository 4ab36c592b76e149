/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/err.h"
#include "base/strv.h"
#include "base/text.h"
#include "store/reference.h"

/*
 * How the registries of names are found and reached: what containers-registries.conf(5) and
 * containers-registries.conf.d(5) say, so that what is set for podman, buildah and skopeo counts
 * here too. Read are, each over what came before it:
 *
 *   $CONTAINERS_REGISTRIES_CONF, which has to be there then, otherwise
 *       ~/.config/containers/registries.conf, otherwise /etc/containers/registries.conf
 *   /etc/containers/registries.conf.d/(name).conf by name, unless the file was the user's
 *   ~/.config/containers/registries.conf.d/(name).conf by name
 *   /var/cache/containers/short-name-aliases.conf, for others than root
 *       ${XDG_CACHE_HOME:-~/.cache}/containers/short-name-aliases.conf: what podman has asked for
 *
 * Version 1 of the format is refused.
 */

/* When a mirror is asked (pull-from-mirror). */
enum registry_use { REGISTRY_USE_ALL, REGISTRY_USE_DIGEST, REGISTRY_USE_TAG };

struct registry_mirror {
    char *location;
    bool is_insecure;
    enum registry_use use;
};

/* [[registry]]: what counts for the names that begin with the prefix. */
struct registry_rule {
    char *place;    /* "FILE:LINE", for messages */
    char *prefix;   /* HOST[/PATH...][:TAG|@DIGEST], or *.DOMAIN */
    char *location; /* in place of the prefix; NULL: the name stays as it is (*.DOMAIN only) */
    bool is_insecure, is_blocked;
    struct registry_mirror *mirrors;
    size_t n_mirrors;
};

enum short_name_mode { SHORT_NAME_PERMISSIVE, SHORT_NAME_ENFORCING, SHORT_NAME_DISABLED };

struct registries {
    struct registry_rule *rules;
    size_t n_rules;
    struct strv search; /* registries for names without one, in this order */
    enum short_name_mode mode;
    struct strv aliases, targets; /* by index; an empty target: there is no such alias any more */
    struct strv helpers;  /* credential-helpers, in this order; none: REGISTRIES_AUTH_FILES */
    char *helpers_place;  /* "FILE:LINE" of these; NULL: there are none */
    struct strv warnings; /* what was passed over, with its place */
};

/* Among the credential helpers: the files of containers-auth.json(5). */
#define REGISTRIES_AUTH_FILES "containers-auth.json"

/* "BadRegistriesConf" (-EINVAL) with file and line; "BadToml"; those of files. */
int registries_read(struct registries *ret, struct err *e);
void registries_done(struct registries *c);
#define autoregistries __attribute__((cleanup(registries_done))) struct registries

/* Puts what one file says over what is there. */
int registries_add(struct registries *c, struct text text, const char *path, struct err *e);

/* ---- Short names ---- */

enum registries_names_for {
    NAMES_TO_FETCH, /* the registries to ask */
    NAMES_STORED,   /* the store to search: also a name of docker.io, as images are tagged with */
};

/*
 * The names in full that `text` may stand for, in the order in which they are to be tried; never
 * none. A name with a host is that name. One without is its alias; else it is one of the search
 * registries; else, without any, of docker.io.
 *
 * "BadReference"; "AmbiguousName" (-EINVAL) when there are several search registries and
 * short-name-mode is "enforcing" (nobody is asked here).
 */
int registries_names(const struct registries *c, const char *text, enum registries_names_for what,
                     struct strv *ret, struct err *e);

/* ---- Where an image is ---- */

struct registry_source {
    struct reference reference; /* what to ask for there */
    bool is_insecure;           /* any certificate will do, and plain HTTP where there is no TLS */
};

struct registry_sources {
    struct registry_source *v;
    size_t n;
};
void registry_sources_done(struct registry_sources *s);
#define autosources __attribute__((cleanup(registry_sources_done))) struct registry_sources

/* Where to ask for the image, mirrors first; never none. "RegistryBlocked" (-EPERM). */
int registries_sources(const struct registries *c, const struct reference *r,
                       struct registry_sources *ret, struct err *e);

/* For what mirrors and locations do not count, such as a push: whether the registry of the name may
 * be spoken to at all ("RegistryBlocked"), and how. */
int registries_direct(const struct registries *c, const struct reference *r, bool *ret_is_insecure,
                      struct err *e);
