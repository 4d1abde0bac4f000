// SPDX-License-Identifier: Apache-2.0
// Files: bounded reads, the one durable write (file_publish), directories. All paths are relative to a directory descriptor
// (AT_FDCWD for the working directory); all descriptors are O_CLOEXEC; all failures name the path in `err`.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

// openat() with O_CLOEXEC and an error text. Returns the descriptor or -errno.
int file_open(int dir_fd, const char *path, int flags, mode_t mode, struct err *err) must_check nonnull(2, 5);
// Opens or makes the file (mode 0600) and waits for its lock, which others leave when they close it or end. Returns the descriptor or -errno.
int file_lock(int dir_fd, const char *path, struct err *err) must_check nonnull(2, 3);
// Reads a whole file of at most `max_bytes`; a larger one is -EFBIG. *ret_data is NUL-terminated behind *ret_size; the caller frees it.
int file_read(int dir_fd, const char *path, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) must_check
    nonnull(2, 4, 6);
// The same for an open descriptor, from its present offset; `name` is for messages.
int file_read_fd(int fd, const char *name, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) must_check
    nonnull(2, 4, 6);
// Writes all of `data` at the present offset, whatever write(2) takes at a time.
int file_write_all(int fd, const char *name, const void *data, size_t size, struct err *err) must_check nonnull(2, 5);
// Replaces or creates `path` atomically and durably: temporary file beside it, fsync, rename, fsync of the directory. The mode is
// exact (not subject to umask) from the moment the file exists under any name.
int file_publish(int dir_fd, const char *path, const void *data, size_t size, mode_t mode, struct err *err) must_check nonnull(2, 6);
// mkdir -p; the mode is for directories that are created (subject to umask). An existing directory is success.
int file_mkdirs(int dir_fd, const char *path, mode_t mode, struct err *err) must_check nonnull(2, 4);
// rm -rf without following symlinks and without crossing into other mounts' names specially; a missing path is success.
int file_remove_tree(int dir_fd, const char *path, struct err *err) must_check nonnull(2, 3);
// A file without a name that holds `data`, opened for reading from its start: for a child's standard input, where a pipe may not hold it all.
int file_in_memory(const char *name, const void *data, size_t size, struct err *err) must_check nonnull(1, 4);
bool file_exists(int dir_fd, const char *path) nonnull(2);
// Copies the rest of `from` to `to` (copy_file_range, else read/write), holes not preserved. Returns bytes copied in *ret_bytes.
int file_copy_fd(int from, int to, const char *name, uint64_t *ret_bytes, struct err *err) must_check nonnull(3, 5);
