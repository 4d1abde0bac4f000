// SPDX-License-Identifier: Apache-2.0
// Reads a file of the image: a mistake in it is the build's, and an error here.
#include "firstboot/update/generationinfo.h"
#include "common/config.h"
#include "common/file.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <string.h>

static int parse(const struct config *config, struct generation_info *info, struct err *err) {
    int64_t schema = 0;
    const struct config_entry *keys = config_find(config, "DEVELOPMENT_KEYS");
    int r = record_text(config, "COMPATIBLE", info->compatible, sizeof(info->compatible), err);
    if (r >= 0)
        r = record_text(config, "CHANNEL", info->channel, sizeof(info->channel), err);
    if (r >= 0)
        r = record_number(config, "CREATED", &info->created, err);
    if (r >= 0)
        r = record_number(config, "CONFIG_SCHEMA", &schema, err);
    info->config_schema = (uint32_t)schema;
    info->is_development = keys && strcmp(keys->value, "true") == 0;
    return r;
}

int generation_info_load(int root_fd, struct generation_info *ret_info, struct err *err) {
    cleanup_config_problems struct config_problems problems = {0};
    cleanup_config struct config config = {0};
    cleanup_free char *text = NULL;
    size_t size;
    *ret_info = (struct generation_info){0};
    int r = file_read(root_fd, GENERATION_PATH, CONFIG_MAX_BYTES, &text, &size, err);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (config_parse(text, size, &config, &problems) < 0)
        return err_set(err, -EINVAL, "/" GENERATION_PATH ":%u: %s", problems.items[0].line, problems.items[0].text);
    r = parse(&config, ret_info, err);
    return r < 0 ? err_prefix(err, r, "/" GENERATION_PATH) : 0;
}
