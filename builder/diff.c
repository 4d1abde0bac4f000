// SPDX-License-Identifier: Apache-2.0
// Sorted lists, walked side by side.
#include "builder/diff.h"
#include "common/buf.h"
#include <string.h>

void diff_add(struct diff_list *list, const char *key, const char *value) {
    if ((list->count & (list->count - 1)) == 0) // room for twice as many, at 0, 1, 2, 4 …
        list->items = mem_resize(list->items, list->count ? 2 * list->count : 1, sizeof(*list->items));
    list->items[list->count++] = (struct diff_item){str_dup(key), str_dup(value)};
}

void diff_join(struct diff_list *list, const char *key, const char *value) {
    for (size_t i = 0; i < list->count; i++) {
        struct diff_item *item = &list->items[i];
        if (strcmp(item->key, key) != 0)
            continue;
        char *joined = str_printf("%s %s", item->value, value);
        free(item->value);
        item->value = joined;
        return;
    }
    diff_add(list, key, value);
}

void diff_list_done(struct diff_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].value);
    }
    free(list->items);
    *list = (struct diff_list){0};
}

static int by_key(const void *a, const void *b) {
    const struct diff_item *left = a, *right = b;
    int order = strcmp(left->key, right->key);
    return order ? order : strcmp(left->value, right->value);
}

static void sort(struct diff_list *list) {
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), by_key);
}

// What the other list does not have; both are sorted by key and value.
static size_t remaining(const struct diff_list *list, const struct diff_list *other, const struct diff_item **ret_items) {
    size_t count = 0, k = 0;
    for (size_t i = 0; i < list->count; i++) {
        int order = -1;
        while (k < other->count && (order = by_key(&list->items[i], &other->items[k])) > 0)
            k++;
        if (k < other->count && order == 0)
            k++;
        else
            ret_items[count++] = &list->items[i];
    }
    return count;
}

size_t diff_compare(struct diff_list *before, struct diff_list *after, struct diff_change **ret_changes) {
    struct diff_change *changes = mem_array(before->count + after->count + 1, sizeof(*changes));
    cleanup_free const struct diff_item **old_items = mem_array(before->count + 1, sizeof(*old_items)),
                                        **new_items = mem_array(after->count + 1, sizeof(*new_items));
    sort(before);
    sort(after);
    size_t count = 0, i = 0, k = 0, old_count = remaining(before, after, old_items), new_count = remaining(after, before, new_items);
    while (i < old_count || k < new_count) {
        const struct diff_item *old = i < old_count ? old_items[i] : NULL, *new = k < new_count ? new_items[k] : NULL;
        int order = !old ? 1 : !new ? -1 : strcmp(old->key, new->key);
        if (order < 0)
            changes[count++] = (struct diff_change){old->key, old->value, NULL};
        else if (order > 0)
            changes[count++] = (struct diff_change){new->key, NULL, new->value};
        else
            changes[count++] = (struct diff_change){old->key, old->value, new->value};
        i += order <= 0;
        k += order >= 0;
    }
    *ret_changes = changes;
    return count;
}

void diff_format(const char *title, const struct diff_change *changes, size_t count, struct buf *text) {
    if (count)
        buf_printf(text, "%s\n", title);
    for (size_t i = 0; i < count; i++) {
        const struct diff_change *change = &changes[i];
        const char *only = change->before ?: change->after;
        if (change->before && change->after)
            buf_printf(text, "  ~ %s  %s → %s\n", change->key, change->before, change->after);
        else
            buf_printf(text, "  %c %s%s%s\n", change->before ? '-' : '+', change->key, *only ? "  " : "", only);
    }
}
