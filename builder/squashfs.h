// SPDX-License-Identifier: Apache-2.0
// mksquashfs as the reader of a tar stream: the same stream always gives the same bytes, whatever the number of processors.
#pragma once
#include "builder/layer_files.h"
#include <sys/types.h>

struct squashfs {
    pid_t pid;
    int in_fd; // write the tar here; closed by squashfs_finish()
    int log_fd;
    char *path;
};

// Starts mksquashfs writing `path` (which must not exist).
int squashfs_start(const char *path, const struct layer_format *format, struct squashfs *ret_squashfs, struct err *err) must_check
    nonnull(1, 2, 3, 4);
// Closes the stream, waits, and hashes the result (64 hex digits and NUL at ret_sha256).
int squashfs_finish(struct squashfs *squashfs, uint64_t *ret_bytes, char ret_sha256[65], struct err *err) must_check nonnull(1, 2, 3, 4);
// Kills it and removes the file.
void squashfs_abort(struct squashfs *squashfs);
