// SPDX-License-Identifier: Apache-2.0
// libfdisk works on files and devices, so it gets a file in memory, as large as the disk and with holes for what nobody looks at.
#include "builder/flash/table.h"
#include "builder/flash/flash.h"
#include "common/digest.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char table_name[] = "the image's partition table";

static int open_table(const uint8_t *head, uint64_t bytes, struct err *err) {
    cleanup_fd int fd = memfd_create("table", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
        return err_sys(err, -errno, "a file of %llu bytes in memory for the partition table", (unsigned long long)bytes);
    int r = pwrite_all(fd, table_name, head, FLASH_HEAD_BYTES, 0, err);
    return r < 0 ? r : take_fd(&fd);
}

int table_fit(uint8_t *head, uint8_t *tail, uint64_t disk_bytes, struct err *err) {
    uint64_t tail_at = disk_bytes - FLASH_TAIL_BYTES;
    cleanup_fd int fd = open_table(head, disk_bytes, err);
    int r = fd < 0 ? fd : pwrite_all(fd, table_name, tail, FLASH_TAIL_BYTES, tail_at, err);
    if (r >= 0)
        r = gpt_fit(fd, table_name, err);
    if (r >= 0)
        r = pread_all(fd, table_name, head, FLASH_HEAD_BYTES, 0, err);
    return r < 0 ? r : pread_all(fd, table_name, tail, FLASH_TAIL_BYTES, tail_at, err);
}

static int load(const uint8_t *head, uint64_t bytes, struct gpt_partition ret_partitions[GPT_MAX_PARTITIONS], unsigned *ret_count,
                struct err *err) {
    cleanup_fd int fd = open_table(head, bytes, err);
    return fd < 0 ? fd : gpt_read(fd, table_name, ret_partitions, GPT_MAX_PARTITIONS, ret_count, err);
}

int table_find(const uint8_t *head, uint64_t image_bytes, const char *name, uint64_t *ret_offset, struct err *err) {
    struct gpt_partition partitions[GPT_MAX_PARTITIONS];
    unsigned count = 0;
    int r = load(head, image_bytes, partitions, &count, err);
    const struct gpt_partition *found = r < 0 ? NULL : gpt_find(partitions, count, name);
    if (r >= 0 && !found)
        return err_set(err, -ENOENT, "the image has no partition %s", name);
    if (found)
        *ret_offset = found->offset;
    return r;
}

void table_name_at(const uint8_t *head, uint64_t image_bytes, uint64_t offset, char ret_name[GPT_NAME_BYTES]) {
    struct gpt_partition partitions[GPT_MAX_PARTITIONS];
    unsigned count = 0;
    struct err ignored;
    ret_name[0] = 0;
    if (load(head, image_bytes, partitions, &count, &ignored) < 0)
        return;
    for (unsigned i = 0; i < count; i++)
        if (offset >= partitions[i].offset && offset - partitions[i].offset < partitions[i].size)
            memcpy(ret_name, partitions[i].name, GPT_NAME_BYTES);
}
