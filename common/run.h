// SPDX-License-Identifier: Apache-2.0
// The one process runner: posix_spawn with an argv array, never a shell.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct run {
    const char *const *argv; // NULL-terminated; argv[0] is searched in PATH
    const char *const *env; // NULL-terminated "K=V"; NULL inherits
    int in, out, error; // descriptors for the child's 0, 1, 2; 0 means: /dev/null, our 1→2, our 2 (use RUN_INHERIT for our own 0/1)
    unsigned timeout_ms; // 0 waits for ever; on expiry the child's process group is killed and the result is -ETIMEDOUT
};
#define RUN_INHERIT (-2)

// The package that has a program, for the message that it is not installed; NULL = not known. Programs for which that is no use do not define it.
__attribute__((weak)) const char *run_package(const char *program) nonnull(1);
// Starts the child; with a timeout in a process group of its own, else in ours, so that Ctrl-C reaches it. Every descriptor of ours but the three is closed in it by O_CLOEXEC.
// Signals are as usual in it, but SIGHUP, SIGINT, SIGQUIT and SIGTERM stay ignored where we ignore them.
int run_start(const struct run *run, pid_t *ret_pid, struct err *err) must_check nonnull(1, 2, 3);
// Waits for a started child. 0 = exit status 0; -EAGAIN = exit status 75 (EX_TEMPFAIL of sysexits.h: later it may work);
// -EIO = other status or signal; err names it; -ETIMEDOUT.
int run_wait(const struct run *run, pid_t pid, struct err *err) must_check nonnull(1, 3);
// Waits until a child of ours has ended, without reaping it. `deadline` is a time of clock_ms(), 0 = none. -ETIMEDOUT leaves it running.
int run_wait_end(pid_t pid, int64_t deadline) must_check;
// run_start() + run_wait().
int run(const struct run *run, struct err *err) must_check nonnull(1, 2);
// Runs argv and returns what it printed on standard output, at most `max_bytes` (more is -EFBIG); the caller frees *ret_text.
// A failure's text carries the last three lines of the child's standard error. *ret_size may be NULL.
int run_capture(const struct run *run, size_t max_bytes, char **ret_text, size_t *ret_size, struct err *err) must_check nonnull(1, 3, 5);
// Runs with standard error (and standard output, unless run->out says otherwise) collected: on failure the last three lines are put into
// err, on success nothing is shown.
int run_quiet(const struct run *run, struct err *err) must_check nonnull(1, 2);

#define RUN_ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})
