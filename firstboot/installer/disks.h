// SPDX-License-Identifier: Apache-2.0
// The disks of a machine that was started from an installation medium: what webops-flash lists, and what each of them holds of ours.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INSTALL_FLASH_PROGRAM "/usr/lib/webops/webops-flash"

enum install_holds {
    INSTALL_HOLDS_NOTHING, // or an installation that was not finished
    INSTALL_HOLDS_DATA, // partitions, a file system, a part of a RAID
    INSTALL_HOLDS_OTHER, // a machine
    INSTALL_HOLDS_SAME // a machine with the generation of the medium
};

struct install_disk {
    char *path, *model, *serial, *by; // "" = unknown
    char *use; // why it is in use; NULL = it is not
    uint64_t bytes, sector_bytes;
    bool is_read_only, is_removable, is_medium;
    bool is_seed; // has a volume labelled WEBOPS or cidata, be it that of the configuration or not
    enum install_holds holds;
};
struct install_disks {
    struct install_disk *items;
    size_t count;
};

// Of the JSON that `webops-flash --list --json` prints. -EINVAL for anything else.
int install_disks_parse(const char *json, struct install_disks *ret_disks, struct err *err) must_check nonnull(1, 2, 3);
// Lists them now and looks at each. `medium` is the medium's disk ("/dev/sdb"; "" = none), `slot_id` that of the generation that runs, 32
// hexadecimal digits.
int install_disks_load(int root_fd, const char *medium, const char *slot_id, struct install_disks *ret_disks, struct err *err) must_check
    nonnull(2, 3, 4, 5);
// What stands on them: installed machines, by the names of partitions in sysfs and the header of slots; volumes, by their labels; anything else, by
// partitions in sysfs and by what udev has found.
int install_disks_look(int root_fd, const char *medium, const char *slot_id, struct install_disks *disks, struct err *err) must_check
    nonnull(2, 3, 4, 5);
// One line for people, without a line feed.
void install_disk_format(const struct install_disk *disk, struct buf *text) nonnull(1, 2);
void install_disks_done(struct install_disks *disks);

#define cleanup_install_disks cleanup(install_disks_done)
