// SPDX-License-Identifier: Apache-2.0
// In place of libc's: the disk of a temporary root is as large as it is, and as full as a test says, whatever this host keeps on it.
#pragma once
#include <sys/statvfs.h>
#include <sys/vfs.h>

static unsigned disk_free_bytes; // above a tenth of it; 0 = all of it is free

int fstatvfs(int fd, struct statvfs *ret) {
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return -1;
    unsigned long block = (unsigned long)fs.f_bsize, free_blocks = fs.f_blocks;
    if (disk_free_bytes > 0)
        free_blocks = (fs.f_blocks + 9) / 10 + disk_free_bytes / block;
    *ret = (struct statvfs){.f_bsize = block, .f_frsize = block, .f_blocks = fs.f_blocks, .f_bfree = free_blocks, .f_bavail = free_blocks};
    return 0;
}
