// SPDX-License-Identifier: Apache-2.0
// In place and never O_TRUNC: a file that was emptied and not yet filled when the power went is no environment any more (grub-editenv does
// that). GRUB can write only into clusters that are there, so the files are never renamed or replaced either.
#include "firstboot/update/grubenv_file.h"
#include "common/digest.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static const char *const paths[] = {"grub/env1", "grub/env2"};

int grubenv_file_load(int esp_fd, struct grubenv *ret_env, bool *ret_is_whole, struct err *err) {
    char *texts[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    for (unsigned i = 0; i < 2; i++) { // a copy that is missing, too long or unreadable is one that is not valid
        struct err ignored;
        if (file_read(esp_fd, paths[i], GRUBENV_BYTES, &texts[i], &sizes[i], &ignored) < 0)
            texts[i] = NULL;
    }
    cleanup_free char *first = texts[0], *second = texts[1];
    int r = grubenv_choose((uint8_t *)first, sizes[0], (uint8_t *)second, sizes[1], ret_env, err);
    *ret_is_whole = r == 0 && first && second && sizes[0] == sizes[1] && memcmp(first, second, sizes[0]) == 0;
    return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

static int write_copy(int esp_fd, const char *path, const uint8_t bytes[GRUBENV_BYTES], struct err *err) {
    struct stat st;
    uint8_t again[GRUBENV_BYTES];
    cleanup_fd int fd = file_open(esp_fd, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, err);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", path);
    int r = pwrite_all(fd, path, bytes, GRUBENV_BYTES, 0, err);
    if (r < 0)
        return r;
    if (fdatasync(fd) < 0)
        return err_sys(err, -errno, "%s: flushing", path);
    if (st.st_size != GRUBENV_BYTES && (ftruncate(fd, GRUBENV_BYTES) < 0 || fsync(fd) < 0 || syncfs(fd) < 0))
        return err_sys(err, -errno, "%s: setting its size", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); // what is read now comes from the disk
    r = pread_all(fd, path, again, sizeof(again), 0, err);
    if (r == 0 && memcmp(again, bytes, sizeof(again)) != 0)
        r = err_set(err, -EIO, "%s: the disk gave back other bytes than were written", path);
    return r;
}

int grubenv_file_save(int esp_fd, const struct grubenv *env, struct err *err) {
    uint8_t bytes[GRUBENV_BYTES];
    grubenv_format(env, bytes);
    int r = write_copy(esp_fd, paths[1], bytes, err);
    if (r == 0)
        r = write_copy(esp_fd, paths[0], bytes, err);
    return r < 0 ? err_prefix(err, r, "ESP") : 0;
}
