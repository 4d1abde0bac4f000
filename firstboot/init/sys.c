// SPDX-License-Identifier: Apache-2.0
// Small reads, the durable write, mkdir and mount with error texts. Knows nothing of slots or plans.
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#define TEMPORARY ".webops-new"

ssize_t sys_read_text(int dir_fd, const char *path, char *ret_text, size_t size) {
    cleanup_fd int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, ret_text + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    if (used == size)
        return -EFBIG;
    if (used && ret_text[used - 1] == '\n')
        used--;
    ret_text[used] = '\0';
    return strlen(ret_text) == used ? (ssize_t)used : -EINVAL;
}

int sys_read_at(int fd, uint64_t offset, void *ret_data, size_t size) {
    for (size_t used = 0; used < size;) {
        ssize_t n = pread(fd, (char *)ret_data + used, size - used, (off_t)(offset + used));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -ENODATA;
        used += (size_t)n;
    }
    return 0;
}

int sys_write_all(int fd, const void *data, size_t size) {
    for (size_t used = 0; used < size;) {
        ssize_t n = write(fd, (const char *)data + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        used += (size_t)n;
    }
    return 0;
}

int sys_mkdir(int dir_fd, const char *path, mode_t mode, struct err *err) {
    if (mkdirat(dir_fd, path, mode) == 0)
        return fchmodat(dir_fd, path, mode, 0) == 0 ? 0 : err_sys(err, -errno, "setting the mode of %s", path);
    if (errno != EEXIST)
        return err_sys(err, -errno, "creating the directory %s", path);
    struct stat st;
    if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_sys(err, -errno, "looking at %s", path);
    return S_ISDIR(st.st_mode) ? 0 : err_sys(err, -ENOTDIR, "%s is in the way", path);
}

int sys_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *options, struct err *err) {
    if (mount(source ? source : "none", target, type, flags, options) == 0)
        return 0;
    int code = -errno;
    // musl has no text for what ext4 returns most.
    const char *hint = code == -EUCLEAN ? " (the file system is damaged)" : "";
    return err_sys(err, code, "mounting %s (%s) on %s%s", source ? source : "none", type ? type : "bind", target, hint);
}

static int write_temporary(int dir_fd, const void *data, size_t size, mode_t mode) {
    if (unlinkat(dir_fd, TEMPORARY, 0) < 0 && errno != ENOENT)
        return -errno;
    cleanup_fd int fd = openat(dir_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = sys_write_all(fd, data, size);
    if (r < 0)
        return r;
    return fchmod(fd, mode) == 0 && fsync(fd) == 0 ? 0 : -errno;
}

int sys_publish(int dir_fd, const char *name, const void *data, size_t size, mode_t mode, struct err *err) {
    int r = write_temporary(dir_fd, data, size, mode);
    if (r == 0 && renameat(dir_fd, TEMPORARY, dir_fd, name) < 0)
        r = -errno;
    if (r < 0) {
        unlinkat(dir_fd, TEMPORARY, 0);
        return err_sys(err, r, "writing %s", name);
    }
    return fsync(dir_fd) == 0 ? 0 : err_sys(err, -errno, "writing the directory of %s to disk", name);
}

uint64_t sys_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
