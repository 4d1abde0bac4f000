// SPDX-License-Identifier: Apache-2.0
// Opens the ESP and writes files to it in an order that survives a power cut. Knows nothing of entries or slots.
#include "firstboot/update/esp.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/file.h"
#include "firstboot/bootrecord.h"
#include "firstboot/volumes.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define PARTITION "esp"
#define TEST_DIRECTORY "esp"
#define BUSY_TRIES 100 // of a tenth of a second: whoever reads the ESP for a config.env is done by then

static int open_device(int root_fd, const char *device, bool is_writable, struct err *err) {
    int r = -EBUSY;
    for (unsigned i = 0; r == -EBUSY && i < BUSY_TRIES; i++) {
        if (i > 0)
            clock_sleep_ms(100);
        r = is_writable ? volume_open_writable(root_fd, device, err) : volume_open(root_fd, device, "vfat", err);
    }
    return r;
}

int esp_open(int root_fd, const struct config *record, bool is_writable, struct err *err) {
    char device[VOLUME_NAME_BYTES];
    int fd = openat(root_fd, TEST_DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    const char *disk = bootrecord_text(record, "DISK");
    if (strncmp(disk, "/dev/", 5) != 0)
        return err_set(err, -ENOENT, "ESP: the boot record names no disk");
    int r = volume_find_partition(root_fd, disk + 5, PARTITION, device, err);
    if (r < 0)
        return err_prefix(err, r, "ESP");
    cleanup_free char *path = str_printf("dev/%s", device);
    r = open_device(root_fd, path, is_writable, err);
    return r < 0 ? err_prefix(err, r, "ESP") : r;
}

int esp_flush(int esp_fd, struct err *err) {
    return syncfs(esp_fd) == 0 ? 0 : err_sys(err, -errno, "ESP: flushing");
}

int esp_remove(int esp_fd, const char *path, struct err *err) {
    if (unlinkat(esp_fd, path, 0) < 0)
        return errno == ENOENT ? 0 : err_sys(err, -errno, "ESP: removing %s", path);
    return esp_flush(esp_fd, err);
}

int esp_rename(int esp_fd, const char *from, const char *to, struct err *err) {
    int r = esp_flush(esp_fd, err);
    if (r == 0 && renameat2(esp_fd, from, esp_fd, to, RENAME_NOREPLACE) < 0)
        r = err_sys(err, -errno, "ESP: renaming %s to %s", from, to);
    return r < 0 ? r : esp_flush(esp_fd, err);
}

int esp_has(int esp_fd, const char *path, uint64_t bytes, const uint8_t sha256[32], struct err *err) {
    struct stat st;
    uint8_t found[DIGEST_BYTES];
    cleanup_fd int fd = openat(esp_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_sys(err, -errno, "ESP: %s", path);
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "ESP: %s", path);
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != bytes)
        return 0;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); // what is read now comes from the disk
    int r = digest_range(fd, path, 0, bytes, found, err);
    return r < 0 ? err_prefix(err, r, "ESP") : memcmp(found, sha256, sizeof(found)) == 0;
}

// Free bytes as the file system counts them; 0 when it does not say.
static uint64_t free_bytes(int esp_fd) {
    struct statvfs st;
    return fstatvfs(esp_fd, &st) == 0 ? (uint64_t)st.f_bavail * st.f_frsize : 0;
}

// The clusters are taken and on the disk before the content comes: a power cut while it is written then leaves a file that can be removed,
// not clusters that belong to nobody.
static int reserve(int esp_fd, int fd, uint64_t bytes, struct err *err) {
    if (bytes && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) < 0 && errno != EOPNOTSUPP)
        return err_sys(err, -errno, "making room for %" PRIu64 " bytes", bytes);
    return fsync(fd) < 0 ? err_sys(err, -errno, "flushing") : esp_flush(esp_fd, err);
}

static int write_new(int esp_fd, const char *path, int from, uint64_t offset, uint64_t bytes, const uint8_t sha256[32], struct err *err) {
    uint8_t found[DIGEST_BYTES];
    cleanup_fd int fd = openat(esp_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, -errno, "creating it");
    int r = reserve(esp_fd, fd, bytes, err);
    if (r == 0)
        r = digest_copy(from, path, offset, bytes, fd, 0, found, err);
    if (r == 0 && memcmp(found, sha256, sizeof(found)) != 0)
        r = err_set(err, -EBADMSG, "what was to be written does not have the announced hash");
    if (r == 0 && fsync(fd) < 0)
        r = err_sys(err, -errno, "flushing");
    return r < 0 ? r : esp_flush(esp_fd, err);
}

static int write_and_compare(int esp_fd, const char *path, int from, uint64_t offset, uint64_t bytes, const uint8_t sha256[32],
                             struct err *err) {
    int r = write_new(esp_fd, path, from, offset, bytes, sha256, err);
    if (r == 0)
        r = esp_has(esp_fd, path, bytes, sha256, err);
    return r == 0 ? err_set(err, -EIO, "the disk gave back other bytes than were written") : r;
}

int esp_write(int esp_fd, const char *path, int from, uint64_t offset, uint64_t bytes, const uint8_t sha256[32], struct err *err) {
    if (bytes > UINT32_MAX)
        return err_set(err, -EFBIG, "ESP: %s: %" PRIu64 " bytes are more than FAT can hold in a file", path, bytes);
    if (esp_has(esp_fd, path, bytes, sha256, err) == 1)
        return 0;
    int r = esp_remove(esp_fd, path, err);
    if (r < 0)
        return r;
    r = write_and_compare(esp_fd, path, from, offset, bytes, sha256, err);
    if (r > 0)
        return 0;
    struct err ignored;
    if (r != -EEXIST && esp_remove(esp_fd, path, &ignored) < 0)
        err_prefix(err, r, "(and cannot be removed)");
    if (r == -ENOSPC)
        return err_set(err, r, "ESP: %s needs %" PRIu64 " bytes, %" PRIu64 " are free", path, bytes, free_bytes(esp_fd));
    return err_prefix(err, r, "ESP: writing %s", path);
}

int esp_write_text(int esp_fd, const char *path, const char *text, struct err *err) {
    uint8_t sha256[DIGEST_BYTES];
    cleanup_fd int fd = memfd_create("esp", MFD_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "memfd_create");
    digest_bytes(text, strlen(text), sha256);
    int r = file_write_all(fd, path, text, strlen(text), err);
    return r < 0 ? r : esp_write(esp_fd, path, fd, 0, strlen(text), sha256, err);
}
