// SPDX-License-Identifier: Apache-2.0
// What the verbs install, apply STACK and uninstall do: the base first (firstboot/session.h), then the units of stacks.
#pragma once
#include "common/err.h"
#include <stdbool.h>

struct stack_engine_options {
    const char *root;
    const char *name; // of one stack; NULL = all
    bool is_live; // units are systemd's and real; else files only
    bool is_dry_run; // prints what would change
    bool is_boot; // the base was applied by the boot; nothing that a stack does fails the caller
    bool is_purge; // uninstall: deletes the stack's data, too
    bool as_json; // prints the stacks' states in the end
};
// An exit code: EXIT_PERMANENT when a stack failed, EXIT_TEMPORARY when one only waits; or a negative errno when nothing was done.
int stack_engine_install(const struct stack_engine_options *options, struct err *err) must_check nonnull(1, 2);
// -EPERM when an enabled stack needs it, naming that one. Data stays unless is_purge.
int stack_engine_uninstall(const struct stack_engine_options *options, struct err *err) must_check nonnull(1, 2);
