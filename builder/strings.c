// SPDX-License-Identifier: Apache-2.0
#include "builder/strings.h"
#include "common/buf.h"

void strings_add(struct strings *list, const char *text) {
    list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = str_dup(text);
}

void strings_done(struct strings *list) {
    for (unsigned i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct strings){0};
}
