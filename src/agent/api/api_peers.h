/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "base/util.h"

/*
 * Who may use the API: uid 0, this process's user, and members of a group. To look up somebody's
 * groups may take long, so that what was found is remembered for a minute.
 */
struct api_peers;

struct api_peers *api_peers_new(const char *group); /* NULL, or one that there is not: no group */
void api_peers_free(struct api_peers *p);
bool api_peers_allow(struct api_peers *p, uid_t uid, gid_t gid);
