// SPDX-License-Identifier: Apache-2.0
// The life of one QEMU process: start, watch its console, stop it cleanly. What it is made of is qemu.h's plan.
#pragma once
#include "builder/boot_watch.h"
#include "common/err.h"
#include "common/run.h"
#include <stdint.h>

enum vm_event { VM_STAGE, VM_ENDED, VM_SIGNAL, VM_TIMEOUT };

struct vm {
    struct run run;
    pid_t pid;
    int pid_fd, signal_fd, serial_fd;
    const char *qmp;
    int64_t started_ms;
    bool echo; // copy the console to standard output
    bool ended;
    struct boot_watch watch;
};

// Starts `argv`; from then on SIGINT, SIGTERM and SIGHUP are not fatal for us but reported by vm_wait(), unless they are ignored (builder/signals.h). `serial` is the log that QEMU
// writes. `argv` and the strings must outlive the machine. vm_done() must follow whatever the result.
int vm_start(struct vm *vm, const char *const *argv, const char *serial, const char *qmp, struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);
// Sleeps until something happened; `deadline_ms` is counted from the start, 0 = none. Returns an enum vm_event or -errno.
int vm_wait(struct vm *vm, int64_t deadline_ms, struct err *err) must_check nonnull(1, 3);
// Asks the guest to power off, ends QEMU when that takes longer than `grace_ms` (or when a second signal arrives), and collects the
// process. Does nothing when it has ended.
void vm_stop(struct vm *vm, unsigned grace_ms) nonnull(1);
// vm_stop() without grace, and frees everything.
void vm_done(struct vm *vm);
int64_t vm_elapsed_ms(const struct vm *vm) nonnull(1);

#define VM_INIT                                                                                                                            \
    { .pid = -1, .pid_fd = -1, .signal_fd = -1, .serial_fd = -1 }
#define cleanup_vm cleanup(vm_done)
