/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/pods/command.h"

static int error_tell(const struct json_value *status, struct err *e)
{
    const char *message = json_value_str(status, "message");
    bool is_expired = json_value_int(status, "code", 0) == 410;

    return err_set(e, is_expired ? -ESTALE : -EIO, is_expired ? "Expired" : "AgentFailed",
                   "the watch ended: %s", message ? message : "the agent says not why");
}

int pods_change_parse(const char *line, size_t len, struct json_value **ret,
                      const struct json_value **ret_object, enum pods_change *ret_change,
                      struct err *e)
{
    static const char *const types[] = {
        [PODS_ADDED] = "ADDED",
        [PODS_MODIFIED] = "MODIFIED",
        [PODS_DELETED] = "DELETED",
    };
    AUTO(json_value) v = NULL;
    const char *type;

    TRY(pods_json_parse(line, len, &v, e));
    type = json_value_str(v, "type");
    if (type && str_eq(type, "ERROR"))
        return error_tell(json_value_member(v, "object"), e);
    for (size_t i = 0; type && i < ARRAY_SIZE(types); i++) {
        if (!str_eq(type, types[i]))
            continue;
        *ret_change = (enum pods_change)i;
        *ret_object = json_value_member(v, "object");
        *ret = take_ptr(v);
        return 1;
    }
    return 0;
}
