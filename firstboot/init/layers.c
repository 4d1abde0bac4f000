// SPDX-License-Identifier: Apache-2.0
// Mounts the squashfs of each layer and the overlay over them, and makes sure that none of it can be written.
#include "firstboot/init/layers.h"
#include "firstboot/init/boot.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#define EMPTY LAYERS_DIRECTORY "/empty"

void layers_format_options(unsigned count, char ret_options[LAYERS_OPTIONS_BYTES]) {
    int used = snprintf(ret_options, LAYERS_OPTIONS_BYTES, "lowerdir=" EMPTY);
    for (unsigned i = count; i-- > 0;)
        used += snprintf(ret_options + used, LAYERS_OPTIONS_BYTES - (size_t)used, ":" LAYERS_DIRECTORY "/%u", i);
    snprintf(ret_options + used, LAYERS_OPTIONS_BYTES - (size_t)used, "," LAYERS_OVERLAY_OPTIONS);
}

static int check_read_only(const char *path, struct err *err) {
    struct statvfs st;
    if (statvfs(path, &st) < 0)
        return err_sys(err, -errno, "looking at the mount %s", path);
    return st.f_flag & ST_RDONLY ? 0 : err_set(err, -EPERM, "the mount %s is writable", path);
}

static int mount_layer(struct boot *boot, unsigned number, struct err *err) {
    char device[SYS_PATH_BYTES], path[SYS_PATH_BYTES];
    snprintf(device, sizeof(device), "/dev/dm-%u", minor(boot->layers[number]));
    snprintf(path, sizeof(path), LAYERS_DIRECTORY "/%u", number);
    int r = sys_mkdir(AT_FDCWD, path, 0755, err);
    if (r == 0)
        r = sys_mount(device, path, "squashfs", MS_RDONLY | MS_NODEV, NULL, err);
    if (r == 0)
        r = check_read_only(path, err);
    return r < 0 ? err_prefix(err, r, "layer %s %s", boot->header.layers[number].name, boot->header.layers[number].version) : 0;
}

int layers_apply(struct boot *boot, struct err *err) {
    char options[LAYERS_OPTIONS_BYTES], path[SYS_PATH_BYTES];
    const unsigned count = boot->header.layer_count;
    int r = sys_mkdir(AT_FDCWD, LAYERS_DIRECTORY, 0755, err);
    if (r == 0)
        r = sys_mkdir(AT_FDCWD, EMPTY, 0755, err);
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = mount_layer(boot, i, err);
    layers_format_options(count, options);
    if (r == 0)
        r = sys_mount("overlay", BOOT_ROOT, "overlay", MS_RDONLY | MS_NODEV, options, err);
    if (r == 0)
        r = check_read_only(BOOT_ROOT, err);
    // The overlay keeps its own hold of the layers; without these names the initramfs can be emptied and nothing is mounted twice.
    for (unsigned i = 0; r == 0 && i < count; i++) {
        snprintf(path, sizeof(path), LAYERS_DIRECTORY "/%u", i);
        if (umount2(path, 0) < 0)
            r = err_sys(err, -errno, "unmounting %s", path);
    }
    return r;
}
