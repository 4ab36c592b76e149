/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a URL and as the head of an answer: what is shown of it is printable, and the path
 * of a request is one word. */
#include "base/err.h"
#include "toolbox/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autobuf text = BUF_INIT;
    struct http_head h;
    struct http_url u;
    const char *why;

    buf_add(&text, data, size);
    if (http_head_parse(&text, &h) > 0) {
        BUG_ON(h.bytes > size || h.status < 100 || h.status > 599 || h.length < -1);
        for (const char *c = h.line; *c; c++)
            BUG_ON(*c < ' ' || *c > '~');
        http_head_done(&h);
    }
    if (http_url_parse(buf_str(&text), &u, &why)) {
        BUG_ON(u.path[0] != '/' || u.port == 0 || strpbrk(u.path, " \r\n#"));
        BUG_ON(strpbrk(u.authority, " \r\n/@"));
        http_url_done(&u);
    }
    return 0;
}
