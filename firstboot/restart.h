// SPDX-License-Identifier: Apache-2.0
// Restarts the machine in an orderly way; the last resort when systemd does not answer is the kernel.
#pragma once
#include "common/err.h"
#include <stdbool.h>

// Says why on the console and in the log. `is_live` false (a test tree): nothing but the message.
int restart_machine(bool is_live, const char *why, struct err *err) must_check nonnull(2, 3);
int power_off_machine(bool is_live, const char *why, struct err *err) must_check nonnull(2, 3);
