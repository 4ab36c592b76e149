/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/strv.h"
#include "pod/fields.h"
#include "pod/objects.h"
#include "pod/spec.h"

/*
 * The volumes of pods: folders on the disk that are made before a pod's containers start, given to
 * them as descriptors, renewed when what they are written from changes, and removed with the pod.
 * Why and how: docs/internals/volumes.md.
 *
 *   STATE/pods/UID/volumes/NAME            a volume; with a tmpfs mounted for what is in memory
 *   STATE/pods/UID/files/CONTAINER/N       the view of single files: see struct volume_mount
 *   STATE/claims/NAMESPACE/NAME            a claim, which outlives pods
 *   MEMORY/pods/UID/{volumes,files}/...    the same, where this process may not mount
 *
 * Nothing is remembered between calls: what is there is found again after a restart, and every call
 * can be repeated after it was cut off anywhere. Calls for one pod must not overlap. But for
 * volumes_gather() everything waits for the disk and belongs into the work pool; a spec is only
 * read there, and must be held meanwhile.
 */
struct volumes_places {
    const char *state_dir; /* absolute */
    /* A folder of this user on a tmpfs (the run folder usually is); NULL: none. Used when mount(2)
     * is refused. */
    const char *memory_dir;
};

/* What files of its projections the pod is to have: one for each of its volumes. */
struct volumes_content;

/*
 * On the loop's thread: looks up every configuration, secret, claim and field. `configmap "x" not
 * found` and whatever else is missing is "FailedMount", the event's reason in Kubernetes, and names
 * volume and pod.
 */
#define VOLUMES_REASON "FailedMount"
int volumes_gather(const struct pod_fields *f, const struct pod_objects *o,
                   struct volumes_content **ret, struct err *e);
void volumes_content_free(struct volumes_content *c); /* wiped; NULL is fine */
DEFINE_AUTO(volumes_content);

/*
 * Makes the volumes, and checks host paths. "MemoryVolumeUnsupported" (-ENOTSUP): a volume in
 * memory, with nowhere to put it. "VolumeFull" (-ENOSPC, -EDQUOT). The rest is "FailedMount".
 */
int volumes_prepare(const struct volumes_places *p, const struct pod_spec *s,
                    const struct volumes_content *c, struct err *e);

/* Renews the projections of a prepared pod; each keeps its old content when it cannot be written.
 * All are tried; the first error counts. */
int volumes_update(const struct volumes_places *p, const struct pod_spec *s,
                   const struct volumes_content *c, bool *ret_is_changed, struct err *e);

/*
 * What a container mounts. A guest can be given folders only. A file (by subPath, or a hostPath
 * that is one) that is mounted at /etc/app/x is given as a folder /etc/app that shows the files
 * mounted there and nothing else; the descriptor of a native is the file's own.
 */
struct volume_mount {
    int fd;     /* of a folder that is open for reading; of a file (O_PATH) for a native only */
    char *path; /* in the container */
    bool is_read_only;
};

struct volume_mounts {
    struct volume_mount *v;
    size_t n;
};

/*
 * Opens what the container mounts. `env` is for subPathExpr. A subPath that is missing is made;
 * one that would lead out of its volume is refused. "CreateContainerConfigError", as the kubelet
 * calls it; "FileMountUnsupported" (-ENOTSUP) for a file that cannot be shown in a folder.
 */
int volumes_open(const struct volumes_places *p, const struct pod_spec *s,
                 const struct pod_container *c, const struct strv *env, struct volume_mounts *ret,
                 struct err *e);
void volume_mounts_done(struct volume_mounts *m); /* closes what is left: fd -1 was taken */

/*
 * Opens a regular file for reading that the container has at `path`, in the mount that is the
 * innermost there, or is that file. Links are followed within the volume. -ENOENT when it is in no
 * mount; "ReadFailed" and what volumes_open() says.
 */
int volumes_file_open(const struct volumes_places *p, const struct pod_spec *s,
                      const struct pod_container *c, const struct strv *env, const char *path,
                      int *ret_fd, struct err *e);
/* Whether `path` is in a mount of the container. */
bool volumes_have(const struct pod_container *c, const char *path);

/*
 * What an emptyDir holds on the disk (or in memory), in bytes. Stops counting a little above the
 * volume's limit. "TooDeep" is to be treated as too much. 0 for other kinds.
 */
int volumes_usage(const struct volumes_places *p, const struct pod_spec *s,
                  const struct pod_volume *v, int64_t *ret_bytes, struct err *e);

/* Removes all volumes that end with the pod, and its folder unless others keep something in it;
 * what is not there is fine. Host paths and claims are not touched. */
int volumes_remove(const struct volumes_places *p, const char *uid, struct err *e);

/* Removes a claim with what is in it; nothing there is fine. */
int volumes_claim_remove(const struct volumes_places *p, const char *space, const char *name,
                         struct err *e);
