// SPDX-License-Identifier: Apache-2.0
// DM_TABLE_STATUS: the verity target says "V" for verified, "C" for corrupted.
#include "firstboot/verity.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

// The kernel's encoding of a device number in this interface (new_encode_dev).
static uint64_t encode(dev_t device) {
    return (minor(device) & 0xff) | (major(device) << 8) | ((uint64_t)(minor(device) & ~0xffU) << 12);
}

int verity_check(const char *device, struct err *err) {
    struct stat st;
    union {
        struct dm_ioctl header;
        char bytes[4096];
    } request = {.header = {.version = {4, 0, 0}, .data_size = sizeof(request), .data_start = sizeof(struct dm_ioctl)}};
    if (stat(device, &st) < 0 || !S_ISBLK(st.st_mode))
        return err_set(err, -ENODEV, "%s is no block device", device);
    request.header.dev = encode(st.st_rdev);
    cleanup_fd int fd = file_open(AT_FDCWD, "/dev/mapper/control", O_RDWR, 0, err);
    if (fd < 0)
        return fd;
    if (ioctl(fd, DM_TABLE_STATUS, &request) < 0)
        return err_sys(err, -errno, "cannot ask device-mapper about %s", device);
    request.bytes[sizeof(request.bytes) - 1] = 0;
    const struct dm_target_spec *target = (const void *)(request.bytes + request.header.data_start);
    if (request.header.target_count != 1 || strncmp(target->target_type, "verity", sizeof(target->target_type)) != 0)
        return err_set(err, -EINVAL, "%s is no dm-verity device", device);
    char state = *(const char *)(target + 1);
    return state == 'V' ? 0 : err_set(err, -EIO, "%s has met blocks that do not match the root hash", device);
}
