// SPDX-License-Identifier: Apache-2.0
// What a qcow2 file says of itself, read by QEMU's own tool.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

struct qcow2_info {
    uint64_t bytes; // of the virtual disk; never 0
    bool needs_others; // a backing file or a file with its data
};

// Of a file that others may have open.
int qcow2_info(const char *path, struct qcow2_info *ret_info, struct err *err) must_check nonnull(1, 2, 3);
