/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/job.h"

#include <limits.h>

static const struct json_field file_fields[] = {
    {.name = "fd",
     .type = FIELD_INT64,
     .offset = offsetof(struct guest_file, fd),
     .is_required = true,
     .max = INT_MAX},
    JSON_REQUIRED("name", FIELD_STRING, struct guest_file, name),
    {0},
};

struct decoded_job {
    struct guest_job job;
    char *spec; /* for guest_spec_decode() */
};

static const struct json_field job_fields[] = {
    JSON_REQUIRED("command", FIELD_STRING, struct decoded_job, job.command),
    JSON_FIELD("spec", FIELD_RAW, struct decoded_job, spec),
    {.name = "files",
                                                   .type = FIELD_OBJECTS,
                                                   .offset = offsetof(struct decoded_job, job.files),
                                                   .count_offset = offsetof(struct decoded_job, job.n_files),
                                                   .elem_size = sizeof(struct guest_file),
                                                   .fields = file_fields},
    JSON_FIELD("cache_dir", FIELD_STRING, struct decoded_job, job.cache_dir),
    JSON_FIELD("status_file", FIELD_STRING, struct decoded_job, job.status_file),
    JSON_FIELD("shared", FIELD_BOOL, struct decoded_job, job.is_shared),
    JSON_FIELD("json", FIELD_BOOL, struct decoded_job, job.is_json),
    JSON_FIELD("quiet", FIELD_BOOL, struct decoded_job, job.is_quiet),
    JSON_FIELD("verbosity", FIELD_INT64, struct decoded_job, job.verbosity),
    {0},
};

void guest_job_done(struct guest_job *j)
{
    struct decoded_job d = {.job = *j};

    if (j->has_spec)
        guest_spec_done(&j->spec);
    json_fields_done(job_fields, &d);
    *j = (struct guest_job){0};
}

void guest_job_encode(const struct guest_job *j, struct json_writer *w)
{
    json_begin_object(w);
    json_key_str(w, "command", j->command);
    if (j->has_spec) {
        json_key(w, "spec");
        guest_spec_encode(&j->spec, w);
    }
    json_key(w, "files");
    json_begin_array(w);
    for (size_t i = 0; i < j->n_files; i++) {
        json_begin_object(w);
        json_key_int(w, "fd", j->files[i].fd);
        json_key_str(w, "name", j->files[i].name);
        json_end_object(w);
    }
    json_end_array(w);
    json_key_str(w, "cache_dir", j->cache_dir);
    json_key_str(w, "status_file", j->status_file);
    json_key_bool(w, "shared", j->is_shared);
    json_key_bool(w, "json", j->is_json);
    json_key_bool(w, "quiet", j->is_quiet);
    json_key_int(w, "verbosity", j->verbosity);
    json_end_object(w);
}

int guest_job_decode(const char *json, size_t len, struct guest_job *j, struct err *e)
{
    struct json_limits limits = {.bytes = 2 * GUEST_SPEC_LIMIT_BYTES, .depth = 10};
    struct decoded_job d = {0};
    autofree char *spec = NULL;

    TRY(json_decode(json, len, limits, job_fields, 0, &d, e));
    spec = d.spec;
    if (spec) {
        int r;

        guest_spec_init(&d.job.spec);
        r = guest_spec_decode(spec, strlen(spec), &d.job.spec, e);
        if (r < 0) {
            guest_job_done(&d.job);
            return r;
        }
        d.job.has_spec = true;
    }
    *j = d.job;
    return 0;
}
