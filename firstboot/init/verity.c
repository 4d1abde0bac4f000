// SPDX-License-Identifier: Apache-2.0
// Puts dm-verity over the slot, reads the header again through it, and cuts the layers out. From here on nothing reads the partition itself.
#include "firstboot/init/boot.h"
#include "firstboot/init/dm.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define CONTROL "/dev/mapper/control"

static int create_verity(struct boot *boot, int control_fd, struct err *err) {
    char path[SYS_PATH_BYTES], params[DM_PARAMS_BYTES];
    snprintf(path, sizeof(path), "/dev/%s", boot->disk.slot.device);
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    uint64_t device_bytes = 0;
    if (fd < 0 || fstat(fd, &st) < 0 || ioctl(fd, BLKGETSIZE64, &device_bytes) < 0)
        return err_sys(err, -errno, "opening %s", path);
    const uint64_t blocks = boot->wanted.data_blocks;
    int r = dm_check_size(blocks, device_bytes, err);
    if (r < 0)
        return err_prefix(err, r, "%s", path);
    dm_format_verity(st.st_rdev, blocks, boot->wanted.root_hash, params);
    return dm_create(control_fd, "webops", blocks * (SLOT_BLOCK_BYTES / DM_SECTOR_BYTES), "verity", params, &boot->verity, err);
}

static int read_header(struct boot *boot, struct err *err) {
    char path[SYS_PATH_BYTES];
    uint8_t bytes[SLOT_HEADER_BYTES];
    int is_read_only = 0;
    snprintf(path, sizeof(path), "/dev/dm-%u", minor(boot->verity));
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, BLKROGET, &is_read_only) < 0)
        return err_sys(err, -errno, "opening %s", path);
    if (!is_read_only)
        return err_set(err, -EPERM, "%s: the verity device is writable", path);
    int r = sys_read_at(fd, 0, bytes, sizeof(bytes));
    if (r < 0)
        return err_sys(err, r,
                       "the content of /dev/%s does not match the root hash of the kernel command line, or the disk fails; reading %s",
                       boot->disk.slot.device, path);
    r = slot_header_parse(bytes, sizeof(bytes), &boot->header, err);
    if (r < 0)
        return err_prefix(err, r, "%s", path);
    if (memcmp(boot->header.id, boot->wanted.id, SLOT_ID_BYTES) != 0 ||
        boot->header.data_bytes != boot->wanted.data_blocks * SLOT_BLOCK_BYTES)
        return err_set(err, -EINVAL, "%s: slot id or size are not those of webops.slot= on the kernel command line", path);
    return 0;
}

int verity_apply(struct boot *boot, struct err *err) {
    cleanup_fd int control_fd = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control_fd < 0)
        return err_sys(err, -errno, "opening " CONTROL " (is dm-mod in the plan's load line?)");
    int r = create_verity(boot, control_fd, err);
    if (r == 0)
        r = read_header(boot, err);
    for (uint32_t i = 0; r == 0 && i < boot->header.layer_count; i++) {
        const struct slot_layer *layer = &boot->header.layers[i];
        char name[32], params[DM_PARAMS_BYTES];
        snprintf(name, sizeof(name), "webops-layer-%u", i);
        dm_format_linear(boot->verity, layer->offset / DM_SECTOR_BYTES, params);
        r = dm_create(control_fd, name, dm_layer_sectors(layer), "linear", params, &boot->layers[i], err);
    }
    return r;
}
