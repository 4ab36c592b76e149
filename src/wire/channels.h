/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "base/util.h"

/*
 * Several streams over one WebSocket, as Kubernetes has them for exec, attach and port-forward:
 * every message begins with a byte that names its channel. Pure functions for both sides.
 *
 * Source: staging/src/k8s.io/apimachinery/pkg/util/remotecommand/constants.go, .../util/httpstream/
 * wsstream/conn.go, staging/src/k8s.io/kubelet/pkg/cri/streaming/{remotecommand,portforward}.
 */
enum channel_number {
    CHANNEL_STDIN = 0,
    CHANNEL_STDOUT = 1,
    CHANNEL_STDERR = 2,
    CHANNEL_STATUS = 3, /* a Status at the end */
    CHANNEL_RESIZE = 4, /* {"Width":80,"Height":24} */
    CHANNEL_CLOSE = 255 /* not v4: no more comes on the channel that the next byte names */
};

#define CHANNEL_PROTOCOL_V5 "v5.channel.k8s.io"
#define CHANNEL_PROTOCOL_V4 "v4.channel.k8s.io"

/* Our own: v4 with CHANNEL_CLOSE from both sides, so that the end of either direction of a
 * connection gets through. Kubernetes' clients offer v5 for port-forward too, and cannot read it
 * there. */
#define CHANNEL_PROTOCOL_FORWARD "v1.portforward.wherry.dev"

/* The better first; each ends with NULL. */
extern const char *const channel_exec_protocols[];
extern const char *const channel_forward_protocols[];
/* Whether the agreed one has CHANNEL_CLOSE. */
bool channel_can_close(const char *protocol);

struct channel_message {
    uint8_t channel;
    bool is_close; /* of `channel`; no data */
    struct text data;
};
/* "BadMessage" (-EPROTO): empty, or a close that names no channel or is none of the protocol. The
 * data is within the message. */
int channel_message_parse(const void *message, size_t len, bool can_close,
                          struct channel_message *ret, struct err *e);

/* Bytes of a Status that are read. */
#define CHANNEL_STATUS_LIMIT 65536

/* How a command ended. */
struct channel_status {
    bool is_exit;      /* it ran and exited with exit_code; else it could not be run, or was lost */
    int64_t exit_code; /* 0 to 255 */
    char *reason;      /* of why it ended so ("Trap"), or why it could not ("NotFound"); may be
                        * NULL; heap, as the next */
    char *message;     /* for people; may be NULL */
};
void channel_status_done(struct channel_status *s);

/* As a kubelet says it; besides, a second cause carries our reason of an exit. */
void channel_status_add(const struct channel_status *s, struct buf *out);
/* "BadStatus" (-EPROTO). */
int channel_status_parse(struct text text, struct channel_status *ret, struct err *e);

/* A terminal's columns and rows. */
struct channel_size {
    uint16_t width, height;
};
/* Of CHANNEL_RESIZE. "BadSize" (-EPROTO): no such object, or a number that is not 1 to 65535. */
int channel_size_parse(struct text text, struct channel_size *ret, struct err *e);
void channel_size_add(struct channel_size size, struct buf *out);

/* A list of ports such as "80,8080", added to the `n` that `ret` has. "BadPort" (-EINVAL): no
 * number of 1 to 65535, or more than `max` in all. */
int channel_ports_parse(const char *text, uint16_t *ret, size_t max, size_t *n, struct err *e);
