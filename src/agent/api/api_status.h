/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/* The body of an answer that tells of a failure: Kubernetes' Status (API reference, meta/v1). The
 * message may be any bytes, as it may quote a request. */
void api_status_failure(const char *message, const char *reason, unsigned code, struct buf *out);
