// SPDX-License-Identifier: Apache-2.0
// The list of rendered files, as a struct and as text.
#include "firstboot/manifest.h"
#include "common/file.h"
#include "common/slot.h"
#include <errno.h>
#include <string.h>

void manifest_done(struct manifest *manifest) {
    for (size_t i = 0; i < manifest->count; i++)
        free(manifest->entries[i].path);
    free(manifest->entries);
    *manifest = (struct manifest){0};
}

void manifest_hash(const void *data, size_t size, char ret_text[2 * SHA256_BYTES + 1]) {
    uint8_t digest[SHA256_BYTES];
    sha256_hash(data, size, digest);
    hex_format(digest, sizeof(digest), ret_text);
}

static struct manifest_entry *add_entry(struct manifest *manifest) {
    manifest->entries = mem_resize(manifest->entries, manifest->count + 1, sizeof(*manifest->entries));
    manifest->entries[manifest->count] = (struct manifest_entry){0};
    return &manifest->entries[manifest->count++];
}

void manifest_make(const struct plan *plan, struct manifest *ret_manifest) {
    *ret_manifest = (struct manifest){0};
    for (size_t i = 0; i < plan->count; i++) {
        const struct plan_entry *planned = &plan->entries[i];
        if (planned->kind == PLAN_DIRECTORY)
            continue;
        struct manifest_entry *entry = add_entry(ret_manifest);
        entry->path = str_dup(planned->path);
        entry->is_link = planned->kind == PLAN_LINK;
        entry->mode = planned->mode;
        manifest_hash(planned->content, planned->size, entry->sha256);
    }
}

void manifest_format(const struct manifest *manifest, struct buf *buf) {
    for (size_t i = 0; i < manifest->count; i++) {
        const struct manifest_entry *entry = &manifest->entries[i];
        if (entry->is_link)
            buf_printf(buf, "link %s %s\n", entry->sha256, entry->path);
        else
            buf_printf(buf, "%04o %s %s\n", entry->mode, entry->sha256, entry->path);
    }
}

static bool parse_line(const char *line, size_t size, struct manifest *manifest) {
    uint8_t digest[SHA256_BYTES];
    const size_t path_at = 5 + 2 * SHA256_BYTES + 1;
    if (size <= path_at || line[4] != ' ' || line[path_at - 1] != ' ' || !hex_parse(line + 5, SHA256_BYTES, digest))
        return false;
    bool is_link = memcmp(line, "link", 4) == 0;
    if (!is_link && strspn(line, "01234567") != 4)
        return false;
    struct manifest_entry *entry = add_entry(manifest);
    entry->path = str_printf("%.*s", (int)(size - path_at), line + path_at);
    entry->is_link = is_link;
    entry->mode = is_link ? 0777 : (mode_t)strtoul(line, NULL, 8);
    hex_format(digest, sizeof(digest), entry->sha256);
    return true;
}

int manifest_parse(const char *text, struct manifest *ret_manifest, struct err *err) {
    cleanup_manifest struct manifest manifest = {0};
    unsigned number = 1;
    for (const char *line = text; *line; number++) {
        size_t size = strcspn(line, "\n");
        if (line[size] != '\n' || !parse_line(line, size, &manifest))
            return err_set(err, -EINVAL, "/" MANIFEST_PATH ":%u: not a line of a manifest", number);
        line += size + 1;
    }
    *ret_manifest = manifest;
    manifest = (struct manifest){0};
    return 0;
}

int manifest_load(int root_fd, struct manifest *ret_manifest, struct err *err) {
    cleanup_free char *text = NULL;
    *ret_manifest = (struct manifest){0};
    int r = file_read(root_fd, MANIFEST_PATH, MANIFEST_MAX_BYTES, &text, NULL, err);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : manifest_parse(text, ret_manifest, err);
}

const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path) {
    for (size_t i = 0; i < manifest->count; i++)
        if (strcmp(manifest->entries[i].path, path) == 0)
            return &manifest->entries[i];
    return NULL;
}
