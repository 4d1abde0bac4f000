// SPDX-License-Identifier: Apache-2.0
// webops-flash knows disks and who uses them; here is added what only the machine knows: the medium, and its own kind of partitions.
#include "firstboot/installer/disks.h"
#include "common/file.h"
#include "common/flashmark.h"
#include "common/meter.h"
#include "common/run.h"
#include "common/slot.h"
#include "firstboot/volumes.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define LIST_MAX_BYTES (1 << 20)
#define MAX_DISKS 1024
#define UDEV_MAX_BYTES (1 << 16)

static void disk_done(struct install_disk *disk) {
    free(disk->path);
    free(disk->model);
    free(disk->serial);
    free(disk->by);
    free(disk->use);
}

void install_disks_done(struct install_disks *disks) {
    for (size_t i = 0; i < disks->count; i++)
        disk_done(&disks->items[i]);
    free(disks->items);
    *disks = (struct install_disks){0};
}

static int parse_disk(const json_t *entry, struct install_disk *ret_disk) {
    const char *path = NULL, *model = NULL, *serial = NULL, *by = NULL;
    const json_t *use = json_object_get(entry, "use"); // null when it is not
    json_int_t bytes = 0, sector = 0;
    int is_read_only = 0, is_removable = 0;
    if (json_unpack((json_t *)entry, "{s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:b}", "path", &path, "model", &model, "serial", &serial,
                    "transport", &by, "size_bytes", &bytes, "sector_bytes", &sector, "read_only", &is_read_only, "removable",
                    &is_removable) < 0 ||
        (!json_is_null(use) && !json_is_string(use)) || strncmp(path, "/dev/", 5) != 0 || bytes < 0 || sector < 0)
        return -EINVAL;
    *ret_disk = (struct install_disk){.path = str_dup(path),
                                      .model = str_dup(model),
                                      .serial = str_dup(serial),
                                      .by = str_dup(by),
                                      .use = json_is_string(use) ? str_dup(json_string_value(use)) : NULL,
                                      .bytes = (uint64_t)bytes,
                                      .sector_bytes = (uint64_t)sector,
                                      .is_read_only = is_read_only,
                                      .is_removable = is_removable};
    return 0;
}

int install_disks_parse(const char *json, struct install_disks *ret_disks, struct err *err) {
    struct install_disks disks = {0};
    json_t *list = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    size_t count = json_array_size(list);
    int r = json_is_array(list) && count <= MAX_DISKS ? 0 : -EINVAL;
    if (r == 0)
        disks.items = mem_array(count + 1, sizeof(*disks.items));
    while (r == 0 && disks.count < count) {
        r = parse_disk(json_array_get(list, disks.count), &disks.items[disks.count]);
        disks.count += r == 0;
    }
    json_decref(list);
    if (r == 0) {
        *ret_disks = disks;
        return 0;
    }
    install_disks_done(&disks);
    return err_set(err, r, "webops-flash printed a list of disks that is not understood");
}

static bool has_generation(int root_fd, const char *partition, const char *slot_id) {
    uint8_t bytes[SLOT_HEADER_BYTES], id[SLOT_ID_BYTES];
    struct slot_header header;
    struct err ignored;
    cleanup_free char *path = str_printf("dev/%s", partition);
    cleanup_fd int fd = openat(root_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && hex_parse(slot_id, sizeof(id), id) && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) &&
           slot_header_parse(bytes, sizeof(bytes), &header, &ignored) == 0 && memcmp(header.id, id, sizeof(id)) == 0;
}

static bool is_unfinished(int root_fd, const char *disk) {
    char bytes[sizeof(FLASH_MARK) - 1];
    cleanup_free char *path = str_printf("dev/%s", disk);
    cleanup_fd int fd = openat(root_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t)sizeof(bytes) && memcmp(bytes, FLASH_MARK, sizeof(bytes)) == 0;
}

static bool has_partitions(int root_fd, const char *disk) {
    cleanup_free char *path = str_printf("sys/class/block/%s", disk);
    int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        cleanup_free char *marker = str_printf("%s/partition", entry->d_name);
        if (entry->d_name[0] != '.' && file_exists(fd, marker))
            return true;
    }
    return false;
}

// Of the disk itself, without partitions: udev asks libblkid, which knows parts of RAIDs, LVM and ZFS, too.
static bool has_signature(int root_fd, const char *disk) {
    struct err ignored;
    cleanup_free char *number = NULL, *record = NULL, *at = str_printf("sys/class/block/%s/dev", disk);
    if (file_read(root_fd, at, 64, &number, NULL, &ignored) < 0)
        return false;
    number[strcspn(number, "\n")] = 0;
    cleanup_free char *path = str_printf("run/udev/data/b%s", number);
    return file_read(root_fd, path, UDEV_MAX_BYTES, &record, NULL, &ignored) >= 0 && strstr(record, "\nE:ID_FS_TYPE=");
}

// A disk that is being written has no partition table yet, and so no partitions; what an older file system left at its end does not count.
static enum install_holds look_for_data(int root_fd, const char *disk) {
    return !is_unfinished(root_fd, disk) && (has_partitions(root_fd, disk) || has_signature(root_fd, disk)) ? INSTALL_HOLDS_DATA
                                                                                                            : INSTALL_HOLDS_NOTHING;
}

static enum install_holds look(int root_fd, const char *disk, const char *slot_id) {
    static const char *const slots[] = {"webops-a", "webops-b"};
    char partition[VOLUME_NAME_BYTES];
    struct err ignored;
    enum install_holds holds = look_for_data(root_fd, disk);
    int r = volume_find_partition(root_fd, disk, "webops-state", partition, &ignored);
    if (r == 0 || r == -ENOTUNIQ)
        holds = INSTALL_HOLDS_OTHER;
    for (size_t i = 0; i < ARRAY_SIZE(slots); i++) {
        r = volume_find_partition(root_fd, disk, slots[i], partition, &ignored);
        if (r == 0 && has_generation(root_fd, partition, slot_id))
            return INSTALL_HOLDS_SAME;
        if (r == 0 || r == -ENOTUNIQ)
            holds = INSTALL_HOLDS_OTHER;
    }
    return holds;
}

// The configuration was copied to state meanwhile, so nobody knows which of them it came from.
static bool is_seed(const struct volumes *volumes, const char *disk) {
    for (size_t i = 0; i < volumes->count; i++)
        if (volumes->items[i].kind != VOLUME_ESP && strcmp(volumes->items[i].disk, disk) == 0)
            return true;
    return false;
}

int install_disks_look(int root_fd, const char *medium, const char *slot_id, struct install_disks *disks, struct err *err) {
    cleanup_volumes struct volumes volumes = {0};
    int r = volumes_find(root_fd, &volumes, err);
    for (size_t i = 0; r >= 0 && i < disks->count; i++) {
        struct install_disk *disk = &disks->items[i];
        const char *name = disk->path + strlen("/dev/");
        disk->is_medium = strcmp(disk->path, medium) == 0;
        disk->is_seed = is_seed(&volumes, name);
        disk->holds = look(root_fd, name, slot_id);
    }
    return r;
}

int install_disks_load(int root_fd, const char *medium, const char *slot_id, struct install_disks *ret_disks, struct err *err) {
    cleanup_free char *json = NULL;
    const struct run list = {.argv = RUN_ARGV(INSTALL_FLASH_PROGRAM, "--list", "--json"), .timeout_ms = 60000};
    int r = run_capture(&list, LIST_MAX_BYTES, &json, NULL, err);
    if (r >= 0)
        r = install_disks_parse(json, ret_disks, err);
    if (r >= 0)
        r = install_disks_look(root_fd, medium, slot_id, ret_disks, err);
    return r < 0 ? err_prefix(err, r, "listing the disks") : 0;
}

void install_disk_format(const struct install_disk *disk, struct buf *text) {
    static const char *const holds[] = {[INSTALL_HOLDS_NOTHING] = "",
                                        [INSTALL_HOLDS_DATA] = ", holds data",
                                        [INSTALL_HOLDS_OTHER] = ", holds an installed machine",
                                        [INSTALL_HOLDS_SAME] = ", holds an installed machine with this generation"};
    char size[METER_SIZE_BYTES];
    buf_printf(text, "%-14s %10s, %s%s%s, %s%s%s", disk->path, meter_size(disk->bytes, size), *disk->by ? "by=" : "", disk->by,
               *disk->by ? "" : "unknown connection", *disk->serial ? "serial=" : "no serial number", disk->serial, holds[disk->holds]);
    if (*disk->model)
        buf_printf(text, ", %s", disk->model);
    if (disk->is_seed)
        buf_add_str(text, ", with a volume for a configuration");
    if (disk->is_medium)
        buf_add_str(text, ", the installation medium");
    else if (disk->use)
        buf_printf(text, ", in use: %s", disk->use);
    else if (disk->is_read_only)
        buf_add_str(text, ", read-only");
}
