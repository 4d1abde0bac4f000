// SPDX-License-Identifier: Apache-2.0
// Type and label of a file system from its first bytes: ISO 9660, FAT, ext2/3/4. Pure; every byte is hostile.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>
#include <stdint.h>

#define SUPERBLOCK_READ_BYTES (36 << 10) // enough for each of them
#define SUPERBLOCK_DIRECTORY_BYTES 4096 // of a FAT's root directory

struct superblock {
    const char *type; // as mount(2) calls it: "iso9660", "vfat", "ext4"
    char label[33]; // printable ASCII, trailing blanks cut; "" = none
    uint64_t directory_offset; // FAT: where the root directory starts, whose label outranks the boot sector's; else 0
};

// False when it is none of them. Fewer bytes than SUPERBLOCK_READ_BYTES are fine: what lies beyond is not looked at.
bool superblock_parse(const uint8_t *bytes, size_t size, struct superblock *ret_superblock) must_check nonnull(1, 3);
// The volume label entry in the first bytes of a FAT root directory; leaves the label alone if there is none.
void superblock_parse_directory(const uint8_t *bytes, size_t size, struct superblock *superblock) nonnull(1, 3);
