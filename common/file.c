// SPDX-License-Identifier: Apache-2.0
// Files by directory descriptor; file_publish is the only way state is written.
#include "common/file.h"
#include "common/buf.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>

int file_open(int dir_fd, const char *path, int flags, mode_t mode, struct err *err) {
    int fd = openat(dir_fd, path, flags | O_CLOEXEC, mode);
    return fd >= 0 ? fd : err_sys(err, -errno, "cannot open %s", path);
}

int file_lock(int dir_fd, const char *path, struct err *err) {
    cleanup_fd int fd = file_open(dir_fd, path, O_RDWR | O_CREAT, 0600, err);
    if (fd < 0)
        return fd;
    while (flock(fd, LOCK_EX) < 0)
        if (errno != EINTR)
            return err_sys(err, -errno, "cannot lock %s", path);
    return take_fd(&fd);
}

int file_read_fd(int fd, const char *name, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) {
    cleanup_buf struct buf buf = {0};
    char block[65536];
    for (;;) {
        ssize_t got = read(fd, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, -errno, "cannot read %s", name);
        if (got == 0)
            break;
        if ((size_t)got > max_bytes - buf.size)
            return err_set(err, -EFBIG, "%s is larger than the %zu bytes allowed here", name, max_bytes);
        buf_add(&buf, block, (size_t)got);
    }
    if (ret_size)
        *ret_size = buf.size;
    *ret_data = buf_take(&buf);
    return 0;
}

int file_read(int dir_fd, const char *path, size_t max_bytes, char **ret_data, size_t *ret_size, struct err *err) {
    cleanup_fd int fd = file_open(dir_fd, path, O_RDONLY | O_NOCTTY, 0, err);
    if (fd < 0)
        return fd;
    return file_read_fd(fd, path, max_bytes, ret_data, ret_size, err);
}

int file_write_all(int fd, const char *name, const void *data, size_t size, struct err *err) {
    const char *at = data;
    while (size) {
        ssize_t wrote = write(fd, at, size);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return err_sys(err, -errno, "cannot write %s", name);
        at += wrote;
        size -= (size_t)wrote;
    }
    return 0;
}

// "dir/name" → "dir/.name.RANDOM": hidden, in the same directory, so that rename() stays within the file system.
static char *temporary_name(const char *path) {
    uint64_t number = 0;
    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (uint64_t)getpid();
    const char *slash = strrchr(path, '/');
    int dir_length = slash ? (int)(slash - path) + 1 : 0;
    // The name is cut so that one near NAME_MAX can be written too; the number alone makes it unique.
    return str_printf("%.*s.%.200s.%016llx", dir_length, path, path + dir_length, (unsigned long long)number);
}

static int sync_parent(int dir_fd, const char *path, struct err *err) {
    const char *slash = strrchr(path, '/');
    cleanup_free char *parent = slash == path ? str_dup("/") : slash ? str_printf("%.*s", (int)(slash - path), path) : str_dup(".");
    cleanup_fd int fd = file_open(dir_fd, parent, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return fd;
    return fsync(fd) < 0 ? err_sys(err, -errno, "cannot flush directory %s", parent) : 0;
}

static int write_temporary(int dir_fd, const char *temporary, const void *data, size_t size, mode_t mode, struct err *err) {
    cleanup_fd int fd = file_open(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 0700, err);
    if (fd < 0)
        return fd;
    int r = file_write_all(fd, temporary, data, size, err);
    if (r >= 0 && fchmod(fd, mode) < 0)
        r = err_sys(err, -errno, "cannot set the mode of %s", temporary);
    if (r >= 0 && fsync(fd) < 0)
        r = err_sys(err, -errno, "cannot flush %s", temporary);
    return r;
}

int file_publish(int dir_fd, const char *path, const void *data, size_t size, mode_t mode, struct err *err) {
    cleanup_free char *temporary = temporary_name(path);
    int r = write_temporary(dir_fd, temporary, data, size, mode, err);
    if (r >= 0 && renameat(dir_fd, temporary, dir_fd, path) < 0)
        r = err_sys(err, -errno, "cannot rename %s to %s", temporary, path);
    if (r < 0) {
        unlinkat(dir_fd, temporary, 0);
        return err_prefix(err, r, "writing %s", path);
    }
    return sync_parent(dir_fd, path, err);
}

int file_mkdirs(int dir_fd, const char *path, mode_t mode, struct err *err) {
    cleanup_free char *copy = str_dup(path);
    for (char *slash = copy + 1; *copy; slash++) {
        if (*slash && *slash != '/')
            continue;
        char kept = *slash;
        *slash = 0;
        if (mkdirat(dir_fd, copy, mode) < 0 && errno != EEXIST)
            return err_sys(err, -errno, "cannot create directory %s", copy);
        if (!kept)
            break;
        *slash = kept;
    }
    struct stat st;
    if (fstatat(dir_fd, path, &st, 0) < 0)
        return err_sys(err, -errno, "cannot create directory %s", path);
    return S_ISDIR(st.st_mode) ? 0 : err_set(err, -ENOTDIR, "%s exists and is not a directory", path);
}

static int remove_children(int fd, const char *path, struct err *err) {
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir) {
        int r = err_sys(err, -errno, "cannot list %s", path);
        close(fd);
        return r;
    }
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int r = file_remove_tree(dirfd(dir), entry->d_name, err);
        if (r < 0)
            return r;
    }
    return 0;
}

// Packages ship directories without write permission; their owner may change that. Where he may not, unlinking says so.
static void make_writable(int fd) {
    struct stat st;
    if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        (void)fchmod(fd, (st.st_mode & 07777) | 0700);
}

int file_remove_tree(int dir_fd, const char *path, struct err *err) {
    if (unlinkat(dir_fd, path, 0) == 0 || errno == ENOENT)
        return 0;
    int unlink_errno = errno;
    if (unlink_errno != EISDIR && unlink_errno != EPERM)
        return err_sys(err, -unlink_errno, "cannot remove %s", path);
    int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, path, 0700, 0) == 0)
        fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR) // an immutable file, not a directory
        return err_sys(err, -unlink_errno, "cannot remove %s", path);
    if (fd < 0)
        return err_sys(err, -errno, "cannot open directory %s", path);
    make_writable(fd);
    int r = remove_children(fd, path, err);
    if (r < 0)
        return err_prefix(err, r, "in %s", path);
    return unlinkat(dir_fd, path, AT_REMOVEDIR) < 0 ? err_sys(err, -errno, "cannot remove directory %s", path) : 0;
}

bool file_exists(int dir_fd, const char *path) {
    struct stat st; // not faccessat(): with flags it needs a system call that older containers refuse
    return fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int copy_plain(int from, int to, const char *name, uint64_t *bytes, struct err *err) {
    char block[65536];
    for (;;) {
        ssize_t got = read(from, block, sizeof(block));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, -errno, "cannot read while copying %s", name);
        if (got == 0)
            return 0;
        int r = file_write_all(to, name, block, (size_t)got, err);
        if (r < 0)
            return r;
        *bytes += (uint64_t)got;
    }
}

int file_copy_fd(int from, int to, const char *name, uint64_t *ret_bytes, struct err *err) {
    uint64_t bytes = 0;
    for (;;) {
        ssize_t got = copy_file_range(from, NULL, to, NULL, 1 << 30, 0);
        if (got > 0)
            bytes += (uint64_t)got;
        if (got > 0 || (got < 0 && errno == EINTR))
            continue;
        if (got == 0 && bytes)
            break;
        // 0 at once may mean a source (procfs, pipes) that copy_file_range cannot measure.
        if (got < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EBADF)
            return err_sys(err, -errno, "cannot copy %s", name);
        int r = copy_plain(from, to, name, &bytes, err);
        if (r < 0)
            return r;
        break;
    }
    if (ret_bytes)
        *ret_bytes = bytes;
    return 0;
}

int file_in_memory(const char *name, const void *data, size_t size, struct err *err) {
    cleanup_fd int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "%s: cannot make a file in memory", name);
    int r = file_write_all(fd, name, data, size, err);
    if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
        r = err_sys(err, -errno, "%s: cannot rewind a file in memory", name);
    return r < 0 ? r : take_fd(&fd);
}
