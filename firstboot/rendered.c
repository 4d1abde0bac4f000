// SPDX-License-Identifier: Apache-2.0
// The list of rendered files, as a struct and as text.
#include "firstboot/rendered.h"
#include "common/file.h"
#include "common/slot.h"
#include <errno.h>
#include <string.h>

void rendered_done(struct rendered *rendered) {
    for (size_t i = 0; i < rendered->count; i++)
        free(rendered->entries[i].path);
    free(rendered->entries);
    *rendered = (struct rendered){0};
}

void rendered_hash(const void *data, size_t size, char ret_text[2 * SHA256_BYTES + 1]) {
    uint8_t digest[SHA256_BYTES];
    sha256_hash(data, size, digest);
    hex_format(digest, sizeof(digest), ret_text);
}

static struct rendered_file *add_entry(struct rendered *rendered) {
    rendered->entries = mem_resize(rendered->entries, rendered->count + 1, sizeof(*rendered->entries));
    rendered->entries[rendered->count] = (struct rendered_file){0};
    return &rendered->entries[rendered->count++];
}

void rendered_make(const struct plan *plan, struct rendered *ret_rendered) {
    *ret_rendered = (struct rendered){0};
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_entry *planned = &plan->entries[i];
        if (planned->kind == PLAN_DIRECTORY || planned->kind == PLAN_KEEP)
            continue;
        struct rendered_file *entry = add_entry(ret_rendered);
        entry->path = str_dup(planned->path);
        entry->is_link = planned->kind == PLAN_LINK;
        entry->mode = planned->mode;
        rendered_hash(planned->content, planned->size, entry->sha256);
    }
}

static int compare_files(const void *left, const void *right) {
    return strcmp(((const struct rendered_file *)left)->path, ((const struct rendered_file *)right)->path);
}

void rendered_add(struct rendered *rendered, const struct rendered_file *file) {
    struct rendered_file *entry = add_entry(rendered);
    *entry = *file;
    entry->path = str_dup(file->path);
    qsort(rendered->entries, rendered->count, sizeof(*rendered->entries), compare_files);
}

void rendered_format(const struct rendered *rendered, struct buf *buf) {
    for (size_t i = 0; i < rendered->count; i++) {
        const struct rendered_file *entry = &rendered->entries[i];
        if (entry->is_link)
            buf_printf(buf, "link %s %s\n", entry->sha256, entry->path);
        else
            buf_printf(buf, "%04o %s %s\n", entry->mode, entry->sha256, entry->path);
    }
}

static bool parse_line(const char *line, size_t size, struct rendered *rendered) {
    uint8_t digest[SHA256_BYTES];
    const size_t path_at = 5 + 2 * SHA256_BYTES + 1;
    if (size <= path_at || line[4] != ' ' || line[path_at - 1] != ' ' || !hex_parse(line + 5, SHA256_BYTES, digest))
        return false;
    bool is_link = memcmp(line, "link", 4) == 0;
    if (!is_link && strspn(line, "01234567") != 4)
        return false;
    struct rendered_file *entry = add_entry(rendered);
    entry->path = str_printf("%.*s", (int)(size - path_at), line + path_at);
    entry->is_link = is_link;
    entry->mode = is_link ? 0777 : (mode_t)strtoul(line, NULL, 8);
    hex_format(digest, sizeof(digest), entry->sha256);
    return true;
}

int rendered_parse(const char *text, struct rendered *ret_rendered, struct err *err) {
    cleanup_rendered struct rendered rendered = {0};
    unsigned number = 1;
    for (const char *line = text; *line; number++) {
        size_t size = strcspn(line, "\n");
        if (line[size] != '\n' || !parse_line(line, size, &rendered))
            return err_set(err, -EINVAL, "/" RENDERED_PATH ":%u: not a line of this file", number);
        line += size + 1;
    }
    *ret_rendered = rendered;
    rendered = (struct rendered){0};
    return 0;
}

int rendered_load(int root_fd, struct rendered *ret_rendered, struct err *err) {
    cleanup_free char *text = NULL;
    *ret_rendered = (struct rendered){0};
    int r = file_read(root_fd, RENDERED_PATH, RENDERED_MAX_BYTES, &text, NULL, err);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : rendered_parse(text, ret_rendered, err);
}

const struct rendered_file *rendered_find(const struct rendered *rendered, const char *path) {
    for (size_t i = 0; i < rendered->count; i++)
        if (strcmp(rendered->entries[i].path, path) == 0)
            return &rendered->entries[i];
    return NULL;
}
