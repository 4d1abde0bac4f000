// SPDX-License-Identifier: Apache-2.0
// Looks at block devices and opens file systems on them. What is read from them is seed.c's business.
#include "firstboot/volumes.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/run.h"
#include "firstboot/detached.h"
#include "firstboot/superblock.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#define BLOCK_DIR "sys/class/block"
#define MAX_DEVICES 256

struct device {
    char name[64]; // kernel name
    char disk[64]; // the disk it is a partition of, or itself
    char partition[40]; // partition name (GPT), "" = none
};

struct devices {
    struct device items[MAX_DEVICES];
    size_t count;
};

void volumes_done(struct volumes *volumes) {
    free(volumes->items);
    *volumes = (struct volumes){0};
}

// Last component of the directory above the one a sysfs link points to: ".../block/vda/vda2" → "vda".
static void parent_name(const char *link, char *ret_name, size_t capacity) {
    const char *last = strrchr(link, '/'), *start = last;
    while (start && start > link && start[-1] != '/')
        start--;
    snprintf(ret_name, capacity, "%.*s", last ? (int)(last - start) : 0, last ? start : "");
}

static bool is_pseudo(const char *name) {
    static const char *const prefixes[] = {"loop", "ram", "zram", "dm-", "nbd", "."};
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    return false;
}

// "KEY=value" lines, as in a uevent file; the value of PARTNAME, cut to the capacity.
static void partition_name(const char *uevent, char *ret_name, size_t capacity) {
    static const char key[] = "PARTNAME=";
    const char *at = strncmp(uevent, key, strlen(key)) == 0 ? uevent : strstr(uevent, "\nPARTNAME=");
    at = at ? strchr(at, '=') + 1 : "";
    snprintf(ret_name, capacity, "%.*s", (int)strcspn(at, "\n"), at);
}

static bool load_device(int block_fd, const char *name, struct device *ret) {
    struct err err;
    char link[512];
    cleanup_free char *path = str_printf("%s/uevent", name), *uevent = NULL, *marker = str_printf("%s/partition", name);
    size_t size;
    if (is_pseudo(name) || strlen(name) >= sizeof(ret->name) || file_read(block_fd, path, 4096, &uevent, &size, &err) < 0)
        return false;
    *ret = (struct device){0};
    strcpy(ret->name, name);
    strcpy(ret->disk, name);
    partition_name(uevent, ret->partition, sizeof(ret->partition));
    ssize_t length = readlinkat(block_fd, name, link, sizeof(link) - 1);
    if (length > 0 && file_exists(block_fd, marker)) {
        link[length] = 0;
        parent_name(link, ret->disk, sizeof(ret->disk));
    }
    return true;
}

static int compare_devices(const void *a, const void *b) {
    return strverscmp(((const struct device *)a)->name, ((const struct device *)b)->name);
}

static int devices_load(int root_fd, struct devices *ret, struct err *err) {
    int fd = file_open(root_fd, BLOCK_DIR, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return fd;
    cleanup_dir DIR *dir = fdopendir(fd);
    ret->count = 0;
    for (struct dirent *entry; dir && ret->count < MAX_DEVICES && (entry = readdir(dir));)
        ret->count += load_device(dirfd(dir), entry->d_name, &ret->items[ret->count]);
    qsort(ret->items, ret->count, sizeof(*ret->items), compare_devices);
    return 0;
}

// The disk we booted from: the one that holds the file system of /webops (the state partition); where that cannot be told, the first
// disk with a partition of the state's name. What was started from an installation medium has none: a machine on a disk beside it is another one.
static void find_booted_disk(int root_fd, const struct devices *devices, char *ret_disk, size_t capacity) {
    struct stat st;
    char link[512];
    ret_disk[0] = 0;
    if (file_exists(root_fd, VOLUME_MEDIUM))
        return;
    if (fstatat(root_fd, "webops", &st, 0) == 0) {
        cleanup_free char *path = str_printf("sys/dev/block/%u:%u", major(st.st_dev), minor(st.st_dev));
        ssize_t length = readlinkat(root_fd, path, link, sizeof(link) - 1);
        if (length > 0) {
            link[length] = 0;
            parent_name(link, ret_disk, capacity);
        }
    }
    for (size_t i = 0; i < devices->count && !ret_disk[0]; i++)
        if (strcmp(devices->items[i].partition, "webops-state") == 0)
            snprintf(ret_disk, capacity, "%s", devices->items[i].disk);
}

static ssize_t read_at(int fd, void *data, size_t size, uint64_t offset) {
    size_t done = 0;
    while (done < size) {
        ssize_t got = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool read_superblock(int root_fd, const char *device, struct superblock *ret) {
    cleanup_free uint8_t *bytes = mem_array(SUPERBLOCK_READ_BYTES, 1);
    // O_NONBLOCK: a drive without a medium answers at once.
    cleanup_fd int fd = openat(root_fd, device, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t size = read_at(fd, bytes, SUPERBLOCK_READ_BYTES, 0);
    if (!superblock_parse(bytes, (size_t)size, ret))
        return false;
    if (ret->directory_offset && ret->directory_offset < INT64_MAX) {
        size = read_at(fd, bytes, SUPERBLOCK_DIRECTORY_BYTES, ret->directory_offset);
        superblock_parse_directory(bytes, (size_t)size, ret);
    }
    return true;
}

static bool classify(const struct device *device, const char *booted_disk, const struct superblock *superblock,
                     enum volume_kind *ret_kind) {
    if (strcmp(device->partition, "esp") == 0 && strcmp(device->disk, booted_disk) == 0 && strcmp(superblock->type, "vfat") == 0)
        *ret_kind = VOLUME_ESP;
    else if (strcmp(superblock->label, "WEBOPS") == 0)
        *ret_kind = VOLUME_WEBOPS;
    else if (strcmp(superblock->label, "cidata") == 0 || strcmp(superblock->label, "CIDATA") == 0)
        *ret_kind = VOLUME_CIDATA;
    else
        return false;
    return true;
}

static void volumes_add(struct volumes *volumes, const struct device *device, enum volume_kind kind, const struct superblock *superblock) {
    volumes->items = mem_resize(volumes->items, volumes->count + 1, sizeof(*volumes->items));
    struct volume *volume = &volumes->items[volumes->count++];
    *volume = (struct volume){.kind = kind, .type = superblock->type};
    strcpy(volume->device, device->name);
    strcpy(volume->disk, device->disk);
    strcpy(volume->label, superblock->label);
}

static int compare_volumes(const void *a, const void *b) {
    const struct volume *left = a, *right = b;
    return left->kind != right->kind ? (left->kind < right->kind ? -1 : 1) : strverscmp(left->device, right->device);
}

int volumes_find(int root_fd, struct volumes *ret_volumes, struct err *err) {
    cleanup_free struct devices *devices = mem_array(1, sizeof(*devices));
    char booted_disk[64];
    *ret_volumes = (struct volumes){0};
    int r = devices_load(root_fd, devices, err);
    if (r < 0)
        return r;
    find_booted_disk(root_fd, devices, booted_disk, sizeof(booted_disk));
    for (size_t i = 0; i < devices->count; i++) {
        struct superblock superblock;
        enum volume_kind kind;
        cleanup_free char *path = str_printf("dev/%s", devices->items[i].name);
        if (strncmp(devices->items[i].partition, "webops-", 7) == 0 || !read_superblock(root_fd, path, &superblock))
            continue;
        if (classify(&devices->items[i], booted_disk, &superblock, &kind))
            volumes_add(ret_volumes, &devices->items[i], kind, &superblock);
    }
    if (ret_volumes->count)
        qsort(ret_volumes->items, ret_volumes->count, sizeof(*ret_volumes->items), compare_volumes);
    return 0;
}

int volume_find_partition(int root_fd, const char *disk, const char *partition, char ret_device[VOLUME_NAME_BYTES], struct err *err) {
    cleanup_free struct devices *devices = mem_array(1, sizeof(*devices));
    const struct device *found = NULL;
    int r = devices_load(root_fd, devices, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < devices->count; i++) {
        const struct device *device = &devices->items[i];
        if (strcmp(device->disk, disk) != 0 || strcmp(device->partition, partition) != 0)
            continue;
        if (found)
            return err_set(err, -ENOTUNIQ, "disk %s has two partitions named %s: %s and %s", disk, partition, found->name, device->name);
        found = device;
    }
    if (!found)
        return err_set(err, -ENOENT, "disk %s has no partition named %s", disk, partition);
    strcpy(ret_device, found->name);
    return 0;
}

// What each file system needs. Read-only ext4 would replay its journal, which writes; a writable FAT hides its files from everybody else.
static const struct parameters {
    const char *type, *flag, *key, *value;
} read_only[] = {{NULL, "ro", NULL, NULL}, {"ext4", "noload", NULL, NULL}},
  writable[] = {{NULL, "rw", NULL, NULL}, {"vfat", NULL, "umask", "0077"}};

static int configure(int context, const char *source, const char *type, const struct parameters *parameters, size_t count) {
    if (fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return -errno;
    for (size_t i = 0; i < count; i++) {
        if (parameters[i].type && strcmp(parameters[i].type, type) != 0)
            continue;
        int r = parameters[i].flag ? fsconfig(context, FSCONFIG_SET_FLAG, parameters[i].flag, NULL, 0)
                                   : fsconfig(context, FSCONFIG_SET_STRING, parameters[i].key, parameters[i].value, 0);
        if (r < 0)
            return -errno;
    }
    return fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0 ? -errno : 0;
}

// For kernels without fsopen (before Linux 5.2; Enterprise Linux 8 has it). They know no "nosymfollow" either: who reads refuses symbolic links, too.
static int open_by_mount(int root_fd, const char *source, const char *type, bool is_writable, struct err *err) {
    const struct parameters *parameters = is_writable ? writable : read_only;
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (is_writable ? MS_NOATIME : MS_RDONLY);
    cleanup_buf struct buf options = {0};
    for (size_t i = 1; i < (is_writable ? ARRAY_SIZE(writable) : ARRAY_SIZE(read_only)); i++) { // the first is a flag of mount(2)
        const struct parameters *one = &parameters[i];
        if (strcmp(one->type, type) == 0)
            buf_printf(&options, "%s%s%s%s", options.size ? "," : "", one->flag ?: one->key, one->flag ? "" : "=",
                       one->flag ? "" : one->value);
    }
    return detached_mount(root_fd, source, type, flags, buf_str(&options), err);
}

static int open_volume(int root_fd, const char *device, const char *type, bool is_writable, struct err *err) {
    cleanup_fd int source_fd = file_open(root_fd, device, O_RDONLY | O_NONBLOCK, 0, err);
    if (source_fd < 0)
        return source_fd;
    char source[64]; // by descriptor, so that the name is looked up once
    snprintf(source, sizeof(source), "/proc/self/fd/%d", source_fd);
    cleanup_fd int context = fsopen(type, FSOPEN_CLOEXEC);
    if (context < 0 && errno == ENOSYS) {
        int fd = open_by_mount(root_fd, source, type, is_writable, err);
        return fd < 0 ? err_prefix(err, fd, "the %s file system on %s", type, device) : fd;
    }
    if (context < 0)
        return err_sys(err, -errno, "the kernel has no file system %s (for %s)", type, device);
    int r = is_writable ? configure(context, source, type, writable, ARRAY_SIZE(writable))
                        : configure(context, source, type, read_only, ARRAY_SIZE(read_only));
    if (r < 0)
        return err_sys(err, r, "cannot mount the %s file system on %s %s", type, device, is_writable ? "writable" : "for reading");
    unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW;
    attributes |= is_writable ? MOUNT_ATTR_NOATIME : MOUNT_ATTR_RDONLY;
    int mounted = fsmount(context, FSMOUNT_CLOEXEC, attributes);
    if (mounted < 0 && errno == EINVAL) // before Linux 5.14; who reads refuses symbolic links, too
        mounted = fsmount(context, FSMOUNT_CLOEXEC, attributes & ~(unsigned)MOUNT_ATTR_NOSYMFOLLOW);
    cleanup_fd int mount = mounted;
    if (mount < 0)
        return err_sys(err, -errno, "cannot mount %s", device);
    return file_open(mount, ".", O_RDONLY | O_DIRECTORY, 0, err);
}

int volume_open(int root_fd, const char *device, const char *type, struct err *err) {
    return open_volume(root_fd, device, type, false, err);
}

int volume_open_writable(int root_fd, const char *device, struct err *err) {
    return open_volume(root_fd, device, "vfat", true, err);
}

void volumes_settle(int root_fd, int64_t until_ms) {
    struct err ignored; // a failure only means that the look comes too soon
    const struct run run = {.argv = RUN_ARGV("udevadm", "settle", "--timeout=10"), .timeout_ms = 15000};
    while (clock_ms() < until_ms)
        clock_sleep_ms(until_ms - clock_ms());
    if (file_exists(root_fd, "run/udev/control"))
        (void)!run_quiet(&run, &ignored);
}
