/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other side of a channel protocol says: messages, the Status at the end, lists of ports,
 * sizes of terminals.
 * A Status that is read is written and read back as the same.
 */
#include "wire/channels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_status(struct text text)
{
    struct channel_status s = {0}, again = {0};
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (channel_status_parse(text, &s, &e) < 0) {
        BUG_ON(!*e.msg || s.reason || s.message);
        return;
    }
    channel_status_add(&s, &out);
    BUG_ON(out.len < CHANNEL_STATUS_LIMIT &&
           (channel_status_parse((struct text){out.data, out.len}, &again, &e) < 0 ||
            again.exit_code != s.exit_code || again.is_exit != s.is_exit));
    channel_status_done(&s);
    channel_status_done(&again);
}

static void check_size(struct text text)
{
    struct channel_size s = {0}, again = {0};
    autobuf out = BUF_INIT;
    struct err e = ERR_INIT;

    if (channel_size_parse(text, &s, &e) < 0) {
        BUG_ON(!*e.msg || s.width || s.height);
        return;
    }
    channel_size_add(s, &out);
    BUG_ON(!s.width || !s.height ||
           channel_size_parse((struct text){out.data, out.len}, &again, &e) < 0 ||
           again.width != s.width || again.height != s.height);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct channel_message m = {0};
    struct err e = ERR_INIT;
    uint16_t ports[4];
    size_t n = 0;

    if (channel_message_parse(data, size, size % 2, &m, &e) < 0)
        return 0;
    BUG_ON(m.data.len > size || (m.is_close && m.data.len));
    if (m.channel == CHANNEL_STATUS) {
        check_status(m.data);
    } else if (m.channel == CHANNEL_RESIZE) {
        check_size(m.data);
    } else if (m.data.len) {
        autofree char *text = xstrndup(m.data.data, m.data.len);

        e = ERR_INIT;
        BUG_ON(channel_ports_parse(text, ports, 4, &n, &e) < 0 ? n != 0 : n == 0 || n > 4);
    }
    return 0;
}
