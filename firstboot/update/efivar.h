// SPDX-License-Identifier: Apache-2.0
// EFI variables. An installed machine writes one only: systemd-boot's one-shot entry, when its ESP takes no writes.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define EFIVAR_ONE_SHOT "sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define EFIVAR_MAX_BYTES 128

// Attributes (non-volatile, boot service, runtime) and the name in UTF-16 with NUL, as efivarfs takes it. Returns the size. ASCII only.
size_t efivar_format(const char *text, uint8_t ret_bytes[EFIVAR_MAX_BYTES]) nonnull(1);
// `entry`: the file name of a boot entry. The Boot Loader Interface, https://systemd.io/BOOT_LOADER_INTERFACE/
int efivar_set_one_shot(int root_fd, const char *entry, struct err *err) must_check nonnull(2, 3);

#define EFIVAR_DIR "sys/firmware/efi/efivars"
#define EFIVAR_GLOBAL "8be4df61-93ca-11d2-aa0d-00e098032b8c" // UEFI 2.10, 3.3
#define EFIVAR_ATTRIBUTES 7 // non-volatile, boot service access, runtime access (UEFI 2.10, 8.2); four bytes in front of every variable
// Writes a variable whole; the first four bytes are its attributes.
int efivar_write(int root_fd, const char *path, const uint8_t *bytes, size_t size, struct err *err) must_check nonnull(2, 3, 5);
