// SPDX-License-Identifier: Apache-2.0
// First step: the kernel's file systems, the console, and what the kernel was told.
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define KERNEL_FLAGS (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define COMMAND_LINE_BYTES 4096 // twice what x86 kernels take

static const struct {
    const char *path, *type;
    unsigned long flags;
    const char *options;
} mounts[] = {
    {"/dev", "devtmpfs", MS_NOSUID, "mode=0755"},
    {"/proc", "proc", KERNEL_FLAGS, NULL},
    {"/sys", "sysfs", KERNEL_FLAGS, NULL},
    {"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755"},
};

int mounts_apply(struct boot *boot, struct err *err) {
    (void)boot;
    umask(0);
    for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
        int r = sys_mkdir(AT_FDCWD, mounts[i].path, 0755, err);
        // A kernel with CONFIG_DEVTMPFS_MOUNT does not mount /dev in an initramfs, so nothing is mounted twice.
        if (r == 0)
            r = sys_mount(mounts[i].type, mounts[i].path, mounts[i].type, mounts[i].flags, mounts[i].options, err);
        if (r < 0)
            return r;
    }
    console_open();
    int r = sys_mkdir(AT_FDCWD, BOOT_RUN, 0755, err);
    return r < 0 ? r : sys_mkdir(AT_FDCWD, BOOT_ROOT, 0755, err);
}

int command_line_load(struct boot *boot, struct err *err) {
    char text[COMMAND_LINE_BYTES];
    ssize_t size = sys_read_text(AT_FDCWD, "/proc/cmdline", text, sizeof(text));
    if (size < 0)
        return err_sys(err, (int)size, "reading /proc/cmdline");
    int r = medium_word_find(text, boot->medium, err);
    return r < 0 ? r : slot_boot_find(text, &boot->wanted, err);
}
