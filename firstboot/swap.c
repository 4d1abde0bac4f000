// SPDX-License-Identifier: Apache-2.0
// fallocate, mkswap, fsync, rename, swapon: in this order.
#include "firstboot/swap.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/swap.h>

#define TEMPORARY SWAP_PATH ".new"

bool swap_is_listed(const char *swaps, const char *path) {
    size_t size = strlen(path);
    for (const char *line = swaps; *line; line += strcspn(line, "\n"), line += *line == '\n')
        if (strncmp(line, path, size) == 0 && (line[size] == ' ' || line[size] == '\t'))
            return true;
    return false;
}

static bool is_active(void) {
    struct err err;
    cleanup_free char *text = NULL;
    return file_read(AT_FDCWD, "/proc/swaps", 65536, &text, NULL, &err) == 0 && swap_is_listed(text, "/" SWAP_PATH);
}

static int check_space(int fd, uint64_t bytes, uint64_t old_bytes, struct err *err) {
    struct statvfs fs;
    if (fstatvfs(fd, &fs) < 0)
        return err_sys(err, -errno, "cannot ask the state partition for its size");
    uint64_t total = (uint64_t)fs.f_blocks * fs.f_frsize, free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize + old_bytes;
    if (bytes > free_bytes || free_bytes - bytes < total / 10)
        return err_set(err, -ENOSPC, "SWAP_SIZE: a swap file of %llu MiB would leave less than a tenth of the state partition free",
                       (unsigned long long)(bytes >> 20));
    return 0;
}

static int fill(int root_fd, uint64_t bytes, struct err *err) {
    cleanup_fd int fd = file_open(root_fd, TEMPORARY, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, err);
    if (fd < 0)
        return fd;
    if (fallocate(fd, 0, 0, (off_t)bytes) < 0)
        return err_sys(err, -errno, "cannot reserve the swap file");
    cleanup_free char *path = str_printf("/proc/%d/fd/%d", (int)getpid(), fd);
    const struct run mkswap = {.argv = RUN_ARGV("mkswap", path), .timeout_ms = 60000};
    cleanup_free char *output = NULL;
    int r = run_capture(&mkswap, 65536, &output, NULL, err);
    if (r >= 0 && fsync(fd) < 0)
        r = err_sys(err, -errno, "cannot flush the swap file");
    return r;
}

static int stop(bool is_live, struct err *err) {
    if (is_live && is_active() && swapoff("/" SWAP_PATH) < 0)
        return err_sys(err, -errno, "cannot stop using the swap file");
    return 0;
}

static int start(bool is_live, struct err *err) {
    if (!is_live || is_active())
        return 0;
    return swapon("/" SWAP_PATH, 0) < 0 ? err_sys(err, -errno, "cannot use the swap file") : 1;
}

static int remove_file(int root_fd, bool is_live, struct err *err) {
    int r = stop(is_live, err);
    if (r < 0)
        return r;
    return unlinkat(root_fd, SWAP_PATH, 0) < 0 ? err_sys(err, -errno, "cannot remove /" SWAP_PATH) : 1;
}

static int replace_file(int root_fd, uint64_t bytes, uint64_t old_bytes, bool is_live, struct err *err) {
    int r = stop(is_live, err);
    // The old file goes first when both do not fit; a machine without swap for a moment is better than a full disk.
    if (r >= 0 && old_bytes && unlinkat(root_fd, SWAP_PATH, 0) < 0 && errno != ENOENT)
        r = err_sys(err, -errno, "cannot remove /" SWAP_PATH);
    if (r >= 0)
        r = fill(root_fd, bytes, err);
    if (r >= 0 && renameat(root_fd, TEMPORARY, root_fd, SWAP_PATH) < 0)
        r = err_sys(err, -errno, "cannot rename the swap file");
    if (r < 0)
        unlinkat(root_fd, TEMPORARY, 0);
    else
        r = start(is_live, err);
    return r < 0 ? r : 1;
}

int swap_apply(int root_fd, uint64_t bytes, bool is_live, struct err *err) {
    struct stat st;
    bytes -= bytes % 4096;
    bool is_there = fstatat(root_fd, SWAP_PATH, &st, AT_SYMLINK_NOFOLLOW) == 0;
    uint64_t old_bytes = is_there ? (uint64_t)st.st_size : 0;
    unlinkat(root_fd, TEMPORARY, 0); // of a run that was cut
    if (bytes == 0)
        return is_there ? remove_file(root_fd, is_live, err) : 0;
    if (is_there && old_bytes == bytes && (st.st_mode & 07777) == 0600)
        return start(is_live, err) < 0 ? -EIO : 0;
    int r = file_mkdirs(root_fd, "var/lib/webops", 0755, err);
    if (r < 0)
        return r;
    cleanup_fd int fd = file_open(root_fd, "var/lib/webops", O_RDONLY | O_DIRECTORY, 0, err);
    r = fd < 0 ? fd : check_space(fd, bytes, old_bytes, err);
    return r < 0 ? r : replace_file(root_fd, bytes, old_bytes, is_live, err);
}
