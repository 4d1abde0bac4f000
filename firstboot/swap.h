// SPDX-License-Identifier: Apache-2.0
// The swap file on the state partition.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

#define SWAP_PATH "var/lib/webops/swapfile"

// Makes the swap file `bytes` long (0 = none), in steps that never leave a half-made file under its name. `is_live` false: the file only,
// no swapon/swapoff. 1 = changed, 0 = was right; -ENOSPC when it would leave less than a tenth of the file system free.
int swap_apply(int root_fd, uint64_t bytes, bool is_live, struct err *err) must_check nonnull(4);
// Whether a line of /proc/swaps names this path.
bool swap_is_listed(const char *swaps, const char *path) nonnull(1, 2);
