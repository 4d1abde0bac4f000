// SPDX-License-Identifier: Apache-2.0
// Which system calls webops-fetch has left.
#pragma once
#include "common/err.h"

// For good, after sandbox_enter(): no other program, no process beside threads of its own, no file opened for writing, no listening, no
// sockets but of IP, of this machine's name services and netlink. What is refused fails with ENOSYS.
int filter_enter(struct err *err) must_check nonnull(1);
