// SPDX-License-Identifier: Apache-2.0
// The health checks of stacks as a table for firstboot/health.h; and the table of a whole machine.
#pragma once
#include "firstboot/health.h"
#include "firstboot/stack/exec.h"
#include "firstboot/stack/state.h"

// Not to be copied or moved once it has checks: they point into it.
struct stack_checks {
    struct stacks stacks; // what the checks point to, when it is the table's own
    struct health_check *items; // ended by name == NULL
    size_t count, base_count; // how many of them are not of stacks
    struct stack_check_item **owned;
    size_t owned_count;
    struct stack_session session; // of all its commands
};
void stack_checks_done(struct stack_checks *checks);
// Adds the checks of one stack: those whose `when` holds. `stacks` outlives the table.
void stack_checks_add(struct stack_checks *checks, const struct stacks *stacks, size_t index) nonnull(1, 2);
// The base's checks and those of every active stack of the machine. Stacks that cannot be read are a check that fails.
void stack_checks_load(int root_fd, struct stack_checks *ret_checks) nonnull(2);

#define cleanup_stack_checks cleanup(stack_checks_done)
