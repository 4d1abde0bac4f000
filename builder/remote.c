// SPDX-License-Identifier: Apache-2.0
// ssh as a child, watched beside the machine that it talks to.
#include "builder/remote.h"
#include "builder/qemu.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define LOOK_MS 100
#define CLOSE_TIMEOUT_MS 10000
#define MAX_WORDS 40

// What is given first counts for ssh. The machine's host key is new at every first boot, and the connection stays on this host.
static const char *const fixed[] = {
    "-o", "IdentitiesOnly=yes",
    "-o", "BatchMode=yes",
    "-o", "StrictHostKeyChecking=no",
    "-o", "UserKnownHostsFile=/dev/null",
    "-o", "LogLevel=ERROR",
    "-o", "ConnectTimeout=20",
    "-o", "ServerAliveInterval=15",
    "-o", "ServerAliveCountMax=4",
    "-o", "ControlMaster=auto",
    "-o", "ControlPersist=600",
    "-F", "/dev/null",
};

char **remote_argv(const struct remote *remote, const char *const *options, const char *command) {
    char **argv = mem_array(MAX_WORDS, sizeof(*argv));
    size_t count = 0;
    argv[count++] = str_dup("ssh");
    for (; *options; options++)
        argv[count++] = str_dup(*options);
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        argv[count++] = str_dup(fixed[i]);
    argv[count++] = str_dup("-i");
    argv[count++] = str_dup(remote->key);
    argv[count++] = str_dup("-p");
    argv[count++] = str_printf("%ld", remote->port);
    argv[count++] = str_dup("-o");
    argv[count++] = str_printf("ControlPath=%s", remote->control);
    argv[count++] = str_printf("%s@127.0.0.1", remote->user);
    if (command)
        argv[count++] = str_dup(command);
    return argv;
}

void remote_result_done(struct remote_result *result) {
    free(result->output);
    free(result->error);
    *result = (struct remote_result){0};
}

// A little of the machine's life: its console is read, signals are noticed. The machine may end meanwhile (a command that powers it off).
static int look(struct vm *vm, struct err *err) {
    if (vm->ended) {
        clock_sleep_ms(LOOK_MS);
        return 0;
    }
    int event = vm_wait(vm, vm_elapsed_ms(vm) + LOOK_MS, err);
    if (event < 0)
        return event;
    return event == VM_SIGNAL ? err_set(err, -EINTR, "interrupted") : 0;
}

// Waits for the child without collecting it; *ret_status is its exit status.
static int watch(pid_t pid, struct vm *vm, int64_t deadline, int *ret_status, struct err *err) {
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
            return err_sys(err, -errno, "waiting for ssh");
        if (info.si_pid == pid) {
            *ret_status = info.si_code == CLD_EXITED ? info.si_status : 255;
            return 0;
        }
        if (clock_ms() >= deadline)
            return err_set(err, -ETIMEDOUT, "no end within the time");
        int r = look(vm, err);
        if (r < 0)
            return r;
    }
}

static int run_watched(const struct run *run, struct vm *vm, unsigned timeout_ms, int *ret_status, struct err *err) {
    struct err ignored;
    pid_t pid;
    int r = run_start(run, &pid, err);
    if (r < 0)
        return r;
    r = watch(pid, vm, clock_ms() + timeout_ms, ret_status, err);
    if (r < 0)
        kill(-pid, SIGKILL);
    if (run_wait(run, pid, &ignored) == -ETIMEDOUT && r == 0)
        r = err_set(err, -ETIMEDOUT, "ssh cannot be collected");
    return r;
}

static int read_back(int fd, char **ret_text, struct err *err) {
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(err, -errno, "output of ssh");
    return file_read_fd(fd, "output of the command", REMOTE_MAX_OUTPUT, ret_text, NULL, err);
}

int remote_run(const struct remote *remote, struct vm *vm, const char *command, unsigned timeout_ms, struct remote_result *ret_result,
               struct err *err) {
    cleanup(qemu_argv_done) char **argv = remote_argv(remote, RUN_ARGV("-T"), command);
    cleanup_fd int out = memfd_create("ssh-output", MFD_CLOEXEC);
    cleanup_fd int error = memfd_create("ssh-error", MFD_CLOEXEC);
    if (out < 0 || error < 0)
        return err_sys(err, -errno, "memfd_create");
    // The deadline gives ssh a group of its own: Ctrl-C is ours to handle.
    struct run run = {.argv = (const char *const *)argv, .out = out, .error = error, .timeout_ms = CLOSE_TIMEOUT_MS};
    cleanup_free char *output = NULL, *errors = NULL;
    int status = 255;
    int r = run_watched(&run, vm, timeout_ms, &status, err);
    if (r == 0)
        r = read_back(out, &output, err);
    if (r == 0)
        r = read_back(error, &errors, err);
    if (r < 0)
        return err_prefix(err, r, "`%s` on the machine", command);
    *ret_result = (struct remote_result){.status = status, .output = take_ptr(output), .error = take_ptr(errors)};
    return 0;
}

void remote_close(const struct remote *remote) {
    struct err ignored;
    if (!file_exists(AT_FDCWD, remote->control))
        return;
    cleanup(qemu_argv_done) char **argv = remote_argv(remote, RUN_ARGV("-O", "exit"), NULL);
    if (run_quiet(&(struct run){.argv = (const char *const *)argv, .timeout_ms = CLOSE_TIMEOUT_MS}, &ignored) < 0)
        unlink(remote->control);
}
