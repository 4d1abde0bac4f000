// SPDX-License-Identifier: Apache-2.0
// The table's few fields by hand (UEFI 2.10, chapter 5): what webops-image writes with libfdisk only has to be found and moved here, also by a
// program that has no libraries.
#include "builder/flash/table.h"
#include "builder/flash/flash.h"
#include "common/le.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

#define SECTOR_BYTES 512
#define HEADER_BYTES 92
#define ENTRY_BYTES 128
#define ENTRIES_BYTES ((size_t)GPT_MAX_PARTITIONS * ENTRY_BYTES)
#define ENTRIES_SECTORS (ENTRIES_BYTES / SECTOR_BYTES)
#define FIRST_ENTRY_SECTOR 2
#define NAME_CHARACTERS 36
// Offsets in the protective MBR, the header and an entry.
enum { MBR_TYPE = 446 + 4, MBR_SECTORS = 446 + 12, MBR_PROTECTIVE = 0xee };
enum {
    SIZE = 12,
    HEADER_CRC = 16,
    OWN_SECTOR = 24,
    OTHER_SECTOR = 32,
    LAST_USABLE = 48,
    ENTRIES_AT = 72,
    COUNT = 80,
    ENTRY_SIZE = 84,
    CRC = 88
};
enum { FIRST = 32, LAST = 40, NAME = 56 };
#define ISO_MAGIC "CD001" // ECMA-119, 8.1: of the first volume descriptor, in sector 16 of 2048 bytes
#define ISO_MAGIC_AT (16 * 2048 + 1)

// CRC-32 of IEEE 802.3, bit by bit: for some kilobytes.
static uint32_t crc32(const uint8_t *bytes, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

// With zeros in the place of the result.
static uint32_t header_crc(const uint8_t *header) {
    uint8_t copy[HEADER_BYTES];
    memcpy(copy, header, sizeof(copy));
    le_put(copy + HEADER_CRC, 4, 0);
    return crc32(copy, sizeof(copy));
}

// The entries behind the primary header; NULL when there is no table of the one form that our images have.
static const uint8_t *find_entries(const uint8_t *head) {
    const uint8_t *header = head + SECTOR_BYTES, *entries = head + (size_t)FIRST_ENTRY_SECTOR * SECTOR_BYTES;
    bool is_ours = memcmp(header, "EFI PART", 8) == 0 && le_get(header + SIZE, 4) == HEADER_BYTES && le_get(header + OWN_SECTOR, 8) == 1 &&
                   le_get(header + ENTRIES_AT, 8) == FIRST_ENTRY_SECTOR && le_get(header + COUNT, 4) == GPT_MAX_PARTITIONS &&
                   le_get(header + ENTRY_SIZE, 4) == ENTRY_BYTES;
    return is_ours && le_get(header + HEADER_CRC, 4) == header_crc(header) && le_get(header + CRC, 4) == crc32(entries, ENTRIES_BYTES)
               ? entries
               : NULL;
}

static int no_table(struct err *err) {
    return err_set(err, -ENOENT, "the image has no GPT partition table (of %d entries, with right checksums)", GPT_MAX_PARTITIONS);
}

// An installation medium has a GPT, too, but the one that xorriso makes, with 248 entries.
int table_check(const uint8_t *head, const char *name, struct err *err) {
    if (find_entries(head))
        return 0;
    if (memcmp(head + ISO_MAGIC_AT, ISO_MAGIC, strlen(ISO_MAGIC)) == 0)
        return err_set(err, -EINVAL,
                       "%s is an ISO 9660 image, such as an installation medium: nothing was written; dd writes it to a stick "
                       "(docs/INSTALLER.md)",
                       name);
    return err_set(err, -EINVAL, "%s has no GPT partition table of a webops image, or a damaged one: nothing was written", name);
}

int table_fit(uint8_t *head, uint8_t *tail, uint64_t disk_bytes, struct err *err) {
    uint64_t sectors = disk_bytes / SECTOR_BYTES, last = sectors - 1;
    uint8_t *header = head + SECTOR_BYTES, *backup = tail + FLASH_TAIL_BYTES - SECTOR_BYTES;
    const uint8_t *entries = find_entries(head);
    assert(disk_bytes % SECTOR_BYTES == 0 && disk_bytes >= FLASH_HEAD_BYTES + FLASH_TAIL_BYTES);
    if (!entries)
        return no_table(err);
    if (head[MBR_TYPE] == MBR_PROTECTIVE)
        le_put(head + MBR_SECTORS, 4, last < UINT32_MAX ? (uint32_t)last : UINT32_MAX);
    le_put(header + OTHER_SECTOR, 8, last);
    le_put(header + LAST_USABLE, 8, last - ENTRIES_SECTORS - 1);
    le_put(header + HEADER_CRC, 4, header_crc(header));
    memcpy(backup, header, SECTOR_BYTES);
    memcpy(backup - ENTRIES_BYTES, entries, ENTRIES_BYTES);
    le_put(backup + OWN_SECTOR, 8, last);
    le_put(backup + OTHER_SECTOR, 8, 1);
    le_put(backup + ENTRIES_AT, 8, last - ENTRIES_SECTORS);
    le_put(backup + HEADER_CRC, 4, header_crc(backup));
    return 0;
}

// UTF-16 that goes to terminals: only printable ASCII is kept.
static void copy_name(const uint8_t *entry, char ret_name[GPT_NAME_BYTES]) {
    size_t i = 0;
    for (; i < NAME_CHARACTERS; i++) {
        unsigned unit = entry[NAME + 2 * i] | (unsigned)entry[NAME + 2 * i + 1] << 8;
        if (unit == 0)
            break;
        ret_name[i] = unit < ' ' || unit > '~' ? '?' : (char)unit;
    }
    ret_name[i] = 0;
}

struct part {
    char name[GPT_NAME_BYTES];
    uint64_t offset, size; // bytes
};

// False: the entry is not used, or its partition is not inside the image.
static bool read_entry(const uint8_t *entry, uint64_t image_bytes, struct part *ret_part) {
    static const uint8_t unused[16];
    uint64_t first = le_get(entry + FIRST, 8), last = le_get(entry + LAST, 8);
    if (memcmp(entry, unused, sizeof(unused)) == 0 || first > last || last >= image_bytes / SECTOR_BYTES)
        return false;
    *ret_part = (struct part){.offset = first * SECTOR_BYTES, .size = (last - first + 1) * SECTOR_BYTES};
    copy_name(entry, ret_part->name);
    return true;
}

int table_find(const uint8_t *head, uint64_t image_bytes, const char *name, uint64_t *ret_offset, struct err *err) {
    const uint8_t *entries = find_entries(head);
    struct part part;
    if (!entries)
        return no_table(err);
    for (size_t i = 0; i < GPT_MAX_PARTITIONS; i++)
        if (read_entry(entries + i * ENTRY_BYTES, image_bytes, &part) && strcmp(part.name, name) == 0) {
            *ret_offset = part.offset;
            return 0;
        }
    return err_set(err, -ENOENT, "the image has no partition %s", name);
}

void table_name_at(const uint8_t *head, uint64_t image_bytes, uint64_t offset, char ret_name[GPT_NAME_BYTES]) {
    const uint8_t *entries = find_entries(head);
    struct part part;
    ret_name[0] = 0;
    for (size_t i = 0; entries && i < GPT_MAX_PARTITIONS; i++)
        if (read_entry(entries + i * ENTRY_BYTES, image_bytes, &part) && offset >= part.offset && offset - part.offset < part.size)
            memcpy(ret_name, part.name, GPT_NAME_BYTES);
}
