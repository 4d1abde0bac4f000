// SPDX-License-Identifier: Apache-2.0
// A sorted list of paths. Merging two follows the rules of overlayfs for lower and upper layers.
#include "builder/index.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_ENTRIES 4000000

void index_done(struct index *index) {
    for (size_t i = 0; i < index->count; i++)
        free(index->entries[i].path);
    free(index->entries);
    *index = (struct index){0};
}

void index_add(struct index *index, const char *path, mode_t mode, uid_t uid, gid_t gid) {
    if (index->count == index->capacity) {
        index->capacity = index->capacity ? index->capacity * 2 : 256;
        index->entries = mem_resize(index->entries, index->capacity, sizeof(*index->entries));
    }
    index->sorted = !index->count || (index->sorted && strcmp(index->entries[index->count - 1].path, path) < 0);
    index->entries[index->count++] = (struct index_entry){str_dup(path), mode, uid, gid};
}

static int compare(const void *a, const void *b) {
    return strcmp(((const struct index_entry *)a)->path, ((const struct index_entry *)b)->path);
}

static int compare_key(const void *key, const void *entry) {
    return strcmp(key, ((const struct index_entry *)entry)->path);
}

static void sort(struct index *index) {
    if (!index->sorted && index->count)
        qsort(index->entries, index->count, sizeof(*index->entries), compare);
    index->sorted = true;
}

const struct index_entry *index_find(struct index *index, const char *path) {
    sort(index);
    return index->count ? bsearch(path, index->entries, index->count, sizeof(*index->entries), compare_key) : NULL;
}

bool index_is_whiteout(const struct index_entry *entry) {
    return S_ISCHR(entry->mode);
}

// True when `above` covers `path` itself, or hides it because a leading part is no directory there any more.
static bool is_hidden(struct index *above, const char *path) {
    if (index_find(above, path))
        return true;
    cleanup_free char *parent = str_dup(path);
    for (char *slash; (slash = strrchr(parent, '/'));) {
        *slash = 0;
        const struct index_entry *entry = index_find(above, parent);
        if (entry)
            return !S_ISDIR(entry->mode); // nearer ancestors were not listed, so the rest of the way is a directory below
    }
    return false;
}

void index_merge(struct index *index, struct index *above) {
    sort(index);
    sort(above);
    struct index merged = {0};
    for (size_t i = 0; i < index->count; i++)
        if (!is_hidden(above, index->entries[i].path))
            index_add(&merged, index->entries[i].path, index->entries[i].mode, index->entries[i].uid, index->entries[i].gid);
    for (size_t i = 0; i < above->count; i++)
        if (!index_is_whiteout(&above->entries[i]))
            index_add(&merged, above->entries[i].path, above->entries[i].mode, above->entries[i].uid, above->entries[i].gid);
    sort(&merged);
    index_done(index);
    *index = merged;
}

void index_copy(const struct index *from, struct index *to) {
    for (size_t i = 0; i < from->count; i++)
        index_add(to, from->entries[i].path, from->entries[i].mode, from->entries[i].uid, from->entries[i].gid);
}

void index_format(struct index *index, struct buf *ret_text) {
    sort(index);
    for (size_t i = 0; i < index->count; i++) {
        const struct index_entry *e = &index->entries[i];
        buf_printf(ret_text, "%o %u %u %s\n", (unsigned)e->mode, e->uid, e->gid, e->path);
    }
}

// A number and the blank behind it; *ret_rest is what follows.
static bool parse_number(const char *text, int base, unsigned *ret_value, const char **ret_rest) {
    char *end;
    unsigned long value = *text >= '0' && *text <= '9' ? strtoul(text, &end, base) : ULONG_MAX;
    if (value > UINT_MAX || *end != ' ')
        return false;
    *ret_value = (unsigned)value;
    *ret_rest = end + 1;
    return true;
}

static bool parse_line(const char *line, size_t length, struct index *index) {
    cleanup_free char *text = str_printf("%.*s", (int)length, line);
    const char *rest = text;
    unsigned mode, uid, gid;
    if (strlen(text) != length || !parse_number(rest, 8, &mode, &rest) || !parse_number(rest, 10, &uid, &rest) ||
        !parse_number(rest, 10, &gid, &rest))
        return false;
    index_add(index, rest, mode, uid, gid);
    return true;
}

int index_parse(const char *text, size_t size, struct index *ret_index, struct err *err) {
    cleanup_index struct index index = {0};
    for (const char *end = text + size; text < end;) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((newline ? newline : end) - text);
        if (!newline || length > 8192 || index.count == MAX_ENTRIES || !parse_line(text, length, &index))
            return err_set(err, -EINVAL, "layer index: line %zu is damaged", index.count + 1);
        text = newline + 1;
    }
    sort(&index);
    *ret_index = index;
    index = (struct index){0};
    return 0;
}
