// SPDX-License-Identifier: Apache-2.0
// The state partition takes the rest of the disk. Cheap when there is nothing to do, so it is asked at every boot.
#pragma once
#include "common/config.h"
#include <stdint.h>

// Sectors of 512 bytes, as sysfs counts them.
struct grow_facts {
    uint64_t disk_sectors, start, size;
    unsigned partition; // number
};

// Whether at least 1 MiB lies between the partition's end and what the backup GPT leaves.
bool grow_is_needed(const struct grow_facts *facts) nonnull(1);
// growpart and resize2fs on the state device of the boot record. 1 = grown, 0 = nothing to do.
int grow_state(int root_fd, const struct config *record, struct err *err) must_check nonnull(2, 3);
