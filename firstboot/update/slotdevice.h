// SPDX-License-Identifier: Apache-2.0
// Finds and opens the one block device that may be written: the slot that was not booted, on the disk that was. Whatever is not exactly as an
// image of ours makes it is refused; nothing is guessed.
#pragma once
#include "common/config.h"
#include "common/err.h"
#include "firstboot/update/boot.h"

struct slotdevice {
    int fd; // read and write, exclusive
    char name[64]; // "/dev/vda4"
    uint64_t bytes;
};

// -ENODEV: the boot record, sysfs or the device do not fit together; -ENOTUNIQ: two partitions of one name; -EBUSY: it is the running slot, is
// mounted, or something lies on it; -EROFS. Below a root_fd that is not the machine's own "/", a regular file stands for the device.
int slotdevice_open(int root_fd, const struct config *record, enum boot_slot slot, struct slotdevice *ret_device,
                    struct err *err) must_check nonnull(2, 4, 5);
// The same checks, but opened only for reading and shared: for looking at what the other slot holds.
int slotdevice_open_read(int root_fd, const struct config *record, enum boot_slot slot, struct slotdevice *ret_device,
                         struct err *err) must_check nonnull(2, 4, 5);
// Throws away what the page cache holds of it, so that the next read comes from the disk. Everything must have been flushed.
int slotdevice_drop_cache(int fd, const char *name, struct err *err) must_check nonnull(2, 3);
