// SPDX-License-Identifier: Apache-2.0
// The guard before the writer: boot record, sysfs and the opened device must tell the same story.
#include "firstboot/update/slotdevice.h"
#include "common/buf.h"
#include "common/file.h"
#include "firstboot/bootrecord.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define BLOCK_DIR "sys/class/block"
#define SYSFS_BYTES 4096
#define MOUNTINFO_BYTES (4 << 20)

// What is known of the target before it is opened.
struct target {
    char disk[64], part[64]; // kernel names
    char number[32]; // "254:4"
};

// "/dev/vda5" → "vda5"; NULL for anything that is no name directly below /dev.
static const char *device_name(const struct config *record, const char *key) {
    const char *text = bootrecord_text(record, key);
    if (strncmp(text, "/dev/", 5) != 0 || !text[5] || text[5] == '.' || strchr(text + 5, '/') || strlen(text) > 60)
        return NULL;
    return text + 5;
}

// First line of a sysfs file.
static int read_line(int root_fd, const char *path, char *ret_text, size_t size, struct err *err) {
    cleanup_free char *text = NULL;
    int r = file_read(root_fd, path, SYSFS_BYTES, &text, NULL, err);
    if (r < 0)
        return r;
    text[strcspn(text, "\n")] = 0;
    if (strlen(text) >= size)
        return err_set(err, -ENODEV, "/%s holds more than expected", path);
    strcpy(ret_text, text);
    return 0;
}

// Whether the uevent of sysfs directory `path` says PARTNAME=`name`; no uevent at all is no.
static bool has_name(int root_fd, const char *path, const char *name) {
    cleanup_free char *file = str_printf("%s/uevent", path), *text = NULL;
    struct err ignored;
    if (file_read(root_fd, file, SYSFS_BYTES, &text, NULL, &ignored) < 0)
        return false;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        if (strncmp(line, "PARTNAME=", 9) == 0)
            return strcmp(line + 9, name) == 0;
    return false;
}

static DIR *open_directory(int root_fd, const char *path) {
    int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (fd >= 0 && !dir)
        close(fd);
    return dir;
}

// The partition of `disk` that has the name; more than one is an error, because the wrong one cannot be told from the right one.
static int find_partition(int root_fd, const char *disk, const char *name, char ret_part[64], struct err *err) {
    cleanup_free char *path = str_printf(BLOCK_DIR "/%s", disk);
    cleanup_dir DIR *dir = open_directory(root_fd, path);
    unsigned found = 0;
    if (!dir)
        return err_sys(err, -ENODEV, "looking at the booted disk %s", disk);
    for (struct dirent *entry; (entry = readdir(dir));) {
        cleanup_free char *child = str_printf("%s/%s", path, entry->d_name), *marker = str_printf("%s/partition", child);
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= 60 || !file_exists(root_fd, marker) || !has_name(root_fd, child, name))
            continue;
        strcpy(ret_part, entry->d_name);
        found++;
    }
    if (found > 1)
        return err_set(err, -ENOTUNIQ, "disk %s has %u partitions named %s; nothing is written to any of them", disk, found, name);
    return found ? 0 : err_set(err, -ENODEV, "disk %s has no partition named %s", disk, name);
}

// The running slot's partition is what the record says it is, and dm-verity lies on it: then DISK is the booted disk.
static int check_running(int root_fd, const struct config *record, const char *disk, enum boot_slot running, struct err *err) {
    const char *device = device_name(record, "SLOT_DEVICE"), *verity = device_name(record, "VERITY_DEVICE");
    char part[64], name[32];
    snprintf(name, sizeof(name), "webops-%s", boot_slot_name(running));
    int r = find_partition(root_fd, disk, name, part, err);
    if (r < 0)
        return r;
    if (!device || strcmp(device, part) != 0)
        return err_set(err, -ENODEV, "%s is /dev/%s, but the machine was started from %s", name, part,
                       bootrecord_text(record, "SLOT_DEVICE"));
    cleanup_free char *dm = str_printf(BLOCK_DIR "/%s", verity ? verity : "."), *slave = str_printf("%s/slaves/%s", dm, part);
    if (verity && file_exists(root_fd, dm) && !file_exists(root_fd, slave))
        return err_set(err, -ENODEV, "/dev/%s, which the system runs from, does not lie on /dev/%s", verity, part);
    return 0;
}

static int check_unheld(int root_fd, const char *sys, const char *part, struct err *err) {
    cleanup_free char *path = str_printf("%s/holders", sys);
    cleanup_dir DIR *dir = open_directory(root_fd, path);
    if (!dir)
        return err_sys(err, -ENODEV, "looking at what lies on /dev/%s", part);
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return err_set(err, -EBUSY, "/dev/%s is in use by %s", part, entry->d_name);
    return 0;
}

static int check_unmounted(int root_fd, const char *number, const char *part, struct err *err) {
    cleanup_free char *text = NULL, *word = str_printf(" %s ", number);
    int r = file_read(root_fd, "proc/self/mountinfo", MOUNTINFO_BYTES, &text, NULL, err);
    if (r == -ENOENT)
        return 0; // a test tree without it; on a machine opening exclusively says the same
    if (r < 0)
        return r;
    return strstr(text, word) ? err_set(err, -EBUSY, "/dev/%s is mounted", part) : 0;
}

static int check_target(int root_fd, const struct config *record, enum boot_slot slot, struct target *ret_target, struct err *err) {
    const char *disk = device_name(record, "DISK");
    enum boot_slot running;
    char name[32], read_only[8];
    if (!disk || boot_slot_parse(bootrecord_text(record, "SLOT"), &running, err) < 0)
        return err_set(err, -ENODEV, "the boot record names no disk and slot that the machine was started from: is it one of ours?");
    if (slot == running)
        return err_set(err, -EBUSY, "slot %s is the running one", boot_slot_name(slot));
    int r = check_running(root_fd, record, disk, running, err);
    snprintf(name, sizeof(name), "webops-%s", boot_slot_name(slot));
    if (r >= 0)
        r = find_partition(root_fd, disk, name, ret_target->part, err);
    if (r < 0)
        return r;
    strcpy(ret_target->disk, disk);
    cleanup_free char *sys = str_printf(BLOCK_DIR "/%s/%s", disk, ret_target->part), *ro = str_printf("%s/ro", sys),
                      *dev = str_printf("%s/dev", sys);
    r = read_line(root_fd, ro, read_only, sizeof(read_only), err);
    if (r >= 0)
        r = read_line(root_fd, dev, ret_target->number, sizeof(ret_target->number), err);
    if (r < 0)
        return r;
    if (strcmp(read_only, "0") != 0)
        return err_set(err, -EROFS, "/dev/%s is read-only", ret_target->part);
    r = check_unheld(root_fd, sys, ret_target->part, err);
    return r < 0 ? r : check_unmounted(root_fd, ret_target->number, ret_target->part, err);
}

static bool is_machine_root(int root_fd) {
    struct stat given, own;
    if (root_fd == AT_FDCWD || fstat(root_fd, &given) < 0 || stat("/", &own) < 0)
        return true;
    return given.st_dev == own.st_dev && given.st_ino == own.st_ino;
}

// Size of what was opened, after it was found to be what sysfs spoke of.
static int check_opened(int root_fd, const struct target *target, int fd, uint64_t *ret_bytes, struct err *err) {
    char number[32];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "cannot look at /dev/%s", target->part);
    if (S_ISREG(st.st_mode) && !is_machine_root(root_fd)) {
        *ret_bytes = (uint64_t)st.st_size;
        return 0;
    }
    snprintf(number, sizeof(number), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
    if (!S_ISBLK(st.st_mode) || strcmp(number, target->number) != 0)
        return err_set(err, -ENODEV, "/dev/%s is not the block device %s", target->part, target->number);
    return ioctl(fd, BLKGETSIZE64, ret_bytes) < 0 ? err_sys(err, -errno, "asking the size of /dev/%s", target->part) : 0;
}

static int open_checked(int root_fd, const struct config *record, enum boot_slot slot, int flags, struct slotdevice *ret_device,
                        struct err *err) {
    struct target target = {0};
    uint64_t bytes = 0;
    int r = check_target(root_fd, record, slot, &target, err);
    if (r < 0)
        return r;
    cleanup_free char *path = str_printf("dev/%s", target.part);
    cleanup_fd int fd = file_open(root_fd, path, flags | O_NOFOLLOW | O_NONBLOCK, 0, err); // a FIFO there must not hold us up
    r = fd < 0 ? fd : check_opened(root_fd, &target, fd, &bytes, err);
    if (r < 0)
        return r;
    *ret_device = (struct slotdevice){.fd = take_fd(&fd), .bytes = bytes};
    snprintf(ret_device->name, sizeof(ret_device->name), "/%s", path);
    return 0;
}

int slotdevice_open(int root_fd, const struct config *record, enum boot_slot slot, struct slotdevice *ret_device, struct err *err) {
    return open_checked(root_fd, record, slot, O_RDWR | O_EXCL, ret_device, err); // O_EXCL: a mounted or held block device is EBUSY
}

int slotdevice_open_read(int root_fd, const struct config *record, enum boot_slot slot, struct slotdevice *ret_device, struct err *err) {
    return open_checked(root_fd, record, slot, O_RDONLY, ret_device, err);
}

int slotdevice_drop_cache(int fd, const char *name, struct err *err) {
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "cannot look at %s", name);
    if (S_ISBLK(st.st_mode) && ioctl(fd, BLKFLSBUF, 0) < 0)
        return err_sys(err, -errno, "emptying the cache of %s", name);
    int r = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return r ? err_sys(err, -r, "emptying the cache of %s", name) : 0;
}
