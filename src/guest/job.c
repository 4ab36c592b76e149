/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/job.h"

#include <limits.h>

#include "guest/command.h"

static const struct json_field file_fields[] = {
    {.name = "fd",
     .type = FIELD_INT64,
     .offset = offsetof(struct guest_file, fd),
     .is_required = true,
     .max = INT_MAX},
    JSON_FIELD("image", FIELD_STRING, struct guest_file, image),
    JSON_FIELD("command", FIELD_RAW, struct guest_file, command),
    JSON_REQUIRED("name", FIELD_STRING, struct guest_file, name),
    {0},
};

struct decoded_job {
    struct guest_job job;
    char *spec;  /* for guest_spec_decode() */
    char *serve; /* for serve_spec_decode() */
};

#define LIMIT(name_, member_)                                                                      \
    {                                                                                              \
        .name = (name_), .type = FIELD_INT64,                                                      \
        .offset = offsetof(struct decoded_job, job.compile.member_), .max = INT64_MAX              \
    }

static const struct json_field job_fields[] = {
    JSON_REQUIRED("command", FIELD_STRING, struct decoded_job, job.command),
    JSON_FIELD("spec", FIELD_RAW, struct decoded_job, spec),
    JSON_FIELD("serve", FIELD_RAW, struct decoded_job, serve),
    {.name = "files",
                                                     .type = FIELD_OBJECTS,
                                                     .offset = offsetof(struct decoded_job, job.files),
                                                     .count_offset = offsetof(struct decoded_job, job.n_files),
                                                     .elem_size = sizeof(struct guest_file),
                                                     .fields = file_fields},
    JSON_FIELD("cache_dir", FIELD_STRING, struct decoded_job, job.cache_dir),
    JSON_FIELD("status_file", FIELD_STRING, struct decoded_job, job.status_file),
    {.name = "status_fd",
                                                     .type = FIELD_INT64,
                                                     .offset = offsetof(struct decoded_job, job.status_fd),
                                                     .min = -1,
                                                     .max = INT_MAX},
    JSON_FIELD("shared", FIELD_BOOL, struct decoded_job, job.is_shared),
    JSON_FIELD("ahead", FIELD_BOOL, struct decoded_job, job.is_ahead),
    LIMIT("compile_cpu_ms", cpu_ms),
    LIMIT("compile_memory_bytes", memory_bytes),
    LIMIT("compile_time_ms", time_ms),
    JSON_FIELD("json", FIELD_BOOL, struct decoded_job, job.is_json),
    JSON_FIELD("quiet", FIELD_BOOL, struct decoded_job, job.is_quiet),
    JSON_FIELD("verbosity", FIELD_INT64, struct decoded_job, job.verbosity),
    {0},
};

void guest_file_done(struct guest_file *f)
{
    json_fields_done(file_fields, f);
}

void guest_job_done(struct guest_job *j)
{
    struct decoded_job d = {.job = *j};

    if (j->has_spec)
        guest_spec_done(&j->spec);
    if (j->has_serve)
        serve_spec_done(&j->serve);
    json_fields_done(job_fields, &d);
    *j = GUEST_JOB_INIT;
}

void guest_job_encode(const struct guest_job *j, struct json_writer *w)
{
    json_begin_object(w);
    json_key_str(w, "command", j->command);
    if (j->has_spec) {
        json_key(w, "spec");
        guest_spec_encode(&j->spec, w);
    }
    if (j->has_serve) {
        json_key(w, "serve");
        serve_spec_encode(&j->serve, w);
    }
    json_key(w, "files");
    json_begin_array(w);
    for (size_t i = 0; i < j->n_files; i++) {
        json_begin_object(w);
        json_key_int(w, "fd", j->files[i].fd);
        json_key_str(w, "image", j->files[i].image);
        guest_command_text_encode(j->files[i].command, w);
        json_key_str(w, "name", j->files[i].name);
        json_end_object(w);
    }
    json_end_array(w);
    json_key_str(w, "cache_dir", j->cache_dir);
    json_key_str(w, "status_file", j->status_file);
    json_key_int(w, "status_fd", j->status_fd);
    json_key_bool(w, "shared", j->is_shared);
    json_key_bool(w, "ahead", j->is_ahead);
    json_key_int(w, "compile_cpu_ms", j->compile.cpu_ms);
    json_key_int(w, "compile_memory_bytes", j->compile.memory_bytes);
    json_key_int(w, "compile_time_ms", j->compile.time_ms);
    json_key_bool(w, "json", j->is_json);
    json_key_bool(w, "quiet", j->is_quiet);
    json_key_int(w, "verbosity", j->verbosity);
    json_end_object(w);
}

static int parts_decode(struct decoded_job *d, struct err *e)
{
    struct guest_job *j = &d->job;

    if (d->spec) {
        guest_spec_init(&j->spec);
        TRY(guest_spec_decode(d->spec, strlen(d->spec), &j->spec, e));
        j->has_spec = true;
    }
    if (d->serve) {
        serve_spec_init(&j->serve);
        TRY(serve_spec_decode(d->serve, strlen(d->serve), &j->serve, e));
        j->has_serve = true;
    }
    if (str_eq(j->command, "run") && j->has_spec && j->spec.module_fd < 0)
        return err_set(e, -EINVAL, "BadSpec", "$.spec.module_fd: missing");
    if (str_eq(j->command, "serve") && (!j->has_spec || !j->has_serve))
        return err_set(e, -EINVAL, "BadSpec", "$.%s: missing", j->has_spec ? "serve" : "spec");
    if (str_eq(j->command, "serve") && j->spec.code_fd >= 0)
        return err_set(e, -EINVAL, "BadSpec", "$.spec.code_fd: of which program is not said");
    if (str_eq(j->command, "prepare") && j->n_files != 1)
        return err_set(e, -EINVAL, "BadSpec", "$.files: must be one program");
    return 0;
}

int guest_job_decode(const char *json, size_t len, struct guest_job *j, struct err *e)
{
    struct json_limits limits = {.bytes = GUEST_JOB_LIMIT_BYTES, .depth = 10};
    struct decoded_job d = {.job = GUEST_JOB_INIT};
    autofree char *spec = NULL, *serve = NULL;
    int r;

    TRY(json_decode(json, len, limits, job_fields, 0, &d, e));
    r = parts_decode(&d, e);
    spec = take_ptr(d.spec);
    serve = take_ptr(d.serve);
    if (r < 0) {
        guest_job_done(&d.job);
        return r;
    }
    *j = d.job;
    return 0;
}
