/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/command.h"

int pods_config_show(const struct pods_context *x, struct err *e)
{
    autobuf path = BUF_INIT, out = BUF_INIT;
    AUTO(json_value) v = NULL;

    buf_addstr(&path, "/configz");
    TRY(pods_fetch(x->client, &path, &v, e));
    json_value_write(v, true, &out);
    buf_addc(&out, '\n');
    return pods_print(&out);
}
