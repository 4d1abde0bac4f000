// SPDX-License-Identifier: Apache-2.0
// The state partition of a fresh image: an empty, small ext4 that grows online to the size of any disk.
#pragma once
#include "builder/identity.h"
#include "common/err.h"
#include <stdint.h>

#define STATE_LABEL "webops-state"
#define STATE_MIN_BYTES ((uint64_t)16 << 20)
#define STATE_MAX_FS_BYTES ((uint64_t)64 << 20) // a larger partition gets this much file system; the machine grows it on first boot anyway

// Makes the file system in the file `path` (created, or emptied first). Its size is the smaller of `partition_bytes` and
// STATE_MAX_FS_BYTES and is returned in *ret_size.
int state_create(const struct identity *identity, uint64_t partition_bytes, uint64_t source_date_epoch, const char *path,
                 uint64_t *ret_size, struct err *err) must_check nonnull(1, 4, 5, 6);
