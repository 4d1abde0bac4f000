// SPDX-License-Identifier: Apache-2.0
// Asks device-mapper by hand whether dm-verity has met a damaged block (kernel: admin-guide/device-mapper/verity).
#pragma once
#include "common/err.h"

// `device` is "/dev/dm-0" or the like. 0 = every block read so far was right; -EIO = a block did not match the root hash.
int verity_check(const char *device, struct err *err) must_check nonnull(1, 2);
