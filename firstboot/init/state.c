// SPDX-License-Identifier: Apache-2.0
// The writable partition: checked when it was not unmounted properly, mounted, and its five directories bound into the new root.
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/ext4.h"
#include "firstboot/init/fsck.h"
#include "firstboot/init/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>

#define STATE_FLAGS (MS_NOSUID | MS_NODEV | MS_NOATIME)

static const struct directory {
    const char *name;
    mode_t mode;
} directories[] = {{"var", 0755}, {"home", 0755}, {"root", 0700}, {"srv", 0755}, {"webops", 0700}};

static int mend(const char *device, const uint8_t superblock[EXT4_SUPERBLOCK_BYTES], struct err *err) {
    cleanup_fd int fd = open(device, O_WRONLY | O_CLOEXEC);
    console_log(CONSOLE_ERROR, "%s: the superblock's checksum is wrong, as after a power cut while it was written; corrected", device);
    if (fd < 0 || pwrite(fd, superblock, EXT4_SUPERBLOCK_BYTES, EXT4_SUPERBLOCK_OFFSET) != EXT4_SUPERBLOCK_BYTES || fsync(fd) < 0)
        return err_sys(err, errno ? -errno : -EIO, "writing the superblock of %s", device);
    return 0;
}

static int examine(const char *device, enum ext4_condition *ret_condition, struct err *err) {
    uint8_t superblock[EXT4_SUPERBLOCK_BYTES];
    cleanup_fd int fd = open(device, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : sys_read_at(fd, EXT4_SUPERBLOCK_OFFSET, superblock, sizeof(superblock));
    if (r < 0)
        return err_sys(err, r, "reading the state partition %s", device);
    if (ext4_mend(superblock)) {
        r = mend(device, superblock, err);
        if (r < 0)
            return r;
    }
    *ret_condition = ext4_examine(superblock);
    if (*ret_condition == EXT4_NOT)
        return err_set(err, -EINVAL, "the state partition %s holds no ext4 file system", device);
    return 0;
}

static int check(struct boot *boot, const char *device, enum ext4_action *ret_action, struct err *err) {
    enum ext4_condition condition = EXT4_NOT;
    int status = 0, r = examine(device, &condition, err);
    boot->state_check = ext4_describe(EXT4_CLEAN, 0);
    *ret_action = EXT4_MOUNT;
    if (r < 0 || condition == EXT4_CLEAN)
        return r;
    console_log(CONSOLE_INFO, "%s was %s: running e2fsck -p", device, condition == EXT4_JOURNAL ? "not unmounted" : "marked as damaged");
    r = fsck_run(BOOT_ROOT, device, &status, err);
    if (r < 0)
        return r;
    *ret_action = ext4_decide(condition, status);
    boot->state_check = ext4_describe(condition, status);
    if (*ret_action == EXT4_RESTART)
        return err_set(err, -EAGAIN, "e2fsck repaired %s and wants a restart", device);
    int level = *ret_action == EXT4_MOUNT ? CONSOLE_INFO : CONSOLE_ERROR;
    console_log(level, "e2fsck -p %s: exit status %d%s", device, status,
                *ret_action == EXT4_MOUNT ? "" : "; the state stays READ-ONLY until someone repairs it (e2fsck without -p)");
    return 0;
}

// Each way gives up more than the one before; a machine with a read-only state can still be reached.
static const struct {
    unsigned long flags;
    const char *options;
} ways[] = {{0, "errors=remount-ro"}, {MS_RDONLY, NULL}, {MS_RDONLY, "noload"}};

static int mount_state(struct boot *boot, const char *device, enum ext4_action action, struct err *err) {
    int r = 0;
    for (size_t i = action == EXT4_MOUNT ? 0 : 1; i < ARRAY_SIZE(ways); i++) {
        r = sys_mount(device, BOOT_STATE, "ext4", STATE_FLAGS | ways[i].flags, ways[i].options, err);
        boot->is_state_read_only = ways[i].flags & MS_RDONLY;
        if (r == 0)
            return 0;
        console_log(CONSOLE_ERROR, "%s%s", err->text, i + 1 < ARRAY_SIZE(ways) ? "; trying with less" : "");
    }
    return r;
}

// Bind mounts inherit nosuid, nodev and noatime from the mount they are taken from.
static int bind_directory(int state_fd, const struct directory *directory, const char *to, struct err *err) {
    char from[SYS_PATH_BYTES];
    snprintf(from, sizeof(from), BOOT_STATE "/%s", directory->name);
    int r = sys_mkdir(state_fd, directory->name, directory->mode, err);
    return r < 0 ? err_prefix(err, r, "state partition") : sys_mount(from, to, NULL, MS_BIND, NULL, err);
}

// In place of a directory that a damaged, read-only state cannot give: empty, in memory, so that the machine can be reached.
static int replace_directory(const struct directory *directory, const char *to, struct err *err) {
    char options[32];
    console_log(CONSOLE_ERROR, "%s; an empty directory in memory takes its place", err->text);
    snprintf(options, sizeof(options), "mode=%o", (unsigned)directory->mode);
    return sys_mount("tmpfs", to, "tmpfs", MS_NOSUID | MS_NODEV, options, err);
}

static int bind_directories(const struct boot *boot, struct err *err) {
    cleanup_fd int state_fd = open(BOOT_STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state_fd < 0)
        return err_sys(err, -errno, "opening " BOOT_STATE);
    for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
        char to[SYS_PATH_BYTES];
        snprintf(to, sizeof(to), BOOT_ROOT "/%s", directories[i].name);
        int r = bind_directory(state_fd, &directories[i], to, err);
        if (r < 0 && boot->is_state_read_only)
            r = replace_directory(&directories[i], to, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int mount_partition(struct boot *boot, struct err *err) {
    char device[SYS_PATH_BYTES];
    enum ext4_action action = EXT4_MOUNT;
    snprintf(device, sizeof(device), "/dev/%s", boot->disk.state.device);
    int r = check(boot, device, &action, err);
    return r < 0 ? r : mount_state(boot, device, action, err);
}

// A system that was started from a medium forgets everything: the disks belong to somebody else.
static int mount_memory(struct boot *boot, struct err *err) {
    boot->state_check = "memory";
    return sys_mount("tmpfs", BOOT_STATE, "tmpfs", STATE_FLAGS, "mode=0755,size=50%", err);
}

int state_apply(struct boot *boot, struct err *err) {
    int r = sys_mkdir(AT_FDCWD, BOOT_STATE, 0755, err);
    if (r == 0)
        r = *boot->medium ? mount_memory(boot, err) : mount_partition(boot, err);
    return r < 0 ? r : bind_directories(boot, err);
}
