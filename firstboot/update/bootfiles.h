// SPDX-License-Identifier: Apache-2.0
// The files of one generation on the ESP, as the manifest describes them. What starts them is in boot.h.
#pragma once
#include "common/manifest.h"
#include "firstboot/update/boot.h"

#define BOOTFILES 3
struct bootfile {
    char path[32]; // "EFI/webops/b.efi", "webops/b.linux", "webops/b.initrd"
    uint64_t offset, bytes; // in the UKI
    const uint8_t *sha256; // points into the manifest
};
void bootfiles_list(const struct manifest *manifest, enum boot_slot slot, struct bootfile ret_files[BOOTFILES]) nonnull(1, 3);
