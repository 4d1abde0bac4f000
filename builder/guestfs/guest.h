// SPDX-License-Identifier: Apache-2.0
// A disk image of somebody else, opened read-only in libguestfs' appliance: a small virtual machine whose kernel reads the file systems, so that ours
// does not. Nothing is believed: what comes out is data for whoever asked.
#pragma once
#include "common/err.h"
#include <guestfs.h>
#include <stdbool.h>

struct guest_options {
    const char *disk;
    const char *format; // "raw" or "qcow2", never guessed: a raw disk may look like a qcow2 that names other files
    bool software; // no hardware virtualisation: where /dev/kvm is there and does not work, the appliance would never start
};

// Starts the appliance. The caller ends it with guest_close(). -EIO with what libguestfs says.
int guest_open(const struct guest_options *options, guestfs_h **ret_guest, struct err *err) must_check nonnull(1, 2, 3);
void guest_close(guestfs_h **guest);
// Mounts the file systems of an operating system as its fstab says, read-only and without the EFI system partition.
int guest_mount(guestfs_h *guest, const char *root, struct err *err) must_check nonnull(1, 2, 3);
// -EIO with the last error of libguestfs, as one line. Returns -EIO.
int guest_failed(guestfs_h *guest, struct err *err, const char *format, ...) printf_like(3, 4) nonnull(1, 2, 3);

// Frees a list of strings as libguestfs returns it.
void guest_list_free(char ***list);
#define cleanup_guest cleanup(guest_close)
#define cleanup_guest_list cleanup(guest_list_free)
