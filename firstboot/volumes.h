// SPDX-License-Identifier: Apache-2.0
// Block devices that may hold a seed: found in sysfs, recognised by their own superblock, opened without a mount point.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOLUME_NAME_BYTES 64
#define VOLUME_MEDIUM "run/webops/medium" // where the init mounts the installation medium that it started from

enum volume_kind { VOLUME_ESP, VOLUME_WEBOPS, VOLUME_CIDATA };

struct volume {
    enum volume_kind kind;
    char device[VOLUME_NAME_BYTES]; // kernel name: "sdb1"
    char disk[VOLUME_NAME_BYTES]; // the disk it is a partition of: "sdb"; or itself
    char label[33];
    const char *type; // of the file system
};

struct volumes {
    struct volume *items; // ESP of the booted disk, then volumes WEBOPS, then cidata; each by name
    size_t count;
};

void volumes_done(struct volumes *volumes);
// All candidates below root_fd (sys/class/block, dev/). Devices that cannot be read (no medium) are skipped.
int volumes_find(int root_fd, struct volumes *ret_volumes, struct err *err) must_check nonnull(2, 3);
// Waits until `until_ms` of clock_ms(), which Linux counts from its start, 0 = not at all; then until udev has dealt with the devices that are known
// (at most ten seconds).
void volumes_settle(int root_fd, int64_t until_ms);
// Opens the file system on `device` (relative to root_fd) read-only, without set-id bits, devices, programs or symbolic links, and returns a
// directory descriptor. It is mounted nowhere: nobody else can see it, and closing the descriptor ends it.
int volume_open(int root_fd, const char *device, const char *type, struct err *err) must_check nonnull(2, 3, 4);
// The same, but writable and for ESPs only (FAT): -EBUSY while somebody else has it mounted read-only.
int volume_open_writable(int root_fd, const char *device, struct err *err) must_check nonnull(2, 3);
// Kernel name of the partition named `partition` on `disk` (a kernel name, too). -ENOENT: none; -ENOTUNIQ: two.
int volume_find_partition(int root_fd, const char *disk, const char *partition, char ret_device[VOLUME_NAME_BYTES],
                          struct err *err) must_check nonnull(2, 3, 4, 5);

#define cleanup_volumes cleanup(volumes_done)
