// SPDX-License-Identifier: Apache-2.0
// What else is made of a finished raw disk: qcow2, zst, and the block map that bmaptool flashes by.
#pragma once
#include "common/err.h"
#include <stdbool.h>

// qemu-img convert; `compress` uses zstd inside the qcow2. The target is removed on failure, as by all functions here.
int output_qcow2(const char *raw_path, const char *path, bool compress, struct err *err) must_check nonnull(1, 2, 4);
// zstd over the whole file (its holes are read as zeros), level 1 … 19.
int output_zst(const char *raw_path, const char *path, int level, struct err *err) must_check nonnull(1, 2, 4);
// builder/flash/bmap.h
int output_bmap(const char *raw_path, const char *path, struct err *err) must_check nonnull(1, 2, 3);
