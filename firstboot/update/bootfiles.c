// SPDX-License-Identifier: Apache-2.0
// Kernel and initramfs of BIOS machines are ranges of the unified kernel image.
#include "firstboot/update/bootfiles.h"
#include <stdio.h>

void bootfiles_list(const struct manifest *manifest, enum boot_slot slot, struct bootfile ret_files[BOOTFILES]) {
    const char *name = boot_slot_name(slot);
    ret_files[0] = (struct bootfile){.bytes = manifest->uki.bytes, .sha256 = manifest->uki.sha256};
    ret_files[1] = (struct bootfile){
        .offset = manifest->linux_in_uki.offset, .bytes = manifest->linux_in_uki.bytes, .sha256 = manifest->linux_in_uki.sha256};
    ret_files[2] = (struct bootfile){
        .offset = manifest->initrd_in_uki.offset, .bytes = manifest->initrd_in_uki.bytes, .sha256 = manifest->initrd_in_uki.sha256};
    snprintf(ret_files[0].path, sizeof(ret_files[0].path), "EFI/webops/%s.efi", name);
    snprintf(ret_files[1].path, sizeof(ret_files[1].path), "webops/%s.linux", name);
    snprintf(ret_files[2].path, sizeof(ret_files[2].path), "webops/%s.initrd", name);
}
