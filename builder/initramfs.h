// SPDX-License-Identifier: Apache-2.0
// The initramfs: a newc cpio archive of init, plan and modules (docs/FORMATS.md "Initramfs"), compressed with zstd or gzip. Same inputs, same bytes.
#pragma once
#include "builder/modules.h"
#include "common/err.h"
#include <stdint.h>

struct initramfs_input {
    const char *init_path; // the static program that becomes /init
    const char *plan; // text of the plan
    const struct modules *modules;
    int zstd_level; // 1 … 19
    bool is_gzip; // the kernel reads no zstd (before Linux 5.9)
};

// Writes dir_fd/path (replaced when it exists, removed on failure). The compressor is a child process: its tables need more memory than
// the builder may have. *ret_size (may be NULL): bytes written.
int initramfs_create(const struct initramfs_input *input, int dir_fd, const char *path, uint64_t *ret_size, struct err *err) must_check
    nonnull(1, 3, 5);
// The archive without compression, to an open descriptor.
int initramfs_write_cpio(const struct initramfs_input *input, int fd, struct err *err) must_check nonnull(1, 3);
