// SPDX-License-Identifier: Apache-2.0
// Offsets: ECMA-119 8.4 (primary volume descriptor), Microsoft FAT specification 1.03, Linux Documentation/filesystems/ext4/super.rst.
#include "firstboot/superblock.h"
#include <string.h>

static uint32_t le16(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t le32(const uint8_t *at) {
    return le16(at) | le16(at + 2) << 16;
}

// Copies a padded label; one with unprintable bytes is taken as no label.
static void set_label(struct superblock *superblock, const uint8_t *bytes, size_t size) {
    const uint8_t *nul = memchr(bytes, 0, size);
    if (nul)
        size = (size_t)(nul - bytes);
    while (size > 0 && bytes[size - 1] == ' ')
        size--;
    for (size_t i = 0; i < size; i++)
        if (bytes[i] < ' ' || bytes[i] > '~')
            size = 0;
    memcpy(superblock->label, bytes, size);
    superblock->label[size] = 0;
}

static bool parse_ext(const uint8_t *bytes, size_t size, struct superblock *ret) {
    const uint8_t *super = bytes + 1024;
    if (size < 2048 || le16(super + 56) != 0xef53)
        return false;
    ret->type = "ext4";
    set_label(ret, super + 120, 16);
    return true;
}

static bool parse_iso(const uint8_t *bytes, size_t size, struct superblock *ret) {
    const uint8_t *volume = bytes + 32768;
    if (size < 32768 + 2048 || volume[0] != 1 || memcmp(volume + 1, "CD001\1", 6) != 0)
        return false;
    ret->type = "iso9660";
    set_label(ret, volume + 40, 32);
    return true;
}

static bool is_power_of_two(uint32_t number, uint32_t low, uint32_t high) {
    return number >= low && number <= high && (number & (number - 1)) == 0;
}

static bool parse_fat(const uint8_t *bytes, size_t size, struct superblock *ret) {
    if (size < 512 || le16(bytes + 510) != 0xaa55 || (bytes[0] != 0xeb && bytes[0] != 0xe9))
        return false;
    uint32_t sector = le16(bytes + 11), cluster = bytes[13], reserved = le16(bytes + 14), fats = bytes[16];
    if (!is_power_of_two(sector, 512, 4096) || !is_power_of_two(cluster, 1, 128) || reserved == 0 || fats == 0 || fats > 2)
        return false;
    bool is_32 = memcmp(bytes + 82, "FAT32   ", 8) == 0;
    if (!is_32 && memcmp(bytes + 54, "FAT", 3) != 0)
        return false;
    uint64_t fat_sectors = is_32 ? le32(bytes + 36) : le16(bytes + 22);
    uint64_t data = reserved + fats * fat_sectors; // of FAT12/16 the root directory stands here, of FAT32 cluster 2
    uint32_t root = le32(bytes + 44);
    if (is_32 && root < 2)
        return false;
    ret->type = "vfat";
    ret->directory_offset = (data + (is_32 ? (uint64_t)(root - 2) * cluster : 0)) * sector;
    set_label(ret, bytes + (is_32 ? 71 : 43), 11);
    if (strcmp(ret->label, "NO NAME") == 0)
        ret->label[0] = 0;
    return true;
}

bool superblock_parse(const uint8_t *bytes, size_t size, struct superblock *ret_superblock) {
    static bool (*const parsers[])(const uint8_t *, size_t, struct superblock *) = {parse_ext, parse_iso, parse_fat};
    for (size_t i = 0; i < ARRAY_SIZE(parsers); i++) {
        struct superblock found = {0};
        if (!parsers[i](bytes, size, &found))
            continue;
        *ret_superblock = found;
        return true;
    }
    return false;
}

void superblock_parse_directory(const uint8_t *bytes, size_t size, struct superblock *superblock) {
    enum { ENTRY = 32, DELETED = 0xe5, VOLUME_ID = 0x08, DIRECTORY = 0x10 };
    for (size_t at = 0; at + ENTRY <= size && bytes[at] != 0; at += ENTRY) {
        if (bytes[at] == DELETED || (bytes[at + 11] & (VOLUME_ID | DIRECTORY)) != VOLUME_ID ||
            bytes[at + 11] == 0x0f) // 0x0f: part of a long name
            continue;
        set_label(superblock, bytes + at, 11);
        return;
    }
}
