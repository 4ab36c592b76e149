/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_peers.h"

#include <grp.h>
#include <pwd.h>

#include "base/clock.h"

#define AGE_NS 60000000000ull
enum { REMEMBERED = 32, GROUPS_LIMIT = 1024 };

struct api_peers {
    char *group;
    struct known {
        uid_t uid;
        bool is_member;
        uint64_t until_ns; /* 0: nobody */
    } known[REMEMBERED];
    size_t next; /* to be forgotten */
};

struct api_peers *api_peers_new(const char *group)
{
    struct api_peers *p = xcalloc(1, sizeof(*p));

    p->group = group ? xstrdup(group) : NULL;
    return p;
}

void api_peers_free(struct api_peers *p)
{
    if (!p)
        return;
    free(p->group);
    free(p);
}

static bool is_member(const char *group, uid_t uid, gid_t gid)
{
    const struct group *g = getgrnam(group);
    gid_t wanted, groups[GROUPS_LIMIT];
    const struct passwd *user;
    int n = GROUPS_LIMIT;

    if (!g)
        return false;
    wanted = g->gr_gid;
    if (gid == wanted)
        return true;
    user = getpwuid(uid);
    if (!user || getgrouplist(user->pw_name, user->pw_gid, groups, &n) < 0)
        return false;
    for (int i = 0; i < n; i++)
        if (groups[i] == wanted)
            return true;
    return false;
}

bool api_peers_allow(struct api_peers *p, uid_t uid, gid_t gid)
{
    uint64_t now = clock_monotonic_ns();
    struct known *k;

    if (uid == 0 || uid == geteuid())
        return true;
    if (!p->group)
        return false;
    for (size_t i = 0; i < REMEMBERED; i++)
        if (p->known[i].until_ns > now && p->known[i].uid == uid)
            return p->known[i].is_member;
    k = &p->known[p->next++ % REMEMBERED];
    *k = (struct known){uid, is_member(p->group, uid, gid), now + AGE_NS};
    return k->is_member;
}
