// SPDX-License-Identifier: Apache-2.0
// Reads a machine's serial console as it arrives and tells how far the boot has come. Pure: bytes in, stage out.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>
#include <stddef.h>

// In the order in which a boot passes them; the two verdicts come from `webops` on the console.
enum boot_stage { BOOT_POWER_ON, BOOT_LOADER, BOOT_KERNEL, BOOT_INIT, BOOT_SYSTEM, BOOT_HEALTHY, BOOT_UNHEALTHY };

#define BOOT_LINE_BYTES 1024

struct boot_watch {
    enum boot_stage stage; // highest stage since the last power-on or reboot
    unsigned boots; // how often a kernel has started
    char line[BOOT_LINE_BYTES]; // the line being read; a longer one is cut
    size_t line_size;
    char verdict[BOOT_LINE_BYTES]; // the line from "webops: healthy", "webops: unhealthy" or "webops-init: cannot boot" on
    unsigned verdicts; // how many of them there were: a quiet machine that restarts shows nothing between two
    bool is_good; // the last one was "healthy"
};

// Takes the next bytes of the console. Returns true when the stage changed, a kernel started or a verdict was read.
bool boot_watch_feed(struct boot_watch *watch, const char *data, size_t size) nonnull(1);
// For people: "kernel", "healthy".
const char *boot_stage_name(enum boot_stage stage);
