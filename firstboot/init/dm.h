// SPDX-License-Identifier: Apache-2.0
// Device-mapper by ioctl: one read-only verity device and read-only linear pieces of it. Interface: linux/dm-ioctl.h and the kernel's
// admin-guide/device-mapper/{verity,linear}.rst.
#pragma once
#include "common/slot.h"
#include <sys/types.h>

#define DM_PARAMS_BYTES 256
#define DM_SECTOR_BYTES 512

// Table of a verity target over `device`: hash type 1, SHA-256, 4096/4096, tree behind the data on the same device, no salt. No optional
// argument: a damaged block reads as EIO. Restarting instead would be for ever on a damaged good slot; webops reports the status 'C'.
void dm_format_verity(dev_t device, uint64_t data_blocks, const uint8_t root_hash[32], char ret_params[DM_PARAMS_BYTES]) nonnull(3, 4);
void dm_format_linear(dev_t device, uint64_t offset_sectors, char ret_params[DM_PARAMS_BYTES]) nonnull(3);
// Sectors of a layer with its padding.
uint64_t dm_layer_sectors(const struct slot_layer *layer) nonnull(1);
// 0 when data and hash tree fit into a device of that size.
int dm_check_size(uint64_t data_blocks, uint64_t device_bytes, struct err *err) must_check nonnull(3);

// Creates and starts a read-only device with one target; *ret_device is its number, /dev/dm-<minor> its node (made by devtmpfs).
int dm_create(int control_fd, const char *name, uint64_t sectors, const char *target, const char *params, dev_t *ret_device,
              struct err *err) must_check nonnull(2, 4, 5, 6, 7);
