/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "store/registries.h"

/*
 * Credentials for registries where docker, podman and skopeo keep them, so that a login with one of
 * them counts for all (containers-auth.json(5); docker's config.json).
 *
 * Asked are, in their order, the `credential-helpers` of containers-registries.conf(5): programs,
 * which get the name of the registry ("docker.io"), and "containers-auth.json", which is also all
 * that there is when none are set, and stands for the files below. The first that has credentials
 * wins. What fails is passed over; when none of the others has any, what each of them said is the
 * error. So a file that the caller names takes the place of the files, and not of the helpers.
 *
 * Of the files are read, in this order:
 *
 *   the file that the caller names (--authfile), otherwise $REGISTRY_AUTH_FILE; then nothing else,
 *       and it has to be there
 *   ${XDG_RUNTIME_DIR}/containers/auth.json; root without that variable:
 * /run/containers/0/auth.json
 *   ${XDG_CONFIG_HOME:-~/.config}/containers/auth.json
 *   ${DOCKER_CONFIG:-~/.docker}/config.json
 *
 * The first that has credentials wins. ~/.dockercfg, which docker gave up in 2015, is not read. In
 * a file come first the program that `credHelpers` names for the registry (whose word is final for
 * the file; an empty name means `auths`), then `credsStore`, then `auths`: "registry/a/b",
 * "registry/a", "registry", and last the URLs that docker wrote as keys ("https://registry/v1/").
 * Docker's registry goes by docker.io, index.docker.io, registry-1.docker.io and
 * "https://index.docker.io/v1/".
 *
 * A file may have CREDENTIALS_FILE_LIMIT_BYTES; an empty one holds nothing. That others may read it
 * is no error, as with docker. Nothing of a secret is ever in an error; what held one is wiped.
 * Everything here blocks: on files, on the lock of a parallel login, and on helpers.
 *
 * Errors: "BadAuthFile" (-EINVAL) with path and place, "NotFound" for a named file that is missing,
 * "BadRegistry" (-EINVAL), "BadCredential" (-EINVAL), those of credential_helper.h and of files.
 */
#define CREDENTIALS_FILE_LIMIT_BYTES (1 << 20)

/* Heap strings. Either username and password are there (one of them may be empty), or the identity
 * token, or all three; then the token is what to use. */
struct credential {
    char *username, *password;
    char *identity_token; /* an OAuth2 refresh token, to be turned into an access token */
};

/* Wipes and frees; leaves NULL. */
void credential_done(struct credential *c);

struct credentials_options {
    const char *authfile;                /* or NULL */
    const struct registries *registries; /* their credential helpers; NULL: the files alone */
    int64_t helper_timeout_ms;           /* 0: 30 s */
};

/*
 * The credentials for `repository` ("library/alpine", or NULL for the registry as such) of
 * `registry` ("docker.io", "localhost:5000"): 1 with *ret filled, which the caller releases, or 0.
 */
int credentials_find(const struct credentials_options *o, const char *registry,
                     const char *repository, struct credential *ret, struct err *e);

/*
 * The file that store and erase change unless helpers are set, the one that podman's login writes:
 * the named one, otherwise the one below XDG_RUNTIME_DIR (root without it: /run/containers/0),
 * otherwise
 * ${XDG_CONFIG_HOME:-~/.config}/containers/auth.json. Heap.
 */
int credentials_path(const struct credentials_options *o, char **ret, struct err *e);

/*
 * Keeps credentials for `registry`, which may have a path ("quay.io/team"), with the first of the
 * credential helpers that takes them. For the files that is the helper that the file of
 * credentials_path() names for the registry, otherwise this file itself (0600, its folder 0700),
 * which is replaced as a whole and keeps all else that is in it. A parallel call waits. Helpers
 * know no paths. *ret_where is for people, heap.
 */
int credentials_store(const struct credentials_options *o, const char *registry,
                      const struct credential *c, char **ret_where, struct err *e);

/* Forgets what each of the credential helpers has for `registry`; that file, and the helper that it
 * names, under each of its names: 1, or 0 when there was nothing. What fails is an error when all
 * have been asked. */
int credentials_erase(const struct credentials_options *o, const char *registry, struct err *e);
