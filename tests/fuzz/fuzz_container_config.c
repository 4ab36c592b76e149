/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a container's config: an error, or a command within its limits that survives the way
 * to a worker, whose variables have names, and whose program is a part of its first word. */
#include "store/container_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void command_check(const struct container_config *c, const struct guest_command *command)
{
    autofree char *file = container_program_file(c);

    BUG_ON((command->entrypoint.n == 0) !=
           (*container_program_word(c) == 0 && !c->entrypoint.n && !c->cmd.n));
    BUG_ON(command->entrypoint.n && !str_starts(command->entrypoint.v[0], file));
    BUG_ON(strchr(file, '#'));
    BUG_ON(command->entrypoint.n > GUEST_COMMAND_LIST_LIMIT ||
           command->cmd.n > GUEST_COMMAND_LIST_LIMIT || command->env.n > GUEST_COMMAND_LIST_LIMIT);
    for (size_t i = 0; i < command->env.n; i++)
        BUG_ON(!strchr(command->env.v[i], '=') || *command->env.v[i] == '=');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest_command command = {0}, back = {0};
    struct container_config c = {0};
    autobuf text = BUF_INIT, sent = BUF_INIT;
    struct json_writer w;
    struct err e = ERR_INIT;

    buf_add(&text, data, size);
    if (!size || container_config_decode(&text, &c, &e) < 0) {
        BUG_ON(size && (!e.code || !*e.msg || c.entrypoint.v || c.env.v));
        return 0;
    }
    container_command(&c, &command);
    command_check(&c, &command);
    json_writer_init(&w, &sent, false);
    guest_command_encode(&command, &w);
    BUG_ON(json_writer_finish(&w, &e) < 0);
    BUG_ON(guest_command_decode(buf_str(&sent), sent.len, &back, &e) < 0);
    BUG_ON(back.entrypoint.n != command.entrypoint.n || back.cmd.n != command.cmd.n ||
           back.env.n != command.env.n || !back.function != !command.function);
    guest_command_done(&back);
    guest_command_done(&command);
    container_config_done(&c);
    return 0;
}
