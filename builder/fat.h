// SPDX-License-Identifier: Apache-2.0
// Puts small files into a FAT32 file system that lies somewhere on a disk, as `webops-image build` makes the boot partition. Needs neither mount nor
// mtools, so a rescue system without them will do.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define FAT_MAX_FILE_BYTES (16 << 20)
#define FAT_MAX_DIRECTORY_BYTES ((size_t)1 << 20) // half of what FAT32 allows

struct fat;

// `fd` may be O_DIRECT, and stays the caller's, as `name` (for messages) does. -EINVAL: no FAT32 with sectors of 512 bytes.
int fat_open(int fd, const char *name, uint64_t offset, struct fat **ret_fat, struct err *err) must_check nonnull(2, 4, 5);
// "config.env", or "secrets/x.secret": the directory is made where it is missing, a file of this name replaced. ASCII only. -ENOSPC: full.
int fat_put(struct fat *fat, const char *path, const void *data, size_t size, struct err *err) must_check nonnull(1, 2, 5);
// Lengthens a directory, "loader/entries", to at least so many bytes, with empty entries. -ENOENT: it is missing. -ENOSPC: full.
int fat_reserve(struct fat *fat, const char *path, size_t bytes, struct err *err) must_check nonnull(1, 2, 4);
// Writes the tables: until then the files are not there. To be flushed by the caller.
int fat_save(struct fat *fat, struct err *err) must_check nonnull(1, 2);
// Reads back all that was written since fat_open(), from the disk where `fd` is O_DIRECT or the kernel lets go of what it remembers. -EIO when it differs.
int fat_read_back(struct fat *fat, struct err *err) must_check nonnull(1, 2);
void fat_free(struct fat *fat);
