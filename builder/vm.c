// SPDX-License-Identifier: Apache-2.0
// Starts QEMU in a process group of its own, follows its serial log, and makes sure that it is gone in the end.
#include "builder/vm.h"
#include "builder/qmp.h"
#include "builder/signals.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define POLL_MS 50
#define START_TIMEOUT_MS 5000

int64_t vm_elapsed_ms(const struct vm *vm) {
    return clock_ms() - vm->started_ms;
}

int vm_start(struct vm *vm, const char *const *argv, const char *serial, const char *qmp, struct err *err) {
    vm->signal_fd = signals_open(err);
    if (vm->signal_fd < 0)
        return vm->signal_fd;
    vm->serial_fd = file_open(AT_FDCWD, serial, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    if (vm->serial_fd < 0)
        return vm->serial_fd;
    // The deadline gives the child a group of its own: Ctrl-C on our terminal must reach us, not QEMU.
    vm->run = (struct run){.argv = argv, .timeout_ms = START_TIMEOUT_MS};
    vm->qmp = qmp;
    vm->started_ms = clock_ms();
    pid_t pid;
    int r = run_start(&vm->run, &pid, err);
    if (r < 0)
        return r;
    vm->pid = pid;
    vm->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return vm->pid_fd < 0 ? err_sys(err, -errno, "watching the virtual machine") : 0;
}

static bool read_console(struct vm *vm) {
    char block[8192];
    bool changed = false;
    for (ssize_t got; !changed && (got = read(vm->serial_fd, block, sizeof(block))) > 0;) {
        struct err ignored;
        if (vm->echo && file_write_all(STDOUT_FILENO, "standard output", block, (size_t)got, &ignored) < 0)
            vm->echo = false;
        changed = boot_watch_feed(&vm->watch, block, (size_t)got);
    }
    return changed;
}

static int collect(struct vm *vm, struct err *err) {
    int r = run_wait(&vm->run, vm->pid, err);
    vm->pid = -1;
    vm->ended = true;
    return r < 0 ? err_prefix(err, r, "virtual machine") : VM_ENDED;
}

int vm_wait(struct vm *vm, int64_t deadline_ms, struct err *err) {
    for (;;) {
        struct pollfd fds[] = {{.fd = vm->pid_fd, .events = POLLIN}, {.fd = vm->signal_fd, .events = POLLIN}};
        if (poll(fds, ARRAY_SIZE(fds), POLL_MS) < 0 && errno != EINTR)
            return err_sys(err, -errno, "watching the virtual machine");
        if (read_console(vm))
            return VM_STAGE;
        struct signalfd_siginfo info;
        if (read(vm->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
            return VM_SIGNAL;
        if (fds[0].revents)
            return collect(vm, err);
        if (deadline_ms && vm_elapsed_ms(vm) >= deadline_ms)
            return VM_TIMEOUT;
    }
}

void vm_stop(struct vm *vm, unsigned grace_ms) {
    struct err err = {0};
    if (vm->pid < 0)
        return;
    if (grace_ms && qmp_execute(vm->qmp, "system_powerdown", &err) == 0) {
        int64_t deadline = vm_elapsed_ms(vm) + grace_ms;
        int event = VM_STAGE;
        while (event == VM_STAGE)
            event = vm_wait(vm, deadline, &err);
        if (vm->pid < 0)
            return;
        log_warn("the machine did not power off within %u s and is ended", grace_ms / 1000);
    }
    if (vm->pid < 0)
        return;
    vm->run.timeout_ms = START_TIMEOUT_MS;
    kill(-vm->pid, SIGKILL);
    collect(vm, &err);
}

void vm_done(struct vm *vm) {
    vm_stop(vm, 0);
    const int fds[] = {vm->pid_fd, vm->signal_fd, vm->serial_fd};
    for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    *vm = (struct vm)VM_INIT;
}
