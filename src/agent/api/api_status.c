/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/api/api_status.h"

#include "base/json.h"
#include "base/text.h"

void api_status_failure(const char *message, const char *reason, unsigned code, struct buf *out)
{
    autobuf text = BUF_INIT;
    struct err ignored = ERR_INIT;
    struct json_writer w;

    text_lossy_add(text_of(message), &text);
    json_writer_init(&w, out, false);
    json_begin_object(&w);
    json_key_str(&w, "kind", "Status");
    json_key_str(&w, "apiVersion", "v1");
    json_key(&w, "metadata");
    json_begin_object(&w);
    json_end_object(&w);
    json_key_str(&w, "status", "Failure");
    json_key_str(&w, "message", buf_str(&text));
    json_key_str(&w, "reason", reason);
    json_key_uint(&w, "code", code);
    json_end_object(&w);
    BUG_ON(json_writer_finish(&w, &ignored) < 0);
}
