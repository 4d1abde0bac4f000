// SPDX-License-Identifier: Apache-2.0
// Copies the facts of the boot record that outlive a boot.
#include "firstboot/generation.h"
#include "common/buf.h"
#include "common/file.h"
#include "firstboot/bootrecord.h"
#include <errno.h>
#include <string.h>

#define DIRECTORY "webops/.webops"

static void format(const struct config *record, struct buf *text) {
    static const char *const keys[] = {"PROFILE", "VERSION", "SEQUENCE", "ROOT_HASH", "SLOT_ID"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        buf_printf(text, "%s=%s\n", keys[i], bootrecord_text(record, keys[i]));
    for (size_t i = 0; i < record->count; i++) {
        const struct config_entry *entry = &record->entries[i];
        size_t size = strlen(entry->key);
        if (strncmp(entry->key, "LAYER", 5) == 0 && size > 5 && !strstr(entry->key, "_DEVICE"))
            buf_printf(text, "%s=%s\n", entry->key, entry->value);
    }
}

static int point_current(int root_fd, const char *target, struct err *err) {
    char now[64];
    ssize_t size = readlinkat(root_fd, DIRECTORY "/current", now, sizeof(now));
    if (size == (ssize_t)strlen(target) && memcmp(now, target, (size_t)size) == 0)
        return 0;
    unlinkat(root_fd, DIRECTORY "/.current", 0);
    if (symlinkat(target, root_fd, DIRECTORY "/.current") < 0 ||
        renameat(root_fd, DIRECTORY "/.current", root_fd, DIRECTORY "/current") < 0)
        return err_sys(err, -errno, "cannot make the link /" DIRECTORY "/current");
    return 1;
}

int generation_publish(int root_fd, const struct config *record, struct err *err) {
    const char *slot = bootrecord_text(record, "SLOT");
    if (strcmp(slot, "a") != 0 && strcmp(slot, "b") != 0)
        return 0;
    cleanup_buf struct buf text = {0};
    cleanup_free char *target = str_printf("versions/%s", slot), *path = str_printf(DIRECTORY "/%s", target), *now = NULL;
    format(record, &text);
    int r = file_mkdirs(root_fd, DIRECTORY "/versions", 0755, err);
    if (r < 0)
        return r;
    bool is_same = file_read(root_fd, path, CONFIG_MAX_BYTES, &now, NULL, err) == 0 && strcmp(now, buf_str(&text)) == 0;
    r = is_same ? 0 : file_publish(root_fd, path, text.data, text.size, 0644, err);
    if (r < 0)
        return r;
    r = point_current(root_fd, target, err);
    return r < 0 ? r : r > 0 || !is_same;
}
