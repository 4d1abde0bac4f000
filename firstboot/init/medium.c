// SPDX-License-Identifier: Apache-2.0
// Finds an installation medium, mounts it read-only, and makes a block device of the slot file on it. From there on everything goes as if the
// slot were a partition: dm-verity holds it against the root hash of the kernel command line.
#include "firstboot/init/medium.h"
#include "firstboot/init/boot.h"
#include "firstboot/init/console.h"
#include "firstboot/init/sys.h"
#include "firstboot/init/uevent.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

#define MOUNT BOOT_RUN "/medium"
#define LABEL_OFFSET 40 // ECMA-119 8.4.7: 32 bytes, filled up with spaces
#define FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

static bool is_label(const char *label) {
    size_t size = strspn(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
    return size > 0 && size < MEDIUM_LABEL_BYTES && !label[size];
}

int medium_word_find(const char *command_line, char ret_label[MEDIUM_LABEL_BYTES], struct err *err) {
    static const char name[] = "webops.medium=";
    char label[MEDIUM_LABEL_BYTES] = "";
    int found = 0;
    for (const char *word = command_line; *word; word += strspn(word, " \t\n")) {
        size_t length = strcspn(word, " \t\n"), head = strlen(name);
        if (length >= head && memcmp(word, name, head) == 0) {
            if (found++)
                return err_set(err, -EINVAL, "webops.medium= stands twice on the kernel command line");
            if (length - head < sizeof(label))
                snprintf(label, sizeof(label), "%.*s", (int)(length - head), word + head);
        }
        word += length;
    }
    if (found && !is_label(label))
        return err_set(err, -EINVAL, "webops.medium= on the kernel command line is no volume label of A-Z, 0-9 and _");
    if (found)
        memcpy(ret_label, label, sizeof(label));
    return found;
}

bool medium_has_label(const uint8_t descriptor[MEDIUM_DESCRIPTOR_BYTES], const char *label) {
    static const uint8_t head[] = {1, 'C', 'D', '0', '0', '1', 1};
    char wanted[MEDIUM_LABEL_BYTES];
    snprintf(wanted, sizeof(wanted), "%-32s", label);
    return memcmp(descriptor, head, sizeof(head)) == 0 && memcmp(descriptor + LABEL_OFFSET, wanted, sizeof(wanted) - 1) == 0;
}

// A partition of a stick can show the same file system once more: whole disks only.
static bool is_medium(int block_fd, int dev_fd, const char *name, const char *label, char ret_device[FIND_NAME_BYTES]) {
    char path[NAME_MAX + 16], text[2048], type[16];
    uint8_t descriptor[MEDIUM_DESCRIPTOR_BYTES];
    snprintf(path, sizeof(path), "%s/uevent", name);
    ssize_t size = sys_read_text(block_fd, path, text, sizeof(text));
    if (size <= 0 || !uevent_find(text, (size_t)size, '\n', "DEVTYPE", type, sizeof(type)) || strcmp(type, "disk") != 0 ||
        !uevent_find(text, (size_t)size, '\n', "DEVNAME", ret_device, FIND_NAME_BYTES))
        return false;
    // Not waiting: an empty drive answers at once.
    cleanup_fd int fd = openat(dev_fd, ret_device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    return fd >= 0 && sys_read_at(fd, MEDIUM_DESCRIPTOR_OFFSET, descriptor, sizeof(descriptor)) == 0 && medium_has_label(descriptor, label);
}

int medium_scan(int block_fd, int dev_fd, const char *label, char ret_device[FIND_NAME_BYTES], struct err *err) {
    char found[FIND_NAME_BYTES] = "", device[FIND_NAME_BYTES];
    int fd = openat(block_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "opening /sys/class/block");
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir)
        return err_sys(err, -errno, "reading /sys/class/block");
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || !is_medium(block_fd, dev_fd, entry->d_name, label, device))
            continue;
        if (*found)
            return err_set(err, -ENOTUNIQ, "/dev/%s and /dev/%s both have the volume label %s: remove one of them", found, device, label);
        memcpy(found, device, sizeof(found));
    }
    if (!*found)
        return 0;
    memcpy(ret_device, found, sizeof(found));
    return 1;
}

// With a medium the device is still the medium's; afterwards it is the slot's.
static int mount_medium(const struct boot *boot, struct err *err) {
    char device[SYS_PATH_BYTES];
    int r = sys_mkdir(AT_FDCWD, MOUNT, 0755, err);
    if (r < 0)
        return r;
    if (boot->is_in_memory) { // the name in the initramfs goes away with the initramfs, the mount stays
        r = sys_mount(MEDIUM_IN_MEMORY, MOUNT, NULL, MS_BIND, NULL, err);
        return r < 0 ? r : sys_mount(NULL, MOUNT, NULL, MS_BIND | MS_REMOUNT | FLAGS, NULL, err);
    }
    snprintf(device, sizeof(device), "/dev/%s", boot->disk.slot.disk);
    return sys_mount(device, MOUNT, "iso9660", FLAGS, NULL, err);
}

static int attach(const char *path, unsigned *ret_number, struct err *err) {
    char device[SYS_PATH_BYTES];
    cleanup_fd int control_fd = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (control_fd < 0)
        return err_sys(err, -errno, "opening /dev/loop-control (is loop in the plan's load line?)");
    if (file_fd < 0)
        return err_sys(err, -errno, "opening %s", path);
    int number = ioctl(control_fd, LOOP_CTL_GET_FREE);
    if (number < 0)
        return err_sys(err, -errno, "finding a free loop device");
    snprintf(device, sizeof(device), "/dev/loop%d", number);
    cleanup_fd int loop_fd = open(device, O_RDONLY | O_CLOEXEC);
    const struct loop_config config = {.fd = (uint32_t)file_fd, .info = {.lo_flags = LO_FLAGS_READ_ONLY}};
    if (loop_fd < 0 || ioctl(loop_fd, LOOP_CONFIGURE, &config) < 0)
        return err_sys(err, -errno, "making %s of %s", device, path);
    *ret_number = (unsigned)number;
    return 0;
}

int medium_apply(struct boot *boot, struct err *err) {
    unsigned number = 0;
    if (!*boot->medium)
        return 0;
    int r = mount_medium(boot, err);
    if (r == 0)
        r = attach(MOUNT "/" MEDIUM_SLOT, &number, err);
    if (r < 0)
        return r;
    snprintf(boot->disk.slot.device, sizeof(boot->disk.slot.device), "loop%u", number);
    return 0;
}
