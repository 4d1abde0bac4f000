// SPDX-License-Identifier: Apache-2.0
// The dm-verity hash tree behind the data of a slot: made by libcryptsetup, checked by a second, own implementation.
// Format: docs/FORMATS.md "Slot"; Linux Documentation/admin-guide/device-mapper/verity.rst. Needs no device-mapper and no root.
#pragma once
#include "common/err.h"
#include <stdint.h>

#define VERITY_BLOCK_BYTES 4096
#define VERITY_HASH_BYTES 32

// Writes the tree over the first `data_bytes` (a multiple of 4096) of the file, at data_bytes; the file must be long enough. The
// descriptor is reopened through /proc, so it need not be kept at any offset.
int verity_create(int fd, const char *name, uint64_t data_bytes, uint8_t ret_root[VERITY_HASH_BYTES], struct err *err) must_check
    nonnull(2, 4, 5);
// Recomputes every hash of data and tree at `offset` in the file (a slot image, or a partition inside a disk image) up to `root`.
// -EBADMSG names the first block that does not match, counted from `offset`.
int verity_check(int fd, const char *name, uint64_t offset, uint64_t data_bytes, const uint8_t root[VERITY_HASH_BYTES],
                 struct err *err) must_check nonnull(2, 5, 6);
