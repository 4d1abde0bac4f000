// SPDX-License-Identifier: Apache-2.0
// The PE reader on arbitrary bytes: whatever it finds lies inside the file.
#include "builder/uki.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {".cmdline", ".linux", ".text"};
    for (unsigned i = 0; i < 3; i++) {
        struct uki_section section;
        struct err err = {0};
        int r = uki_section_find(data, size, size, names[i], &section, &err);
        if (r == 0 && (section.offset > size || section.size > size - section.offset))
            abort();
        if (r < 0 && !err.text[0])
            abort();
    }
    return 0;
}
