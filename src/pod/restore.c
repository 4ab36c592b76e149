/* SPDX-License-Identifier: Apache-2.0 */
/* What an earlier supervisor has left: records, and folders of pods that are gone. */
#include <dirent.h>
#include <fcntl.h>

#include "base/fds.h"
#include "base/paths.h"
#include "pod/pod_internal.h"
#include "pod/volumes/tree.h"

struct restored {
    char *uid;
    struct buf record;
    int r; /* of reading it; -ENOENT: there is none */
    struct err e;
};

struct restore {
    struct pods *set;
    struct strv states, memories, logs; /* names of folders that were there */
    struct strv groups;                 /* attempts that had control groups */
    struct restored *v;
    size_t n;
};

/* ---- In the work pool ---- */

static void names_read(const char *dir, struct strv *ret)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;

    while (d && (entry = readdir(d)))
        if (entry->d_name[0] != '.')
            strv_add(ret, entry->d_name);
    if (d)
        closedir(d);
}

static void record_read(const struct pods *s, struct restored *r)
{
    autofree char *path = xasprintf("%s/pods/%s/record.json", s->o.state_dir, r->uid);

    r->r = file_read(path, POD_RECORD_LIMIT_BYTES, &r->record, &r->e);
}

static void all_read(void *ctx)
{
    struct restore *r = ctx;
    const struct pods *s = r->set;
    autofree char *states = path_join(s->o.state_dir, "pods");

    names_read(states, &r->states);
    names_read(s->o.logs_dir, &r->logs);
    cpu_limits_list(s->cpu, &r->groups);
    if (s->o.memory_dir) {
        autofree char *memories = path_join(s->o.memory_dir, "pods");

        names_read(memories, &r->memories);
    }
    for (size_t i = 0; i < r->n; i++)
        record_read(s, &r->v[i]);
}

static void below_remove(const char *dir, const char *name)
{
    autofd fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err ignored = ERR_INIT;

    /* What cannot be removed is there at the next start. */
    if (fd >= 0)
        tree_remove(fd, name, &ignored);
}

static void strangers_remove(void *ctx)
{
    struct restore *r = ctx;
    const struct pods *s = r->set;
    autofree char *states = path_join(s->o.state_dir, "pods");
    struct err ignored = ERR_INIT;

    for (size_t i = 0; i < r->states.n; i++) {
        volumes_remove(&s->places, r->states.v[i], &ignored);
        below_remove(states, r->states.v[i]);
    }
    for (size_t i = 0; i < r->memories.n; i++)
        volumes_remove(&s->places, r->memories.v[i], &ignored);
    for (size_t i = 0; i < r->logs.n; i++)
        below_remove(s->o.logs_dir, r->logs.v[i]);
}

/* ---- On the loop's thread ---- */

static void restore_free(void *ctx)
{
    struct restore *r = ctx;

    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].uid);
        buf_done(&r->v[i].record);
    }
    free(r->v);
    strv_done(&r->states);
    strv_done(&r->memories);
    strv_done(&r->logs);
    strv_done(&r->groups);
    pods_unref(r->set);
    free(r);
}

static void record_use(struct pod *p, struct restored *r)
{
    struct pod_machine *m;

    if (r->r == -ENOENT)
        return;
    if (r->r >= 0)
        r->r =
            pod_machine_decode(p->spec, pod_now(), buf_str(&r->record), r->record.len, &m, &r->e);
    if (r->r >= 0) {
        pod_machine_free(p->m);
        p->m = m;
        return;
    }
    /* What it was, and whether it had ended, nobody knows: it must not run again. */
    pod_begin(p);
    pod_event(p, NULL, true, "BadRecord", "the record of the pod cannot be read: %s", r->e.msg);
    if (!p->is_closed)
        pod_fail(p, "BadRecord", r->e.msg);
}

/* The names that no pod has. Nothing was made since they were read, as nothing has begun. */
static struct strv strangers(struct strv *names, const struct strv *known)
{
    struct strv left = STRV_INIT;

    for (size_t i = 0; i < names->n; i++)
        if (!strv_contains(known, names->v[i]))
            strv_add(&left, names->v[i]);
    strv_done(names);
    return left;
}

static void strangers_find(struct restore *r)
{
    autostrv uids = STRV_INIT, logs = STRV_INIT;
    struct pod *p;

    LINK_EACH(p, &r->set->pods, struct pod, in_set)
    {
        strv_add(&uids, p->spec->uid);
        strv_add_owned(&logs, pod_log_folder(p->spec));
    }
    r->states = strangers(&r->states, &uids);
    r->memories = strangers(&r->memories, &uids);
    r->logs = strangers(&r->logs, &logs);
}

/* Those of attempts that nobody claimed. */
static void groups_end(const struct restore *r)
{
    autostrv claimed = STRV_INIT;
    struct pod *p;

    LINK_EACH(p, &r->set->pods, struct pod, in_set)
    for (size_t i = 0; i < p->spec->n_containers; i++)
        if (p->runs[i].container)
            strv_add(&claimed, container_id(p->runs[i].container));
    for (size_t i = 0; i < r->groups.n; i++)
        if (!strv_contains(&claimed, r->groups.v[i]))
            cpu_limits_end(r->set->cpu, r->groups.v[i]);
}

static void all_known(void *ctx)
{
    struct restore *r = ctx;
    struct pods *s = r->set;

    for (size_t i = 0; i < r->n && !s->is_closed; i++) {
        struct pod *p = pods_find(s, r->v[i].uid);

        if (p)
            record_use(p, &r->v[i]);
    }
    if (s->is_closed) {
        restore_free(r);
        return;
    }
    strangers_find(r);
    pods_restored(s);
    groups_end(r);
    loop_work(s->o.loop, strangers_remove, restore_free, r);
}

void restore_start(struct pods *s)
{
    struct restore *r = xcalloc(1, sizeof(*r));
    struct pod *p;

    r->set = s;
    s->refs++;
    r->v = xcalloc(s->n_pods + 1, sizeof(*r->v));
    LINK_EACH(p, &s->pods, struct pod, in_set)
    r->v[r->n++].uid = xstrdup(p->spec->uid);
    loop_work(s->o.loop, all_read, all_known, r);
}
