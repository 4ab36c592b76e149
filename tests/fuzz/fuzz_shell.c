/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a script: parsing ends, with a tree or a message; its words end where they did. */
#include "base/err.h"
#include "toolbox/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_words(struct arena *arena, const struct word *w)
{
    for (; w; w = w->next)
        for (size_t i = 0; w->text[i]; i++)
            if (w->text[i] == '$' && (w->text[i + 1] == '{' || w->text[i + 1] == '('))
                lex_dollar_end(arena, w->text, strlen(w->text), i, false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(arena) arena = arena_new();
    struct node *n = NULL;
    struct parser p;
    enum parse_result result;

    if (size > 4096)
        return 0;
    parser_init(&p, arena, arena_strndup(arena, (const char *)data, size), size);
    do {
        size_t before = p.pos;

        n = NULL;
        result = parse_next(&p, &n);
        BUG_ON(result == PARSE_OK && p.pos <= before && size);
        BUG_ON((result == PARSE_ERROR || result == PARSE_INCOMPLETE) && !p.error[0]);
        for (const struct node *item = n ? n->first : NULL; item; item = item->next)
            check_words(arena, item->words);
    } while (result == PARSE_OK);
    return 0;
}
