// SPDX-License-Identifier: Apache-2.0
// GRUB for BIOS machines, without grub-install, root or loop devices: core image by grub-mkimage, boot sector and block list by hand.
// Sources: GRUB's boot.S, diskboot.S and include/grub/i386/pc/boot.h; measured in SeaBIOS.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdint.h>

// grub.cfg on the ESP: chooses a slot by grub/env1 and grub/env2, spends a try of a trial, starts what webops/<slot>.cfg says.
extern const char grub_config[];

// Makes the core image with grub-mkimage from the modules in `grub_dir` (…/lib/grub/i386-pc).
int grub_core_create(const char *grub_dir, const char *core_path, struct err *err) must_check nonnull(1, 2, 3);
// Writes the core image into the BIOS boot partition at `offset`, and boot.img's code into the first 440 bytes of the disk.
int grub_install(int disk, const char *disk_name, const char *grub_dir, const char *core_path, uint64_t offset, uint64_t size,
                 struct err *err) must_check nonnull(2, 3, 4, 7);
