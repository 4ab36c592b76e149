/* SPDX-License-Identifier: Apache-2.0 */
#include "shim/messages/messages.h"

#define NS_PER_S 1000000000u
/* What Go's protobuf puts before the name of a type. */
#define URL_PREFIX "type.googleapis.com/"

Types__Timestamp message_timestamp(uint64_t realtime_ns)
{
    Types__Timestamp t = TYPES__TIMESTAMP__INIT;
    t.seconds = (int64_t)(realtime_ns / NS_PER_S);
    t.nanos = (int32_t)(realtime_ns % NS_PER_S);
    return t;
}

Types__Any message_any(const char *type_name, const struct buf *packed)
{
    Types__Any any = TYPES__ANY__INIT;
    any.type_url = (char *)type_name; /* packing only reads */
    any.value = (ProtobufCBinaryData){packed->len, (uint8_t *)packed->data};
    return any;
}

bool message_any_is(const Types__Any *any, const char *type_name)
{
    if (!any)
        return false;
    const char *url = any->type_url;
    return str_eq(str_starts(url, URL_PREFIX) ? url + strlen(URL_PREFIX) : url, type_name);
}

int message_any_unpack(const Types__Any *any, const char *type_name,
                       const ProtobufCMessageDescriptor *d, struct arena *a, void *ret,
                       struct err *e)
{
    if (!message_any_is(any, type_name))
        return err_set(e, -EBADMSG, "BadMessage", "expected a message %s, but got %s%.200s",
                       type_name, any ? "a " : "none", any ? any->type_url : "");
    struct text bytes = {(const char *)any->value.data, any->value.len};
    return protobuf_unpack(d, bytes, a, ret, e);
}
