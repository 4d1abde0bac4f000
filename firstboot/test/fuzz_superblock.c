// SPDX-License-Identifier: Apache-2.0
// Fuzz entry: any bytes as the beginning of a file system and as a FAT directory. The corpus holds the interesting 2 KiB pieces; they are put
// at their offsets here.
#include "firstboot/superblock.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_label(const struct superblock *superblock) {
    for (const char *c = superblock->label; *c; c++)
        if (*c < ' ' || *c > '~')
            abort();
    if (strlen(superblock->label) >= sizeof(superblock->label))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t offsets[] = {0, 1024, 32768};
    struct superblock found = {0};
    for (size_t i = 0; i < ARRAY_SIZE(offsets); i++) {
        uint8_t *bytes = calloc(offsets[i] + size + 1, 1);
        if (!bytes)
            abort();
        memcpy(bytes + offsets[i], data, size);
        if (superblock_parse(bytes, offsets[i] + size, &found))
            check_label(&found);
        free(bytes);
    }
    found = (struct superblock){.type = "vfat"};
    superblock_parse_directory(data, size, &found);
    check_label(&found);
    return 0;
}
