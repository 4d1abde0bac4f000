// SPDX-License-Identifier: Apache-2.0
// Reads the disk's own table instead of asking udev: what was just written is what the firmware will read.
#include "firstboot/installer/bootorder.h"
#include "common/buf.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/le.h"
#include "firstboot/update/efivar.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define SECTOR_BYTES 512
#define ENTRY_BYTES 128
#define NAME_OFFSET 56 // of a GPT entry: 36 characters of UTF-16
#define DESCRIPTION "webops"
#define LOADER "\\EFI\\BOOT\\BOOTX64.EFI"
#define ACTIVE 1 // LOAD_OPTION_ACTIVE
#define VARIABLE_MAX_BYTES 4096

struct writer {
    uint8_t *bytes;
    size_t size;
};

static void put(struct writer *writer, uint64_t value, unsigned bytes) {
    le_put(writer->bytes + writer->size, bytes, value);
    writer->size += bytes;
}

static void put_utf16(struct writer *writer, const char *text) {
    do
        put(writer, (uint8_t)*text, 2);
    while (*text++);
}

static bool has_name(const uint8_t *utf16, const char *text) {
    do
        if (le_get(utf16, 2) != (uint8_t)*text)
            return false;
    while (utf16 += 2, *text++);
    return true;
}

int bootorder_find_esp(const uint8_t *table, size_t size, struct bootorder_partition *ret_partition, struct err *err) {
    const uint8_t *header = table + SECTOR_BYTES;
    if (size < BOOTORDER_TABLE_BYTES || memcmp(header, "EFI PART", 8) != 0 || le_get(header + 72, 8) != 2 ||
        le_get(header + 84, 4) != ENTRY_BYTES)
        return err_set(err, -EINVAL, "the disk has no partition table as we make them");
    for (uint32_t i = 0; i < (BOOTORDER_TABLE_BYTES - 2 * SECTOR_BYTES) / ENTRY_BYTES; i++) {
        const uint8_t *entry = table + (size_t)2 * SECTOR_BYTES + (size_t)i * ENTRY_BYTES;
        if (!has_name(entry + NAME_OFFSET, "esp"))
            continue;
        struct bootorder_partition partition = {.number = i + 1, .first = le_get(entry + 32, 8)};
        partition.sectors = le_get(entry + 40, 8) - partition.first + 1;
        memcpy(partition.guid, entry + 16, sizeof(partition.guid));
        *ret_partition = partition;
        return 0;
    }
    return err_set(err, -ENOENT, "the disk has no partition named esp");
}

size_t bootorder_format_option(const struct bootorder_partition *partition, uint8_t ret_bytes[BOOTORDER_OPTION_BYTES]) {
    enum { MEDIA = 4, HARD_DRIVE = 1, FILE_PATH = 4, HARD_DRIVE_BYTES = 42, GPT = 2, BY_GUID = 2, END = 0x7f, END_ENTIRE = 0xff, HEAD = 4 };
    const size_t path_bytes = HEAD + 2 * sizeof(LOADER);
    struct writer writer = {.bytes = ret_bytes};
    put(&writer, EFIVAR_ATTRIBUTES, 4);
    put(&writer, ACTIVE, 4);
    put(&writer, HARD_DRIVE_BYTES + path_bytes + HEAD, 2);
    put_utf16(&writer, DESCRIPTION);
    put(&writer, MEDIA | HARD_DRIVE << 8 | HARD_DRIVE_BYTES << 16, 4);
    put(&writer, partition->number, 4);
    put(&writer, partition->first, 8);
    put(&writer, partition->sectors, 8);
    memcpy(writer.bytes + writer.size, partition->guid, sizeof(partition->guid));
    writer.size += sizeof(partition->guid);
    put(&writer, GPT, 1);
    put(&writer, BY_GUID, 1);
    put(&writer, MEDIA | FILE_PATH << 8 | (uint32_t)path_bytes << 16, 4);
    put_utf16(&writer, LOADER);
    put(&writer, END | END_ENTIRE << 8 | HEAD << 16, 4);
    return writer.size;
}

bool bootorder_is_ours(const uint8_t *bytes, size_t size) {
    return size >= 10 + 2 * sizeof(DESCRIPTION) && has_name(bytes + 10, DESCRIPTION);
}

size_t bootorder_format(const uint8_t *old, size_t size, uint16_t number, uint8_t ret_bytes[4 + 2 * BOOTORDER_MAX_ENTRIES]) {
    struct writer writer = {.bytes = ret_bytes};
    put(&writer, EFIVAR_ATTRIBUTES, 4);
    put(&writer, number, 2);
    for (size_t at = 4; at + 2 <= size && writer.size + 2 <= 4 + 2 * BOOTORDER_MAX_ENTRIES; at += 2)
        if (le_get(old + at, 2) != number)
            put(&writer, le_get(old + at, 2), 2);
    return writer.size;
}

static char *variable_path(const char *name) {
    return str_printf(EFIVAR_DIR "/%s-" EFIVAR_GLOBAL, name);
}

// 1 = read, 0 = there is no such variable. One that cannot be read is there all the same: it is somebody's.
static int load(int root_fd, const char *name, char **ret_bytes, size_t *ret_size, struct err *err) {
    cleanup_free char *path = variable_path(name);
    int r = file_read(root_fd, path, VARIABLE_MAX_BYTES, ret_bytes, ret_size, err);
    return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

// Ours of an earlier time, else the first that is free.
static int find_number(int root_fd, uint16_t *ret_number, struct err *err) {
    int free_number = -1;
    for (unsigned number = 0; number < BOOTORDER_MAX_ENTRIES; number++) {
        cleanup_free char *name = str_printf("Boot%04X", number), *bytes = NULL;
        size_t size = 0;
        struct err ignored;
        int r = load(root_fd, name, &bytes, &size, &ignored);
        if (r > 0 && bootorder_is_ours((const uint8_t *)bytes, size)) {
            *ret_number = (uint16_t)number;
            return 0;
        }
        if (r == 0 && free_number < 0)
            free_number = (int)number;
    }
    if (free_number < 0)
        return err_set(err, -ENOSPC, "the firmware has no free boot entry");
    *ret_number = (uint16_t)free_number;
    return 0;
}

static int write_variables(int root_fd, const struct bootorder_partition *partition, struct err *err) {
    uint8_t option[BOOTORDER_OPTION_BYTES], order[4 + 2 * BOOTORDER_MAX_ENTRIES];
    uint16_t number = 0;
    cleanup_free char *old = NULL, *order_path = variable_path("BootOrder");
    size_t old_size = 0;
    int r = load(root_fd, "BootOrder", &old, &old_size, err);
    if (r >= 0)
        r = find_number(root_fd, &number, err);
    if (r < 0)
        return r;
    cleanup_free char *name = str_printf("Boot%04X", number), *path = variable_path(name);
    r = efivar_write(root_fd, path, option, bootorder_format_option(partition, option), err);
    if (r < 0)
        return r;
    size_t size = bootorder_format((const uint8_t *)old, old_size, number, order);
    return efivar_write(root_fd, order_path, order, size, err);
}

int bootorder_apply(int root_fd, const char *disk, struct err *err) {
    struct bootorder_partition partition;
    cleanup_free uint8_t *table = mem_array(BOOTORDER_TABLE_BYTES, 1);
    if (!file_exists(root_fd, EFIVAR_DIR))
        return 0;
    cleanup_fd int fd = file_open(root_fd, disk + 1, O_RDONLY, 0, err);
    int r = fd < 0 ? fd : pread_all(fd, disk, table, BOOTORDER_TABLE_BYTES, 0, err);
    if (r >= 0)
        r = bootorder_find_esp(table, BOOTORDER_TABLE_BYTES, &partition, err);
    if (r >= 0)
        r = write_variables(root_fd, &partition, err);
    return r < 0 ? err_prefix(err, r, "putting %s first in the firmware's boot order", disk) : 1;
}
