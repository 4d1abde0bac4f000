// SPDX-License-Identifier: Apache-2.0
// Tables of device-mapper targets and the three ioctls that make a device of one.
#include "firstboot/init/dm.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <linux/dm-ioctl.h>

void dm_format_verity(dev_t device, uint64_t data_blocks, const uint8_t root_hash[32], char ret_params[DM_PARAMS_BYTES]) {
    char hash[65];
    hex_format(root_hash, 32, hash);
    unsigned major = major(device), minor = minor(device);
    snprintf(ret_params, DM_PARAMS_BYTES, "1 %u:%u %u:%u %d %d %llu %llu sha256 %s -", major, minor, major, minor, SLOT_BLOCK_BYTES,
             SLOT_BLOCK_BYTES, (unsigned long long)data_blocks, (unsigned long long)data_blocks, hash);
}

void dm_format_linear(dev_t device, uint64_t offset_sectors, char ret_params[DM_PARAMS_BYTES]) {
    snprintf(ret_params, DM_PARAMS_BYTES, "%u:%u %llu", major(device), minor(device), (unsigned long long)offset_sectors);
}

uint64_t dm_layer_sectors(const struct slot_layer *layer) {
    return (layer->length + SLOT_BLOCK_BYTES - 1) / SLOT_BLOCK_BYTES * (SLOT_BLOCK_BYTES / DM_SECTOR_BYTES);
}

int dm_check_size(uint64_t data_blocks, uint64_t device_bytes, struct err *err) {
    uint64_t needed = data_blocks * SLOT_BLOCK_BYTES + slot_tree_bytes(data_blocks); // data_blocks is bounded by slot_boot_parse()
    if (needed <= device_bytes)
        return 0;
    return err_set(err, -ENOSPC, "data and hash tree take %llu bytes, the partition has %llu", (unsigned long long)needed,
                   (unsigned long long)device_bytes);
}

struct request {
    struct dm_ioctl header;
    struct dm_target_spec target;
    char params[DM_PARAMS_BYTES];
};
_Static_assert(sizeof(struct request) == sizeof(struct dm_ioctl) + sizeof(struct dm_target_spec) + DM_PARAMS_BYTES, "no padding");

static void request_init(struct request *request, const char *name) {
    *request = (struct request){.header = {.version = {DM_VERSION_MAJOR, 0, 0},
                                           .data_size = sizeof(*request),
                                           .data_start = sizeof(struct dm_ioctl),
                                           .flags = DM_READONLY_FLAG}};
    snprintf(request->header.name, sizeof(request->header.name), "%s", name);
}

int dm_create(int control_fd, const char *name, uint64_t sectors, const char *target, const char *params, dev_t *ret_device,
              struct err *err) {
    struct request request;
    request_init(&request, name);
    if (ioctl(control_fd, DM_DEV_CREATE, &request) < 0)
        return err_sys(err, -errno, "device-mapper: creating %s", name);
    uint64_t device = request.header.dev;
    request_init(&request, name);
    request.header.target_count = 1;
    request.target.length = sectors;
    snprintf(request.target.target_type, sizeof(request.target.target_type), "%s", target);
    snprintf(request.params, sizeof(request.params), "%s", params);
    if (ioctl(control_fd, DM_TABLE_LOAD, &request) < 0)
        return err_sys(err, -errno, "device-mapper: loading the %s table \"%s\" of %s", target, params, name);
    request_init(&request, name);
    if (ioctl(control_fd, DM_DEV_SUSPEND, &request) < 0) // without DM_SUSPEND_FLAG: resume
        return err_sys(err, -errno, "device-mapper: starting %s", name);
    // The kernel packs a device number as its huge_encode_dev() does: 12 bits major above 8 bits minor, 12 more minor bits above.
    *ret_device = makedev((device & 0xfff00) >> 8, (device & 0xff) | ((device >> 12) & 0xfff00));
    return 0;
}
