// SPDX-License-Identifier: Apache-2.0
// The init's record is in config.env syntax, so there is one parser for both.
#include "firstboot/bootrecord.h"
#include "common/file.h"
#include <errno.h>
#include <string.h>

int bootrecord_load(int root_fd, struct config *ret_record, struct err *err) {
    cleanup_config_problems struct config_problems problems = {0};
    cleanup_free char *text = NULL;
    size_t size;
    *ret_record = (struct config){0};
    int r = file_read(root_fd, BOOTRECORD_PATH, CONFIG_MAX_BYTES, &text, &size, err);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = config_parse(text, size, ret_record, &problems);
    if (r < 0)
        return err_set(err, r, "/" BOOTRECORD_PATH ":%u: %s", problems.items[0].line, problems.items[0].text);
    return 0;
}

const char *bootrecord_text(const struct config *record, const char *key) {
    const struct config_entry *entry = config_find(record, key);
    return entry ? entry->value : "";
}

bool bootrecord_is_medium(const struct config *record) {
    return strcmp(bootrecord_text(record, "SLOT"), "medium") == 0;
}
