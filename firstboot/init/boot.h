// SPDX-License-Identifier: Apache-2.0
// What the steps of one boot hand on to each other, and the steps themselves. Each step is a function in the file of its name; main.c
// holds their order.
#pragma once
#include "common/slot.h"
#include "firstboot/init/factory.h"
#include "firstboot/init/find.h"
#include "firstboot/init/medium.h"
#include "firstboot/init/modules.h"
#include "firstboot/init/plan.h"
#include <sys/types.h>

#define BOOT_ROOT "/sysroot" // where the new root is put together
#define BOOT_RUN "/run/webops" // ours in the running system, too
#define BOOT_STATE BOOT_RUN "/state"
#define BOOT_MAX_STEPS 16

struct boot_timing {
    const char *step;
    uint64_t end_ms; // CLOCK_MONOTONIC
};

struct boot {
    struct plan plan;
    struct modules modules;
    int uevent_fd;
    struct slot_boot wanted; // of the kernel command line
    char medium[MEDIUM_LABEL_BYTES]; // of the kernel command line; "": the slot is on a partition
    bool is_in_memory; // the slot came with the initramfs; no medium is looked for
    struct find_result disk; // with a medium there is no state partition, and the slot's disk is the medium
    struct slot_header header; // read through verity
    dev_t verity;
    dev_t layers[SLOT_MAX_LAYERS];
    bool is_state_read_only;
    int state_fd; // top of the state partition, once it is mounted; else -1
    const char *state_check; // ext4_describe()
    struct factory_counts factory;
    uint64_t start_ms;
    struct boot_timing timings[BOOT_MAX_STEPS];
    unsigned timing_count;
};

// Every step: 0, or a negative errno with a text that says what it did, where, and why that failed.
typedef int boot_step_fn(struct boot *boot, struct err *err);
boot_step_fn mounts_apply, command_line_load, plan_load, devices_apply, medium_apply, verity_apply, layers_apply, state_apply, trial_apply,
    factory_apply, etc_apply, machine_id_apply, labels_apply, record_apply, switch_apply;
