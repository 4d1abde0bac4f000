// SPDX-License-Identifier: Apache-2.0
// The installed disk first in the order of UEFI firmware, so that a medium that stays in its drive is not started again. An entry of ours points to
// the boot partition by its GUID; entries of others stay behind it. Sources: UEFI 2.10, 3.1.3 (load options), 5.3.3 (GPT), 10.3 (device paths).
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BOOTORDER_MAX_ENTRIES 256
#define BOOTORDER_OPTION_BYTES 256

struct bootorder_partition {
    uint32_t number; // from 1
    uint64_t first, sectors; // of 512 bytes
    uint8_t guid[16]; // as in the table
};

// Finds the partition called "esp" in the first `size` bytes of a disk (its protective sector, table header, 128 entries). Pure. -ENOENT.
#define BOOTORDER_TABLE_BYTES ((size_t)34 * 512)
int bootorder_find_esp(const uint8_t *table, size_t size, struct bootorder_partition *ret_partition, struct err *err) must_check
    nonnull(1, 3, 4);
// A load option with its attributes as a variable: \EFI\BOOT\BOOTX64.EFI on that partition, described as "webops". Pure; returns its size.
size_t bootorder_format_option(const struct bootorder_partition *partition, uint8_t ret_bytes[BOOTORDER_OPTION_BYTES]) nonnull(1, 2);
// Whether this variable is an option of ours. Pure.
bool bootorder_is_ours(const uint8_t *bytes, size_t size) nonnull(1);
// The order with `number` in front, where it stands once. `old` has `size` bytes, attributes first (0: there was no order). Pure; returns the new size.
size_t bootorder_format(const uint8_t *old, size_t size, uint16_t number, uint8_t ret_bytes[4 + 2 * BOOTORDER_MAX_ENTRIES]) nonnull(4);

// Puts the disk ("/dev/vda") first. 1: done; 0: this machine was not started by UEFI. An entry that an earlier installation left is used again.
int bootorder_apply(int root_fd, const char *disk, struct err *err) must_check nonnull(2, 3);
