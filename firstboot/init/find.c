// SPDX-License-Identifier: Apache-2.0
// Looks at the partitions the kernel knows and chooses. Waiting and module loading are the caller's.
#include "firstboot/init/find.h"
#include "firstboot/init/sys.h"
#include "firstboot/init/uevent.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

static const char *const role_names[FIND_ROLES] = {[FIND_SLOT_A] = "webops-a", [FIND_SLOT_B] = "webops-b", [FIND_STATE] = "webops-state"};

enum find_role find_role_of(const char *partition_name) {
    for (int role = 0; role < FIND_ROLES; role++)
        if (strcmp(role_names[role], partition_name) == 0)
            return (enum find_role)role;
    return FIND_ROLES;
}

// The disk of a partition: in sysfs it is the directory that holds the partition's, so the last but one part of the link's target.
static bool read_disk(int block_fd, const char *name, char ret_disk[FIND_NAME_BYTES]) {
    char target[1024];
    ssize_t size = readlinkat(block_fd, name, target, sizeof(target) - 1);
    if (size <= 0)
        return false;
    target[size] = '\0';
    char *last = strrchr(target, '/');
    if (!last)
        return false;
    *last = '\0';
    char *disk = strrchr(target, '/');
    if (!disk || !disk[1] || strlen(disk + 1) >= FIND_NAME_BYTES)
        return false;
    strcpy(ret_disk, disk + 1);
    return true;
}

// True for a partition with one of our names.
static bool read_partition(int block_fd, const char *name, struct find_partition *ret_partition) {
    char path[NAME_MAX + 16], text[2048], label[FIND_NAME_BYTES];
    snprintf(path, sizeof(path), "%s/uevent", name);
    ssize_t size = sys_read_text(block_fd, path, text, sizeof(text));
    struct find_partition partition = {0};
    if (size <= 0 || !uevent_find(text, (size_t)size, '\n', "PARTNAME", label, sizeof(label)) ||
        !uevent_find(text, (size_t)size, '\n', "DEVNAME", partition.device, sizeof(partition.device)))
        return false;
    partition.role = find_role_of(label);
    if (partition.role == FIND_ROLES || !read_disk(block_fd, name, partition.disk))
        return false;
    *ret_partition = partition;
    return true;
}

static void reject(struct find_partitions *partitions, const char *device, const char *why) {
    size_t used = strlen(partitions->rejected);
    snprintf(partitions->rejected + used, sizeof(partitions->rejected) - used, "; %s: %s", device, why);
}

static bool is_wanted_slot(int dev_fd, const char *device, const uint8_t *id, struct find_partitions *partitions) {
    uint8_t bytes[SLOT_HEADER_BYTES];
    struct slot_header header;
    struct err err;
    cleanup_fd int fd = openat(dev_fd, device, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int r = fd < 0 ? -errno : sys_read_at(fd, 0, bytes, sizeof(bytes));
    if (r < 0)
        reject(partitions, device, strerror(-r));
    else if (slot_header_parse(bytes, sizeof(bytes), &header, &err) < 0)
        reject(partitions, device, err.text);
    else if (memcmp(header.id, id, SLOT_ID_BYTES) != 0)
        reject(partitions, device, "another generation");
    else
        return true;
    return false;
}

int find_scan(int block_fd, int dev_fd, const uint8_t id[SLOT_ID_BYTES], struct find_partitions *ret_partitions, struct err *err) {
    *ret_partitions = (struct find_partitions){0};
    int fd = openat(block_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, -errno, "opening /sys/class/block");
    cleanup_dir DIR *dir = fdopendir(fd);
    if (!dir)
        return err_sys(err, -errno, "reading /sys/class/block");
    for (struct dirent *entry; (entry = readdir(dir));) {
        struct find_partition partition;
        if (entry->d_name[0] == '.' || !read_partition(block_fd, entry->d_name, &partition))
            continue;
        if (ret_partitions->count == FIND_MAX_PARTITIONS)
            return err_set(err, -E2BIG, "more than %d partitions are named webops-a, webops-b or webops-state", FIND_MAX_PARTITIONS);
        partition.is_wanted = partition.role != FIND_STATE && is_wanted_slot(dev_fd, partition.device, id, ret_partitions);
        ret_partitions->items[ret_partitions->count++] = partition;
    }
    return 0;
}

// Both slots of one disk may hold the wanted generation; they are the same bytes under the same root hash, so A is as good as B.
static int choose_slot(const struct find_partitions *partitions, const struct find_partition **ret_slot, struct err *err) {
    const struct find_partition *slot = NULL;
    for (unsigned i = 0; i < partitions->count; i++) {
        const struct find_partition *item = &partitions->items[i];
        if (!item->is_wanted)
            continue;
        if (slot && (strcmp(slot->disk, item->disk) != 0 || slot->role == item->role))
            return err_set(
                err, -ENOTUNIQ,
                "/dev/%s and /dev/%s both hold the generation to boot; a copy of this machine's disk is attached: remove one of them",
                slot->device, item->device);
        if (!slot || item->role < slot->role)
            slot = item;
    }
    *ret_slot = slot;
    return 0;
}

int find_choose(const struct find_partitions *partitions, struct find_result *ret_result, struct err *err) {
    const struct find_partition *slot = NULL, *state = NULL;
    int r = choose_slot(partitions, &slot, err);
    if (r < 0 || !slot)
        return r;
    for (unsigned i = 0; i < partitions->count; i++) {
        const struct find_partition *item = &partitions->items[i];
        if (item->role != FIND_STATE || strcmp(item->disk, slot->disk) != 0)
            continue;
        if (state)
            return err_set(err, -ENOTUNIQ, "/dev/%s and /dev/%s on one disk are both named webops-state", state->device, item->device);
        state = item;
    }
    if (!state)
        return 0;
    *ret_result = (struct find_result){.slot = *slot, .state = *state};
    return 1;
}

int find_explain(const struct find_partitions *partitions, const uint8_t id[SLOT_ID_BYTES], unsigned seconds, struct err *err) {
    for (unsigned i = 0; i < partitions->count; i++)
        if (partitions->items[i].is_wanted)
            return err_set(err, -ETIMEDOUT, "waited %u s: /dev/%s holds the generation, but /dev/%s has no partition named webops-state",
                           seconds, partitions->items[i].device, partitions->items[i].disk);
    char text[2 * SLOT_ID_BYTES + 1];
    hex_format(id, SLOT_ID_BYTES, text);
    return err_set(err, -ETIMEDOUT, "waited %u s: no partition named webops-a or webops-b holds generation %s%s", seconds, text,
                   *partitions->rejected ? partitions->rejected : "; no such partition was seen at all");
}
