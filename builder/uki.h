// SPDX-License-Identifier: Apache-2.0
// The unified kernel image: systemd's EFI stub with .osrel, .cmdline, .initrd and .linux appended as PE sections.
// Sources: Microsoft PE/COFF specification; uapi-group.org "Unified Kernel Image". Signing is not done here.
#pragma once
#include "common/err.h"
#include <stdint.h>
#include <stddef.h>
#include <stdbool.h>

#define UKI_STUB_MAX_BYTES (4 << 20)
#define UKI_MAX_BYTES (1 << 30)
#define UKI_HEADERS_MAX_BYTES 65536

struct uki_input {
    int dir_fd; // what the paths are relative to
    const char *stub_path; // linuxx64.efi.stub
    const char *os_release; // text
    const char *cmdline; // text, without newline
    const char *initrd_path, *linux_path;
};

// Writes dir_fd/path (replaced when it exists, removed on failure): the same inputs give the same bytes; time stamp and checksum are zero.
int uki_create(const struct uki_input *input, int dir_fd, const char *path, uint64_t *ret_size, struct err *err) must_check
    nonnull(1, 3, 5);

// Where a section's bytes are in the file.
struct uki_section {
    uint64_t offset, size;
};
// Finds a section (".cmdline") in a PE32+ image for x86-64 whose first `size` bytes (all headers at least) are at `data`; `file_size` bounds
// the result. -ENOENT when there is none, -EINVAL when this is no such image.
int uki_section_find(const uint8_t *data, size_t size, uint64_t file_size, const char *name, struct uki_section *ret_section,
                     struct err *err) must_check nonnull(1, 4, 5, 6);
// Finds a section in the file at `fd`.
int uki_section_find_fd(int fd, const char *file, const char *name, struct uki_section *ret_section, struct err *err) must_check
    nonnull(2, 3, 4, 5);
// Text of a section of the file at `fd`, at most `max_bytes` and without NUL; the caller frees.
int uki_read_text(int fd, const char *file, const char *name, size_t max_bytes, char **ret_text, struct err *err) must_check
    nonnull(2, 3, 5, 6);
