// SPDX-License-Identifier: Apache-2.0
// What webops-fetch, webops-verify and their like give up before they read a byte that comes from outside.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define SANDBOX_NOBODY 65534

// For good: root becomes nobody without groups and capabilities; no new privileges, no core dump, no growing file, few descriptors, bounded memory and CPU time.
// Not given up: sockets, reading world-readable files (certificates), and the threads of the name resolver.
int sandbox_enter(unsigned timeout_seconds, struct err *err) must_check nonnull(2);

// A system call that stays possible, if an argument fits: (argument & mask) == value. mask 0: whatever its arguments are.
struct sandbox_call {
    int number; // SCMP_SYS(name) of <seccomp.h>
    unsigned argument; // 0 … 5
    uint64_t mask, value;
};
// For good, after sandbox_enter(): any system call that no entry allows kills the process (SIGSYS). An entry per way a call may be used.
int sandbox_filter(const struct sandbox_call *calls, size_t count, struct err *err) must_check nonnull(1, 3);
// sandbox_enter() and a filter for a program that only computes: it reads standard input, writes standard output and error, and gets memory that is
// never executable.
int sandbox_compute(unsigned timeout_seconds, struct err *err) must_check nonnull(2);
// The same, but what is not allowed fails with ENOSYS: for a program whose libraries call what the next version of a library likes.
int sandbox_filter_refusing(const struct sandbox_call *calls, size_t count, struct err *err) must_check nonnull(1, 3);
