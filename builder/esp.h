// SPDX-License-Identifier: Apache-2.0
// The EFI system partition inside a disk image: FAT32 by mkfs.vfat, filled with mtools; no mount, no root. Contents: docs/FORMATS.md "ESP".
#pragma once
#include "builder/identity.h"
#include "common/err.h"
#include <stdint.h>

#define ESP_MIN_BYTES ((uint64_t)34 << 20) // FAT32 needs 65525 clusters
#define ESP_ENTRIES_BYTES (128 << 10) // of loader/entries: 4096 slots of 32 bytes, 2,000 counted starts

struct esp_input {
    struct identity identity;
    uint64_t sequence; // of the generation: orders the boot entries
    const char *uki_path, *linux_path, *initrd_path; // of slot A
    const char *cmdline; // of slot A, for BIOS; the UKI has its own
    const char *secure_boot_keys; // directory with PK.auth, KEK.auth, db.auth, which a machine in setup mode enrols; NULL = none
    const char *systemd_boot_path; // systemd-bootx64.efi
    const char *restart_path; // firstboot/efi: starts it, and restarts the machine when it comes back
    uint64_t source_date_epoch; // time of everything on it, from 1980 on
};

// Makes the file system in `disk_path` at offset … offset + size, and puts everything on it.
int esp_create(const struct esp_input *input, const char *disk_path, uint64_t offset, uint64_t size, struct err *err) must_check
    nonnull(1, 2, 5);
// Copies one file ("/EFI/webops/a.efi") of a FAT partition at `offset` to `to_path` (replaced when it exists). -EIO when there is none.
int esp_read_file(const char *disk_path, uint64_t offset, const char *path, const char *to_path, struct err *err) must_check
    nonnull(1, 3, 4, 5);
