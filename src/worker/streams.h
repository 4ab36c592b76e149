/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "engine/engine.h"

/*
 * A guest's standard stream on a descriptor. The descriptor may be shared with other processes, so
 * it is never made non-blocking; whether a call would block is asked first. Only a terminal that
 * was stopped, or another writer that is quicker, can hold the guest's thread, and only that.
 */
struct fd_stream {
    int fd;
    bool is_regular, is_socket;
};

/* Fills *ret for reading (is_input) or writing. `fd` stays the caller's. */
void fd_stream_init(struct fd_stream *s, int fd, bool is_input, struct engine_stream *ret);
