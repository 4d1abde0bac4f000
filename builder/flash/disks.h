// SPDX-License-Identifier: Apache-2.0
// The disks of this computer as the kernel lists them, which one is meant, and what speaks against writing to it.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk {
    char *path; // "/dev/sdb"
    char *model, *serial, *transport; // "" = unknown
    uint64_t size; // bytes
    uint64_t sector; // bytes of a logical one
    bool is_read_only, is_removable;
    bool is_loop; // of a file: found when it is named, never offered
    char *use; // "/dev/sda2 is mounted at /"; NULL = nobody uses it
};

struct disks {
    struct disk *items;
    size_t count;
};

// From sys/block, proc/self/mountinfo and proc/swaps below `root_fd`, in the order of their names. What is mounted outside of a chroot is not seen there:
// who writes opens the disk exclusively, too.
int disks_load(int root_fd, struct disks *ret_disks, struct err *err) must_check nonnull(2, 3);
void disks_done(struct disks *disks);
// The one with this path (symbolic links followed) and this serial number, either may be NULL, not both. -ENOENT and -ENOTUNIQ say what there is.
int disks_choose(const struct disks *disks, const char *path, const char *serial, const struct disk **ret_disk, struct err *err) must_check
    nonnull(1, 4, 5);
// 0, or why an image of this size cannot go there: -EPERM (in use), -EROFS, -ENOSPC, -EINVAL.
int disk_check(const struct disk *disk, uint64_t image_bytes, struct err *err) must_check nonnull(1, 3);
// Only whether an image of this size can be on it: -ENOSPC.
int disk_check_size(const struct disk *disk, uint64_t image_bytes, struct err *err) must_check nonnull(1, 3);
struct buf;
// A table for people, or JSON; loop devices are left out.
void disks_format(const struct disks *disks, struct buf *text) nonnull(1, 2);
void disks_format_json(const struct disks *disks, struct buf *text) nonnull(1, 2);
// "Samsung SSD 870, 465.8 GiB, usb, serial S5Y1"
void disk_describe(const struct disk *disk, struct buf *text) nonnull(1, 2);

#define cleanup_disks cleanup(disks_done)
