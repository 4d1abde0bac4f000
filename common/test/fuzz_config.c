// SPDX-License-Identifier: Apache-2.0
// Fuzz entry: any bytes as config.env. An accepted file must survive being written and read again.
#include "common/buf.h"
#include "common/schema.h"
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cleanup_config struct config config = {0}, again = {0};
    cleanup_config_problems struct config_problems problems = {0};
    if (schema_parse(&schema_base, (const char *)data, size, &config, &problems) < 0 && problems.count == 0)
        abort();
    if (problems.count)
        return 0;
    cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < config.count; i++)
        if (config_format_entry(config.entries[i].key, config.entries[i].value, &text) < 0)
            abort();
    if (schema_parse(&schema_base, buf_str(&text), text.size, &again, &problems) < 0 || again.count != config.count)
        abort();
    for (size_t i = 0; i < config.count; i++)
        if (strcmp(config.entries[i].value, again.entries[i].value) != 0)
            abort();
    return 0;
}
