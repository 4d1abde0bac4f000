// SPDX-License-Identifier: Apache-2.0
// The only reader and writer of overlay disks: through QEMU's own tools, because only they know the format.
#include "builder/damage.h"
#include "builder/gpt.h"
#include "builder/qcow2.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "common/slot.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define TOOL_TIMEOUT_MS 60000
#define MAX_PARTITIONS 16
#define TABLE_BYTES 65536 // protective MBR, header, 128 entries, and room
#define PATTERN "0xa5"

// Copies bytes of the virtual disk to a file, and opens that. Offset and size are multiples of 4096.
static int read_disk(const char *disk, const char *to, uint64_t offset, uint64_t bytes, struct err *err) {
    cleanup_free char *in = str_printf("if=%s", disk);
    cleanup_free char *out = str_printf("of=%s", to);
    cleanup_free char *skip = str_printf("skip=%" PRIu64, offset / SLOT_BLOCK_BYTES);
    // qemu-img(1): `count` counts from the start of the input, not from where `skip` leads.
    cleanup_free char *count = str_printf("count=%" PRIu64, (offset + bytes) / SLOT_BLOCK_BYTES);
    unlink(to);
    struct run copy = {.argv = RUN_ARGV("qemu-img", "dd", "-f", "qcow2", "-O", "raw", "bs=4096", skip, count, in, out),
                       .timeout_ms = TOOL_TIMEOUT_MS};
    int r = run_quiet(&copy, err);
    return r < 0 ? r : file_open(AT_FDCWD, to, O_RDWR, 0, err);
}

static int find_partition(const char *disk, const char *dir, const char *slot, uint64_t *ret_offset, struct err *err) {
    cleanup_free char *path = str_printf("%s/table.raw", dir);
    cleanup_free char *name = str_printf("webops-%s", slot);
    struct gpt_partition partitions[MAX_PARTITIONS];
    unsigned count = 0;
    struct qcow2_info info;
    int r = qcow2_info(disk, &info, err);
    if (r < 0)
        return r;
    cleanup_fd int fd = read_disk(disk, path, 0, TABLE_BYTES, err);
    if (fd < 0)
        return fd;
    // The table's reader wants a file as large as the disk.
    if (ftruncate(fd, (off_t)info.bytes) < 0)
        return err_sys(err, -errno, "%s", path);
    r = gpt_read(fd, disk, partitions, MAX_PARTITIONS, &count, err);
    unlink(path);
    if (r < 0)
        return r;
    const struct gpt_partition *found = gpt_find(partitions, count, name);
    if (!found)
        return err_set(err, -ENOENT, "%s: no partition %s", disk, name);
    *ret_offset = found->offset;
    return 0;
}

static int read_header(const char *disk, const char *dir, uint64_t offset, struct slot_header *ret_header, struct err *err) {
    cleanup_free char *path = str_printf("%s/header.raw", dir);
    uint8_t bytes[SLOT_HEADER_BYTES] = {0};
    cleanup_fd int fd = read_disk(disk, path, offset, sizeof(bytes), err);
    if (fd < 0)
        return fd;
    ssize_t got = pread(fd, bytes, sizeof(bytes), 0);
    unlink(path);
    if (got != (ssize_t)sizeof(bytes))
        return err_set(err, -EIO, "%s: slot header", disk);
    return slot_header_parse(bytes, sizeof(bytes), ret_header, err);
}

int damage_slot(const char *disk, const char *dir, const char *slot, uint64_t *ret_offset, struct err *err) {
    struct slot_header header = {0};
    uint64_t start = 0;
    int r = find_partition(disk, dir, slot, &start, err);
    if (r == 0)
        r = read_header(disk, dir, start, &header, err);
    if (r < 0)
        return err_prefix(err, r, "damaging slot %s", slot);
    // Two thirds into the first layer: data that a boot rarely reads, so that only a check of the whole slot meets it.
    uint64_t at = start + (header.layers[0].offset + header.layers[0].length / 3 * 2) / SLOT_BLOCK_BYTES * SLOT_BLOCK_BYTES;
    cleanup_free char *command = str_printf("write -P " PATTERN " %" PRIu64 " %d", at, SLOT_BLOCK_BYTES);
    struct run write = {.argv = RUN_ARGV("qemu-io", "-f", "qcow2", "-c", command, disk), .timeout_ms = TOOL_TIMEOUT_MS};
    r = run_quiet(&write, err);
    if (r < 0)
        return err_prefix(err, r, "damaging slot %s", slot);
    *ret_offset = at;
    return 0;
}
