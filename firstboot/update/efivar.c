// SPDX-License-Identifier: Apache-2.0
// efivarfs wants a variable in one write, attributes first (Documentation/filesystems/efivarfs.rst). Existing ones are immutable files.
#include "firstboot/update/efivar.h"
#include "common/file.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

size_t efivar_format(const char *text, uint8_t ret_bytes[EFIVAR_MAX_BYTES]) {
    size_t size = strlen(text) + 1; // with NUL
    assert(4 + 2 * size <= EFIVAR_MAX_BYTES);
    memset(ret_bytes, 0, EFIVAR_MAX_BYTES);
    ret_bytes[0] = EFIVAR_ATTRIBUTES;
    for (size_t i = 0; i < size; i++)
        ret_bytes[4 + 2 * i] = (uint8_t)text[i];
    return 4 + 2 * size;
}

static void make_mutable(int root_fd, const char *path) {
    cleanup_fd int fd = openat(root_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int flags;
    if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
        return;
    flags &= ~FS_IMMUTABLE_FL;
    (void)ioctl(fd, FS_IOC_SETFLAGS, &flags); // what then fails is the write, and that is reported
}

int efivar_write(int root_fd, const char *path, const uint8_t *bytes, size_t size, struct err *err) {
    make_mutable(root_fd, path);
    cleanup_fd int fd = file_open(root_fd, path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644, err);
    if (fd < 0)
        return fd;
    ssize_t written = write(fd, bytes, size);
    return written == (ssize_t)size ? 0 : err_sys(err, written < 0 ? -errno : -EIO, "writing /%s", path);
}

int efivar_set_one_shot(int root_fd, const char *entry, struct err *err) {
    uint8_t bytes[EFIVAR_MAX_BYTES];
    size_t size = efivar_format(entry, bytes);
    int r = efivar_write(root_fd, EFIVAR_ONE_SHOT, bytes, size, err);
    return r < 0 ? err_prefix(err, r, "cannot set the boot entry for the next start") : 0;
}
