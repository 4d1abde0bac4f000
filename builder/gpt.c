// SPDX-License-Identifier: Apache-2.0
// GPT through libfdisk on a plain file. Knows nothing of what the partitions hold.
#include "builder/gpt.h"
#include <errno.h>
#include <libfdisk/libfdisk.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR_BYTES 512

static void context_done(struct fdisk_context **context) {
    fdisk_unref_context(*context);
}
static void partition_done(struct fdisk_partition **partition) {
    fdisk_unref_partition(*partition);
}
static void parttype_done(struct fdisk_parttype **type) {
    fdisk_unref_parttype(*type);
}
static void table_done(struct fdisk_table **table) {
    fdisk_unref_table(*table);
}

static int add_partition(struct fdisk_context *context, unsigned number, const struct gpt_partition *plan) {
    cleanup(partition_done) struct fdisk_partition *partition = fdisk_new_partition();
    cleanup(parttype_done) struct fdisk_parttype *type = fdisk_label_get_parttype_from_string(fdisk_get_label(context, NULL), plan->type);
    if (!partition || !type)
        return -EINVAL;
    int r = fdisk_partition_set_partno(partition, number);
    if (!r)
        r = fdisk_partition_set_start(partition, plan->offset / SECTOR_BYTES);
    if (!r)
        r = fdisk_partition_set_size(partition, plan->size / SECTOR_BYTES);
    if (!r)
        r = fdisk_partition_set_type(partition, type);
    if (!r)
        r = fdisk_partition_set_name(partition, plan->name);
    if (!r)
        r = fdisk_partition_set_uuid(partition, plan->uuid);
    return r ? r : fdisk_add_partition(context, partition, NULL);
}

int gpt_write(int fd, const char *name, const char *disk_uuid, const struct gpt_partition *partitions, unsigned count, struct err *err) {
    cleanup(context_done) struct fdisk_context *context = fdisk_new_context();
    if (!context)
        return err_set(err, -ENOMEM, "%s: libfdisk gives no context", name);
    fdisk_disable_dialogs(context, 1);
    int r = fdisk_assign_device_by_fd(context, fd, name, 0);
    if (!r)
        r = fdisk_create_disklabel(context, "gpt");
    if (!r)
        r = fdisk_set_disklabel_id_from_string(context, disk_uuid);
    if (r < 0)
        return err_sys(err, r, "%s: creating the partition table", name);
    for (unsigned i = 0; i < count; i++) {
        r = add_partition(context, i, &partitions[i]);
        if (r < 0)
            return err_sys(err, r, "%s: adding partition %s", name, partitions[i].name);
    }
    r = fdisk_write_disklabel(context);
    if (r < 0)
        return err_sys(err, r, "%s: writing the partition table", name);
    return 0;
}

// Names come from the disk and go to terminals: only printable ASCII is kept.
static void copy_text(char *to, size_t size, const char *from) {
    snprintf(to, size, "%s", from ? from : "");
    for (; *to; to++)
        if (*to < ' ' || *to > '~')
            *to = '?';
}

static int read_partition(struct fdisk_partition *from, uint64_t file_size, struct gpt_partition *ret_partition) {
    if (!fdisk_partition_has_start(from) || !fdisk_partition_has_size(from))
        return -EINVAL;
    uint64_t start = fdisk_partition_get_start(from), sectors = fdisk_partition_get_size(from);
    if (start > file_size / SECTOR_BYTES || sectors > file_size / SECTOR_BYTES - start)
        return -EINVAL;
    struct gpt_partition partition = {.offset = start * SECTOR_BYTES, .size = sectors * SECTOR_BYTES};
    struct fdisk_parttype *type = fdisk_partition_get_type(from);
    copy_text(partition.name, sizeof(partition.name), fdisk_partition_get_name(from));
    copy_text(partition.uuid, sizeof(partition.uuid), fdisk_partition_get_uuid(from));
    copy_text(partition.type, sizeof(partition.type), type ? fdisk_parttype_get_string(type) : NULL);
    *ret_partition = partition;
    return 0;
}

int gpt_read(int fd, const char *name, struct gpt_partition *ret_partitions, unsigned max, unsigned *ret_count, struct err *err) {
    cleanup(context_done) struct fdisk_context *context = fdisk_new_context();
    cleanup(table_done) struct fdisk_table *table = NULL;
    struct stat st;
    if (!context || fstat(fd, &st) < 0)
        return err_sys(err, -errno, "%s", name);
    fdisk_disable_dialogs(context, 1);
    if (fdisk_assign_device_by_fd(context, fd, name, 1) < 0 || !fdisk_is_labeltype(context, FDISK_DISKLABEL_GPT))
        return err_set(err, -ENOENT, "%s: no GPT partition table", name);
    int r = fdisk_get_partitions(context, &table);
    if (r < 0)
        return err_sys(err, r, "%s: reading the partition table", name);
    size_t count = fdisk_table_get_nents(table);
    if (count > max)
        return err_set(err, -E2BIG, "%s: %zu partitions, at most %u are looked at", name, count, max);
    for (size_t i = 0; i < count; i++)
        if (read_partition(fdisk_table_get_partition(table, i), (uint64_t)st.st_size, &ret_partitions[i]) < 0)
            return err_set(err, -EINVAL, "%s: partition %zu runs past the end of the disk (cut-off image?)", name, i + 1);
    *ret_count = (unsigned)count;
    return 0;
}

const struct gpt_partition *gpt_find(const struct gpt_partition *partitions, unsigned count, const char *name) {
    for (unsigned i = 0; i < count; i++)
        if (strcmp(partitions[i].name, name) == 0)
            return &partitions[i];
    return NULL;
}
