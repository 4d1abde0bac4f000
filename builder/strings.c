// SPDX-License-Identifier: Apache-2.0
#include "builder/strings.h"
#include "common/buf.h"
#include <string.h>

void strings_add(struct strings *list, const char *text) {
    list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = str_dup(text);
}

bool strings_has(const struct strings *list, const char *text) {
    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

void strings_done(struct strings *list) {
    for (unsigned i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct strings){0};
}
