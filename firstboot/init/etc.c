// SPDX-License-Identifier: Apache-2.0
// /etc: the image's files below a layer in memory, so that every boot starts from the image and edits show up in one directory.
#include "firstboot/init/boot.h"
#include "firstboot/init/layers.h"
#include "firstboot/init/sys.h"
#include <fcntl.h>
#include <sys/mount.h>

#define ETC BOOT_RUN "/etc"

int etc_apply(struct boot *boot, struct err *err) {
    (void)boot;
    int r = sys_mkdir(AT_FDCWD, ETC, 0700, err);
    if (r == 0)
        r = sys_mount("tmpfs", ETC, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700,size=64m", err);
    if (r == 0)
        r = sys_mkdir(AT_FDCWD, ETC "/upper", 0755, err);
    if (r == 0)
        r = sys_mkdir(AT_FDCWD, ETC "/work", 0700, err);
    if (r == 0)
        r = sys_mount("overlay", BOOT_ROOT "/etc", "overlay", MS_NOSUID | MS_NODEV,
                      "lowerdir=" BOOT_ROOT "/etc,upperdir=" ETC "/upper,workdir=" ETC "/work," LAYERS_OVERLAY_OPTIONS, err);
    return r;
}
