// SPDX-License-Identifier: Apache-2.0
// What webops-fetch gives up before it reads a byte from the network.
#pragma once
#include "common/err.h"

#define SANDBOX_NOBODY 65534

// For good: root becomes nobody without groups and capabilities; no new privileges, no core dump, no growing file, few descriptors, bounded memory and CPU time.
// Not given up: sockets, reading world-readable files (certificates), and the threads of the name resolver.
int sandbox_enter(unsigned timeout_seconds, struct err *err) must_check nonnull(2);
