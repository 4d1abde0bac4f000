// SPDX-License-Identifier: Apache-2.0
// Files on the ESP, written so that a power cut leaves old or new: other name, flush, read back past the cache, compare, rename, flush.
#pragma once
#include "common/config.h"
#include "common/err.h"
#include <stdint.h>

// Opens the ESP of the booted disk (boot record: DISK, partition name "esp", vfat), mounted nowhere; closing the descriptor unmounts it.
// `is_writable` false: read-only. With root_fd of a test tree: the directory "esp" in it.
int esp_open(int root_fd, const struct config *record, bool is_writable, struct err *err) must_check nonnull(2, 4);
// Copies `bytes` bytes of `from` at `offset` to `path`; the result's SHA-256 as read back must be `sha256`, else -EIO and the old file stays.
// A file that already has this content is left alone. -ENOSPC names what is needed and what is free.
int esp_write(int esp_fd, const char *path, int from, uint64_t offset, uint64_t bytes, const uint8_t sha256[32], struct err *err) must_check
    nonnull(2, 6, 7);
int esp_write_text(int esp_fd, const char *path, const char *text, struct err *err) must_check nonnull(2, 3, 4);
// A missing file is success.
int esp_remove(int esp_fd, const char *path, struct err *err) must_check nonnull(2, 3);
// Renames (the target must not exist) and flushes everything.
int esp_rename(int esp_fd, const char *from, const char *to, struct err *err) must_check nonnull(2, 3, 4);
int esp_flush(int esp_fd, struct err *err) must_check nonnull(2);
