// SPDX-License-Identifier: Apache-2.0
// Finds the partition with the wanted generation and the state partition beside it, by partition name, header id and parent disk.
// The rules, and what happens when two disks hold the same generation: docs/FORMATS.md, "How the init finds its disk".
#pragma once
#include "common/slot.h"

#define FIND_NAME_BYTES 64
#define FIND_MAX_PARTITIONS 64 // named webops-…; a machine has three per disk

enum find_role { FIND_SLOT_A, FIND_SLOT_B, FIND_STATE, FIND_ROLES };

struct find_partition {
    enum find_role role;
    char disk[FIND_NAME_BYTES]; // kernel name of the disk it is on, "sda"
    char device[FIND_NAME_BYTES]; // below /dev, "sda3"
    bool is_wanted; // a slot whose header carries the wanted id
};

struct find_partitions {
    struct find_partition items[FIND_MAX_PARTITIONS];
    unsigned count;
    char rejected[384]; // slots that hold something else, and why: for the message when the time is over
};

struct find_result {
    struct find_partition slot, state;
};

// Which partition name means what; FIND_ROLES for any other.
enum find_role find_role_of(const char *partition_name) must_check nonnull(1);
// Reads the partitions that are there now. `block_fd` is /sys/class/block, `dev_fd` is /dev. A slot that cannot be read is not the one.
int find_scan(int block_fd, int dev_fd, const uint8_t id[SLOT_ID_BYTES], struct find_partitions *ret_partitions, struct err *err) must_check
    nonnull(3, 4, 5);
// Pure: 1 = both found, 0 = not yet, -ENOTUNIQ = two disks with the wanted generation, or two state partitions on its disk.
int find_choose(const struct find_partitions *partitions, struct find_result *ret_result, struct err *err) must_check nonnull(1, 2, 3);
// Says what is missing after the timeout; returns -ETIMEDOUT.
int find_explain(const struct find_partitions *partitions, const uint8_t id[SLOT_ID_BYTES], unsigned seconds, struct err *err) must_check
    nonnull(1, 2, 4);
