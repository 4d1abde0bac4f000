// SPDX-License-Identifier: Apache-2.0
// Files on the ESP. FAT has no journal, and a rename cut in half leaves two names on one chain of clusters, of which removing one frees the
// other's: so files are written under their own names, flushed, read back past the cache and compared, and only then does a boot entry
// name them. Nothing here is for files that the good slot boots from.
#pragma once
#include "common/config.h"
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

// Opens the ESP of the booted disk (boot record: DISK, partition name "esp", vfat), mounted nowhere; closing the descriptor unmounts it.
// `is_writable` false: read-only. With root_fd of a test tree: the directory "esp" in it. -EBUSY when it stays in use for ten seconds.
// The file system is not checked: a dirty bit is what every power cut leaves. Nothing is ever repaired by itself; see docs/FORMATS.md.
int esp_open(int root_fd, const struct config *record, bool is_writable, struct err *err) must_check nonnull(2, 4);
// Makes `path` a copy of `bytes` bytes (up to 4 GiB - 1) of `from` at `offset`. A file that already has this content is left alone; any other
// is removed first. -EBADMSG: `from` does not have this hash; -EIO: the ESP gave back other bytes than were written; -ENOSPC names what
// is needed and what is free. After a failure there is no such file.
int esp_write(int esp_fd, const char *path, int from, uint64_t offset, uint64_t bytes, const uint8_t sha256[32], struct err *err) must_check
    nonnull(2, 6, 7);
int esp_write_text(int esp_fd, const char *path, const char *text, struct err *err) must_check nonnull(2, 3, 4);
// Is there a file with this content, read past the cache? 1, 0, or a negative errno when it cannot be read.
int esp_has(int esp_fd, const char *path, uint64_t bytes, const uint8_t sha256[32], struct err *err) must_check nonnull(2, 4, 5);
// A missing file is success. Flushed.
int esp_remove(int esp_fd, const char *path, struct err *err) must_check nonnull(2, 3);
// Renames (the target must not exist) and flushes everything. Not needed after esp_write(); see above for what a power cut can leave.
int esp_rename(int esp_fd, const char *from, const char *to, struct err *err) must_check nonnull(2, 3, 4);
int esp_flush(int esp_fd, struct err *err) must_check nonnull(2);
