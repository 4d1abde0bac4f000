// SPDX-License-Identifier: Apache-2.0
// Last step: frees the initramfs, makes the new root the root, and becomes its init. The kernel's rootfs can neither be unmounted nor be
// pivoted away, so its content is deleted and the new root is moved over it (kernel, filesystems/ramfs-rootfs-initramfs.rst).
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/layers.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define RAMFS 0x858458f6
#define TMPFS 0x01021994

static const char *const moved[] = {"/dev", "/proc", "/sys", "/run"};

// Deletes everything on this one file system, and only when it is the memory the kernel unpacked the initramfs into. What cannot be
// deleted only costs memory. A medium that came with it is still in use, and so is the empty directory on top of the layers.
static void remove_tree(int dir_fd, dev_t device) {
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 || strcmp(entry->d_name, MEDIUM_IN_MEMORY + 1) == 0 ||
            strcmp(entry->d_name, LAYERS_DIRECTORY + 1) == 0 || fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            st.st_dev != device)
            continue;
        if (S_ISDIR(st.st_mode)) {
            cleanup_fd int child = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (child >= 0)
                remove_tree(child, device);
        }
        unlinkat(dir_fd, entry->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    }
}

static void empty_initramfs(void) {
    cleanup_fd int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    struct statfs fs;
    if (fd >= 0 && fstat(fd, &st) == 0 && fstatfs(fd, &fs) == 0 && (fs.f_type == RAMFS || fs.f_type == TMPFS))
        remove_tree(fd, st.st_dev);
}

static int move_mounts(struct err *err) {
    for (size_t i = 0; i < ARRAY_SIZE(moved); i++) {
        char path[SYS_PATH_BYTES];
        snprintf(path, sizeof(path), BOOT_ROOT "%s", moved[i]);
        if (mount(moved[i], path, NULL, MS_MOVE, NULL) < 0)
            return err_sys(err, -errno, "moving %s to %s", moved[i], path);
    }
    return 0;
}

static int become_init(struct err *err) {
    static const char *const programs[] = {"/sbin/init", "/usr/lib/systemd/systemd"};
    static const char *const environment[] = {"HOME=/", "TERM=linux", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        const char *const arguments[] = {programs[i], NULL};
        execve(programs[i], (char *const *)arguments, (char *const *)environment);
    }
    return err_sys(err, -errno, "starting %s of the new root", programs[0]);
}

int switch_apply(struct boot *boot, struct err *err) {
    console_say("%s %s from %s: starting its init after %llu ms", boot->header.profile, boot->header.version,
                *boot->medium                         ? "a medium"
                : boot->disk.slot.role == FIND_SLOT_A ? "slot a"
                                                      : "slot b",
                (unsigned long long)(sys_now_ms() - boot->start_ms));
    int r = move_mounts(err);
    if (r < 0)
        return r;
    if (chdir(BOOT_ROOT) < 0)
        return err_sys(err, -errno, "entering " BOOT_ROOT);
    empty_initramfs();
    if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return err_sys(err, -errno, "making " BOOT_ROOT " the root");
    return become_init(err);
}
