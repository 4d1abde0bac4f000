// SPDX-License-Identifier: Apache-2.0
// Whatever apt prints: a set that parses must come out of its own text form unchanged, and be usable in file names.
#include "builder/package_set.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cleanup_package_set struct package_set set = {0}, again = {0};
    cleanup_buf struct buf text = {0}, second = {0};
    struct err err = {0};
    const char *bytes = size ? (const char *)data : "";
    if (package_set_parse_uris(bytes, size, &set, &err) < 0)
        return 0;
    for (size_t i = 0; i < set.count; i++)
        assert(!strchr(set.packages[i].file, '/') && set.packages[i].file[0] != '.' && set.packages[i].name[0] != '-');
    package_set_format(&set, &text);
    int r = package_set_parse(buf_str(&text), text.size, &again, &err);
    assert(r == 0);
    package_set_format(&again, &second);
    assert(text.size == second.size && memcmp(buf_str(&text), buf_str(&second), text.size) == 0);
    return 0;
}
