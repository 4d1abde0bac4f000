// SPDX-License-Identifier: Apache-2.0
// Fuzz entry: any bytes as a seed's network-config and meta-data.
#include "common/buf.h"
#include "common/schema.h"
#include "firstboot/seed_network.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    int network = seed_network_config((const char *)data, size, &config, &problems);
    if ((network < 0) != (problems.count > 0) || (network < 0 && config.count))
        abort();
    size_t before = problems.count;
    int meta = seed_meta_data((const char *)data, size, &config, &problems);
    if ((meta < 0) != (problems.count > before))
        abort();
    // What the schema takes must be writable into a config.env.
    if (network < 0 || meta < 0 || schema_check(&schema_base, &config, &problems) < 0)
        return 0;
    cleanup_buf struct buf text = {0};
    for (size_t i = 0; i < config.count; i++)
        if (config_format_entry(config.entries[i].key, config.entries[i].value, &text) < 0)
            abort();
    return 0;
}
