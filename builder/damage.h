// SPDX-License-Identifier: Apache-2.0
// Damages a generation on a virtual disk on purpose, as a failing disk would: bytes in the middle of its first layer. Never used on anything
// but a throw-away overlay of ours.
#pragma once
#include "common/err.h"
#include <stdint.h>

// Overwrites one block of 4096 bytes in the partition "webops-<slot>" of a qcow2 disk that no machine is using. Where that was, in bytes
// from the start of the disk: *ret_offset. -ENOENT when the disk has no such partition, -EINVAL when it holds no generation.
// `dir` is for temporary files.
int damage_slot(const char *disk, const char *dir, const char *slot, uint64_t *ret_offset, struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);
