// SPDX-License-Identifier: Apache-2.0
// libfdisk works on files and devices, so it gets a file in memory, as large as the disk and with holes for what nobody looks at.
#include "builder/flash/table.h"
#include "builder/flash/flash.h"
#include "builder/gpt.h"
#include "common/digest.h"
#include <errno.h>
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

int table_find(const uint8_t *head, uint64_t image_bytes, const char *name, uint64_t *ret_offset, struct err *err) {
    struct gpt_partition partitions[GPT_MAX_PARTITIONS];
    unsigned count = 0;
    cleanup_fd int fd = open_table(head, image_bytes, err);
    int r = fd < 0 ? fd : gpt_read(fd, table_name, partitions, GPT_MAX_PARTITIONS, &count, err);
    const struct gpt_partition *found = r < 0 ? NULL : gpt_find(partitions, count, name);
    if (r >= 0 && !found)
        return err_set(err, -ENOENT, "the image has no partition %s", name);
    if (found)
        *ret_offset = found->offset;
    return r;
}
