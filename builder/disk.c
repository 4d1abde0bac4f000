// SPDX-License-Identifier: Apache-2.0
// Assembles the disk from its parts. Each part is a module of its own; here is only the layout and the order.
#include "builder/disk.h"
#include "common/digest.h"
#include "builder/grub.h"
#include "builder/state.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

static const struct {
    const char *name, *type;
} layout[DISK_PARTITIONS] = {
    [DISK_BIOS] = {"bios", GPT_TYPE_BIOS},           [DISK_ESP] = {"esp", GPT_TYPE_ESP},
    [DISK_SLOT_A] = {"webops-a", GPT_TYPE_LINUX},    [DISK_SLOT_B] = {"webops-b", GPT_TYPE_LINUX},
    [DISK_STATE] = {"webops-state", GPT_TYPE_LINUX},
};

#define DISK_MAX_PARTITION_BYTES (1ULL << 40)

int disk_plan(const struct identity *identity, const struct disk_sizes *sizes, struct gpt_partition ret_partitions[DISK_PARTITIONS],
              uint64_t *ret_disk_bytes, struct err *err) {
    const uint64_t bytes[DISK_PARTITIONS] = {GPT_ALIGN_BYTES, sizes->esp, sizes->slot, sizes->slot, sizes->state};
    struct gpt_partition plan[DISK_PARTITIONS] = {0};
    uint64_t offset = GPT_ALIGN_BYTES;
    for (unsigned i = 0; i < DISK_PARTITIONS; i++) {
        if (bytes[i] == 0 || bytes[i] % GPT_ALIGN_BYTES != 0 || bytes[i] > DISK_MAX_PARTITION_BYTES)
            return err_set(err, -EINVAL, "partition %s: %" PRIu64 " bytes are not a multiple of 1 MiB up to 1 TiB", layout[i].name,
                           bytes[i]);
        plan[i].offset = offset;
        plan[i].size = bytes[i];
        snprintf(plan[i].name, sizeof(plan[i].name), "%s", layout[i].name);
        snprintf(plan[i].type, sizeof(plan[i].type), "%s", layout[i].type);
        identity_uuid(identity, layout[i].name, plan[i].uuid);
        offset += bytes[i];
    }
    memcpy(ret_partitions, plan, sizeof(plan));
    *ret_disk_bytes = offset + GPT_ALIGN_BYTES; // the table's second copy
    return 0;
}

static int write_slots(int disk, const char *path, const struct gpt_partition *plan, const char *slot_path, struct err *err) {
    struct stat st;
    cleanup_free char *zeros = mem_array(GPT_ALIGN_BYTES, 1);
    cleanup_fd int slot = file_open(AT_FDCWD, slot_path, O_RDONLY, 0, err);
    if (slot < 0)
        return slot;
    if (fstat(slot, &st) < 0)
        return err_sys(err, -errno, "%s", slot_path);
    if ((uint64_t)st.st_size > plan[DISK_SLOT_A].size)
        return err_set(err, -EFBIG, "%s has %lld bytes, the slot only %" PRIu64, slot_path, (long long)st.st_size, plan[DISK_SLOT_A].size);
    int r = digest_copy_plain(slot, slot_path, 0, (uint64_t)st.st_size, disk, plan[DISK_SLOT_A].offset, err);
    if (r == 0) // no header of an earlier life of the disk may be found in the empty slot
        r = pwrite_all(disk, path, zeros, GPT_ALIGN_BYTES, plan[DISK_SLOT_B].offset, err);
    return r;
}

// The file system's journal and tables must not show what an earlier one left on the disk, so its zeros are written, too.
static int write_state(const struct disk_input *input, int disk, const struct gpt_partition *partition, struct err *err) {
    cleanup_free char *path = str_printf("%s/state.ext4", input->temp_dir);
    uint64_t size = 0;
    int r = state_create(&input->esp.identity, partition->size, input->esp.source_date_epoch, path, &size, err);
    if (r == 0) {
        cleanup_fd int state = file_open(AT_FDCWD, path, O_RDONLY, 0, err);
        r = state < 0 ? state : digest_copy_dense(state, path, 0, size, disk, partition->offset, err);
    }
    unlink(path);
    return r;
}

static int write_grub(const struct disk_input *input, int disk, const char *path, const struct gpt_partition *partition, struct err *err) {
    cleanup_free char *core = str_printf("%s/core.img", input->temp_dir);
    int r = grub_core_create(input->grub_dir, core, err);
    if (r == 0)
        r = grub_install(disk, path, input->grub_dir, core, partition->offset, partition->size, err);
    unlink(core);
    return r;
}

static int write_disk(const struct disk_input *input, const struct gpt_partition *plan, uint64_t disk_bytes, int disk, const char *path,
                      struct err *err) {
    char disk_uuid[IDENTITY_UUID_BYTES];
    if (ftruncate(disk, (off_t)disk_bytes) < 0)
        return err_sys(err, -errno, "%s: making room for %" PRIu64 " bytes", path, disk_bytes);
    identity_uuid(&input->esp.identity, "disk", disk_uuid);
    int r = gpt_write(disk, path, disk_uuid, plan, DISK_PARTITIONS, err);
    if (r == 0)
        r = write_grub(input, disk, path, &plan[DISK_BIOS], err);
    if (r == 0)
        r = esp_create(&input->esp, path, plan[DISK_ESP].offset, plan[DISK_ESP].size, err);
    if (r == 0)
        r = write_slots(disk, path, plan, input->slot_path, err);
    if (r == 0)
        r = write_state(input, disk, &plan[DISK_STATE], err);
    return r;
}

int disk_create(const struct disk_input *input, const char *path, struct err *err) {
    struct gpt_partition plan[DISK_PARTITIONS];
    uint64_t disk_bytes = 0;
    int r = disk_plan(&input->esp.identity, &input->sizes, plan, &disk_bytes, err);
    if (r < 0)
        return err_prefix(err, r, "disk");
    cleanup_fd int disk = file_open(AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC, 0644, err);
    if (disk < 0)
        return disk;
    r = write_disk(input, plan, disk_bytes, disk, path, err);
    if (r < 0)
        unlink(path);
    return r;
}
