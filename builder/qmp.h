// SPDX-License-Identifier: Apache-2.0
// One command to a running QEMU over its control socket.
#pragma once
#include "common/err.h"

// Connects, negotiates, and executes a command without arguments ("system_powerdown", "quit"). Waits at most two seconds for the answer.
int qmp_execute(const char *socket_path, const char *command, struct err *err) must_check nonnull(1, 2, 3);
