// SPDX-License-Identifier: Apache-2.0
// One run at a time of what would get in its own way, on this computer. There is no file of it: nothing that $TMPDIR moves, that a clean-up removes, or that
// somebody left a symbolic link in place of.
#pragma once
#include "common/err.h"

// Takes the lock called `what` (of any length). It is left when the descriptor is closed, or the process ends in whatever way. Returns the descriptor. -EBUSY:
// somebody has it, whoever it is: the name is known to all users, within one network namespace.
int lock_take(const char *what, struct err *err) must_check nonnull(1, 2);
// The same, but waits for it, and says so.
int lock_wait(const char *what, struct err *err) must_check nonnull(1, 2);
