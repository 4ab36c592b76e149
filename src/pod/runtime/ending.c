/* SPDX-License-Identifier: Apache-2.0 */
/* The termination message of a container, read before its end is judged. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/paths.h"
#include "base/text.h"
#include "pod/environment.h"
#include "pod/runtime/last_words.h"
#include "pod/runtime/pod_internal.h"

#define MESSAGE_LIMIT  4096u /* as in Kubernetes */
#define LOG_READ_BYTES 16384u

struct ending {
    struct chore chore;
    struct pod_run *run;
    int64_t attempt;
    struct guest_status status;
    bool is_own, is_mounted; /* where the message is: in a folder of our own, or in a volume */
    struct strv env;         /* for the latter: subPathExpr */
};

/* The guest may have made anything of that name. */
static int own_open(const struct pod_run *r)
{
    const struct pod_container *c = run_spec(r);
    autofree char *place =
        launch_message_place(r->pod->set->o.state_dir, r->pod->spec->uid, c->name);
    autofd dir = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return dir < 0 ? -errno : file_open_at(dir, path_base(c->message_path));
}

/* What an earlier run has left in a volume is not this one's. */
static bool is_of_run(const struct stat *st, const struct guest_status *s)
{
    struct timespec behind = {0}; /* what times of files can be */
    int64_t started_ns;

    clock_getres(CLOCK_REALTIME_COARSE, &behind);
    return s->started_at &&
           clock_rfc3339_parse(s->started_at, strlen(s->started_at), &started_ns) &&
           clock_timespec_ns(st->st_mtim) >= started_ns - clock_timespec_ns(behind);
}

static void message_read(const struct ending *x, struct buf *out)
{
    const struct pod_run *r = x->run;
    const struct pod_container *c = run_spec(r);
    struct err ignored = ERR_INIT;
    autofd fd = -EBADF;
    struct stat st;
    ssize_t n;

    if (x->is_own)
        fd = own_open(r);
    else if (x->is_mounted)
        (void)volumes_file_open(&r->pod->set->places, r->pod->spec, c, &x->env, c->message_path,
                                &fd, &ignored);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        (x->is_mounted && !is_of_run(&st, &x->status)))
        return;
    n = read(fd, buf_reserve(out, MESSAGE_LIMIT), MESSAGE_LIMIT);
    out->len += n > 0 ? (size_t)n : 0;
    buf_terminate(out);
}

static void log_read(const struct ending *x, struct buf *out)
{
    const struct pod_run *r = x->run;
    autofree char *path =
        pod_log_file(r->pod->set, r->pod->spec, run_spec(r)->name, x->attempt - 1);
    autofd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    autobuf text = BUF_INIT;
    struct stat st;
    off_t from;
    ssize_t n;

    if (fd < 0 || fstat(fd, &st) < 0)
        return;
    from = st.st_size > (off_t)LOG_READ_BYTES ? st.st_size - (off_t)LOG_READ_BYTES : 0;
    n = pread(fd, buf_reserve(&text, LOG_READ_BYTES), LOG_READ_BYTES, from);
    if (n > 0)
        log_tail_text(text.data, (size_t)n, from > 0, out);
}

static bool wants_log(const struct pod_container *c, const struct guest_status *s)
{
    return c->message_policy == POD_MESSAGE_FILE_OR_LOG && s->exit_code;
}

/* What the guest wrote is the message; else the log, after what wherry says of the end, which is
 * not in there. */
static void ending_work(struct chore *c)
{
    struct ending *x = (struct ending *)c;
    struct guest_status *s = &x->status;
    autobuf message = BUF_INIT;

    message_read(x, &message);
    if (!message.len && wants_log(run_spec(x->run), s)) {
        if (s->message && !s->is_guest_exit)
            buf_addf(&message, "%s\n", s->message);
        log_read(x, &message);
    }
    if (!message.len)
        return;
    free(s->message);
    s->message = buf_take(&message);
}

static void ending_feed(struct pod_run *r, int64_t attempt, const struct guest_status *s)
{
    pod_feed(r->pod, &(struct pod_input){.event = POD_EVENT_EXITED,
                                         .container = r->index,
                                         .attempt = attempt,
                                         .status = s});
}

static void ending_done(struct chore *c)
{
    struct ending *x = (struct ending *)c;

    if (!chore_is_void(c))
        ending_feed(x->run, x->attempt, &x->status);
    guest_status_done(&x->status);
    strv_done(&x->env);
    free(x);
}

/* A variable whose object is gone by now is needed for a subPathExpr only. */
static void env_gather(const struct pod_run *r, struct strv *ret)
{
    const struct pod *p = r->pod;
    autostrv notes = STRV_INIT;
    struct err ignored = ERR_INIT;

    (void)environment_make(&p->fields, run_spec(r), &p->set->o.objects, ret, &notes, &ignored);
}

void run_ended(struct pod_run *r, int64_t attempt, const struct guest_status *status)
{
    const struct pod_container *c = run_spec(r);
    autofree char *folder = launch_message_folder(c);
    bool is_mounted = c->message_path && volumes_have(c, c->message_path);
    struct ending *x;

    if (!folder && !is_mounted && !wants_log(c, status)) {
        ending_feed(r, attempt, status);
        return;
    }
    x = xcalloc(1, sizeof(*x));
    *x = (struct ending){
        .chore = {.work = ending_work, .done = ending_done},
        .run = r,
        .attempt = attempt,
        .status = guest_status_copy(status),
        .is_own = folder != NULL,
        .is_mounted = is_mounted,
    };
    if (is_mounted)
        env_gather(r, &x->env);
    lane_add(&r->pod->volumes, r->pod, &x->chore);
}
