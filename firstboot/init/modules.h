// SPDX-License-Identifier: Apache-2.0
// Kernel modules: which ones a device wants (plan aliases against its modalias), each loaded at most once.
#pragma once
#include "firstboot/init/plan.h"
#include <stdbool.h>

#define MODULES_MAX_MODALIAS 1024
#define MODULES_MAX_SEEN 4096 // device kinds remembered; more are matched again, which is only slower

// Loads one module; 0 or -errno. A parameter so that the choice can be tested without a kernel.
typedef int modules_load_fn(const struct plan_module *module);
// Told about a module the kernel refused; `code` is a negative errno, never -EEXIST.
typedef void modules_failed_fn(const struct plan_module *module, int code);

struct modules {
    const struct plan *plan; // not owned
    modules_load_fn *load;
    modules_failed_fn *failed;
    bool tried[PLAN_MAX_MODULES];
    uint64_t seen[MODULES_MAX_SEEN]; // hashes of the modaliases that were handled
    unsigned seen_count;
    unsigned loaded; // modules the kernel took
};

// finit_module(2) with the plan's parameters.
int modules_finit(const struct plan_module *module) must_check nonnull(1);
// Loads the listed modules in order; one that was tried before is skipped. A module that fails is reported and
// no failure here: a device that is missing because of it shows up as what it is, a slot that was not found.
void modules_load_list(struct modules *modules, const struct plan_list *list) nonnull(1, 2);
// Loads what the plan wants for a device.
void modules_handle(struct modules *modules, const char *modalias) nonnull(1, 2);
// Handles every device of every bus; `bus_fd` is a descriptor of /sys/bus.
void modules_coldplug(struct modules *modules, int bus_fd) nonnull(1);
// Handles the devices that netlink messages announced since, until there are none; looks at all devices when messages were lost.
void modules_hotplug(struct modules *modules, int uevent_fd, int bus_fd) nonnull(1);
