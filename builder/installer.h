// SPDX-License-Identifier: Apache-2.0
// An installation medium of a finished build: an ISO image that boots from a CD-ROM and from a USB stick, by BIOS and by UEFI, and the same as
// kernel, initramfs and command line for booting from the network. What it starts is the generation of the build itself.
// docs/FORMATS.md, "Installation medium".
#pragma once
#include "builder/build.h"
#include "builder/seed.h"

struct installer {
    const struct build *build; // after build_apply(), with options.is_installer
    const struct seed *seed; // config.env and secrets for the medium, checked already; seed->path is not read; no config: none
    const char *dir; // for intermediate files, removed by installer_save()
    char *label, *cmdline;
};

// Writes <profile>-<version>-installer.iso, .vmlinuz, .initrd and .cmdline into the build's output directory; with a configuration for nobody else
// to read. The same inputs give the same bytes, but for envelopes.
int installer_save(const struct build *build, const struct seed *seed, struct err *err) must_check nonnull(1, 2, 3);
// What a file of the medium is called: <out_dir>/<profile>-<version>-installer<suffix>; the caller frees.
char *installer_path(const struct build *build, const char *suffix) nonnull(1, 2);

// installer_boot.c: what the firmwares start. Both replace `path`.
// GRUB's core image for the El Torito entry and for the boot sector of a stick; it finds its grub.cfg on the volume with the label.
int installer_save_grub(const struct installer *installer, const char *path, struct err *err) must_check nonnull(1, 2, 3);
// grub.cfg: starts /boot/vmlinuz and /boot/initrd with the command line.
int installer_save_grub_config(const struct installer *installer, const char *path, struct err *err) must_check nonnull(1, 2, 3);
// The FAT file system that UEFI looks for: EFI/BOOT/BOOTX64.EFI is the unified kernel image.
int installer_save_efi(const struct installer *installer, const char *path, struct err *err) must_check nonnull(1, 2, 3);

// installer_net.c: the slot image, and the configuration in `seed_dir` (NULL: none), as a cpio archive in front of the initramfs.
int installer_save_initrd(const struct installer *installer, const char *seed_dir, const char *path, struct err *err) must_check
    nonnull(1, 3, 4);
