// SPDX-License-Identifier: Apache-2.0
// posix_spawn, wait with a deadline, and bounded capture. No shell.
#include "common/run.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>

extern char **environ;

#define ERROR_TAIL_BYTES 4096
#define POLL_MS 10

static int add_stream(posix_spawn_file_actions_t *actions, int source, int target) {
    if (source == RUN_INHERIT)
        return 0;
    return posix_spawn_file_actions_adddup2(actions, source, target);
}

// What asks programs to end, and is ignored here (nohup, a job in the background), is ignored there, too. Of all else a child knows nothing.
static void signals_of_a_child(sigset_t *ret_default) {
    static const int ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    struct sigaction now;
    sigfillset(ret_default);
    for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
        if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            sigdelset(ret_default, ending[i]);
}

static int spawn(const struct run *run, posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes, pid_t *ret_pid) {
    sigset_t defaults, none;
    signals_of_a_child(&defaults);
    sigemptyset(&none);
    int r = run->in ? add_stream(actions, run->in, 0) : posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    if (!r)
        r = add_stream(actions, run->out ? run->out : 2, 1);
    if (!r)
        r = add_stream(actions, run->error ? run->error : RUN_INHERIT, 2);
    if (!r)
        r = posix_spawnattr_setsigdefault(attributes, &defaults);
    if (!r)
        r = posix_spawnattr_setsigmask(attributes, &none);
    // A group of its own only where a deadline may have to kill it whole: otherwise Ctrl-C on our terminal must reach it.
    if (!r)
        r = posix_spawnattr_setpgroup(attributes, 0);
    if (!r)
        r = posix_spawnattr_setflags(
            attributes, (short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | (run->timeout_ms ? POSIX_SPAWN_SETPGROUP : 0)));
    if (!r)
        r = posix_spawnp(ret_pid, run->argv[0], actions, attributes, (char *const *)run->argv,
                         run->env ? (char *const *)run->env : environ);
    return -r;
}

int run_start(const struct run *run, pid_t *ret_pid, struct err *err) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&actions) || posix_spawnattr_init(&attributes))
        return err_set(err, -ENOMEM, "cannot start %s: out of memory", run->argv[0]);
    // The child's 1 is replaced before its 2 is made from ours: our 1 must be kept under another number until then.
    cleanup_fd int error_copy = run->error == 1 ? fcntl(1, F_DUPFD_CLOEXEC, 3) : -1;
    struct run shifted = *run;
    if (error_copy >= 0)
        shifted.error = error_copy;
    int r = spawn(&shifted, &actions, &attributes, ret_pid);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (r == -ENOENT) {
        const char *package = run_package ? run_package(run->argv[0]) : NULL;
        return err_set(err, r, "cannot start %s: the program is not installed%s%s%s", run->argv[0], package ? " (install " : "",
                       package ?: "", package ? ")" : "");
    }
    return r < 0 ? err_sys(err, r, "cannot start %s", run->argv[0]) : 0;
}

// 0 = no deadline; else a time of clock_ms().
static int64_t deadline_of(const struct run *run) {
    return run->timeout_ms ? clock_ms() + run->timeout_ms : 0;
}

// What poll(2) may wait for: -1 without a deadline, 0 when it has passed.
static int left_ms(int64_t deadline) {
    if (!deadline)
        return -1;
    int64_t left = deadline - clock_ms();
    return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

// Kernels before Linux 5.3 (Enterprise Linux 8) have no pidfd_open: there, and wherever it is refused, we look now and then.
static int wait_polling(pid_t pid, int64_t deadline) {
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 && errno != EINTR)
            return -errno;
        if (info.si_pid == pid)
            return 0;
        if (left_ms(deadline) == 0)
            return -ETIMEDOUT;
        clock_sleep_ms(POLL_MS);
    }
}

int run_wait_end(pid_t pid, int64_t deadline) {
    cleanup_fd int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pid_fd < 0)
        return wait_polling(pid, deadline);
    struct pollfd poll_fd = {.fd = pid_fd, .events = POLLIN};
    int r;
    do
        r = poll(&poll_fd, 1, left_ms(deadline));
    while (r < 0 && errno == EINTR);
    return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : -errno;
}

static int wait_until(const struct run *run, pid_t pid, int64_t deadline, struct err *err) {
    int status = 0;
    int waited = deadline ? run_wait_end(pid, deadline) : 0;
    if (waited < 0)
        kill(-pid, SIGKILL); // waits only with a deadline fail, and those have a group
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_sys(err, -errno, "cannot wait for %s", run->argv[0]);
    if (waited == -ETIMEDOUT)
        return err_set(err, -ETIMEDOUT, "%s did not end within %u ms and was stopped", run->argv[0], run->timeout_ms);
    if (waited < 0)
        return err_sys(err, waited, "cannot watch %s", run->argv[0]);
    if (WIFSIGNALED(status))
        return err_set(err, -EIO, "%s was killed by signal %d (%s)", run->argv[0], WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status))
        return err_set(err, WEXITSTATUS(status) == EX_TEMPFAIL ? -EAGAIN : -EIO, "%s failed with exit status %d", run->argv[0],
                       WEXITSTATUS(status));
    return 0;
}

int run_wait(const struct run *run, pid_t pid, struct err *err) {
    return wait_until(run, pid, deadline_of(run), err);
}

int run(const struct run *run, struct err *err) {
    pid_t pid = 0;
    int r = run_start(run, &pid, err);
    return r < 0 ? r : run_wait(run, pid, err);
}

// What two pipes of a child deliver: standard output whole (bounded), standard error as its last bytes.
struct capture {
    struct buf out;
    size_t max_bytes;
    char tail[ERROR_TAIL_BYTES + 1];
    size_t tail_size;
    bool too_large;
};

static void tail_add(struct capture *capture, const char *data, size_t size) {
    if (size > ERROR_TAIL_BYTES) {
        data += size - ERROR_TAIL_BYTES;
        size = ERROR_TAIL_BYTES;
    }
    size_t kept = capture->tail_size + size > ERROR_TAIL_BYTES ? ERROR_TAIL_BYTES - size : capture->tail_size;
    memmove(capture->tail, capture->tail + capture->tail_size - kept, kept);
    memcpy(capture->tail + kept, data, size);
    capture->tail_size = kept + size;
    capture->tail[capture->tail_size] = 0;
}

static bool take_some(struct capture *capture, int fd, bool is_error) {
    char block[65536];
    ssize_t got = read(fd, block, sizeof(block));
    if (got < 0)
        return errno == EINTR || errno == EAGAIN;
    if (is_error)
        tail_add(capture, block, (size_t)got);
    else if ((size_t)got > capture->max_bytes - capture->out.size)
        capture->too_large = true;
    else
        buf_add(&capture->out, block, (size_t)got);
    return got > 0;
}

// Reads both pipes until the child closed them, the deadline passed or the output is too large. fds[i] < 0 = none.
static bool collect(struct capture *capture, int out_fd, int error_fd, int64_t deadline) {
    struct pollfd fds[2] = {{.fd = out_fd, .events = POLLIN}, {.fd = error_fd, .events = POLLIN}};
    while ((fds[0].fd >= 0 || fds[1].fd >= 0) && !capture->too_large) {
        int left = left_ms(deadline);
        if (left == 0) // also while the child prints without end
            return false;
        int ready = poll(fds, 2, left);
        if (ready < 0 && errno == EINTR) // revents are stale: reading by them could block beyond the deadline
            continue;
        if (ready < 0)
            return true;
        for (int i = 0; i < 2; i++)
            if (fds[i].fd >= 0 && fds[i].revents && !take_some(capture, fds[i].fd, i == 1))
                fds[i].fd = -1;
    }
    return true;
}

// The last three non-empty lines of the child's standard error, as one line joined by " | ". What a terminal would obey is blanked.
static void append_tail(struct err *err, char *tail, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (tail[i] == '\r')
            tail[i] = '\n';
        else if (tail[i] != '\n' && ((unsigned char)tail[i] < ' ' || tail[i] == 127))
            tail[i] = ' ';
    const char *lines[3];
    int count = 0;
    while (size && count < 3) {
        while (size && tail[size - 1] == '\n')
            tail[--size] = 0;
        while (size && tail[size - 1] != '\n')
            size--;
        if (tail[size])
            lines[count++] = tail + size;
    }
    for (bool first = true; count > 0; first = false) {
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof(err->text) - used, "%s%s", first ? ": " : " | ", lines[--count]);
    }
}

static int make_pipe(int *ret_read, int *ret_write, struct err *err) {
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    *ret_read = pipes[0];
    *ret_write = pipes[1];
    return 0;
}

static int run_collect(const struct run *run, struct capture *capture, bool want_out, struct err *err) {
    cleanup_fd int out_read = -1, out_write = -1, error_read = -1, error_write = -1;
    int r = want_out ? make_pipe(&out_read, &out_write, err) : 0;
    if (r >= 0)
        r = make_pipe(&error_read, &error_write, err);
    if (r < 0)
        return r;
    struct run piped = *run;
    piped.error = error_write;
    if (want_out || !run->out)
        piped.out = want_out ? out_write : error_write;
    pid_t pid = 0;
    r = run_start(&piped, &pid, err);
    if (r < 0)
        return r;
    close(take_fd(&error_write));
    if (want_out)
        close(take_fd(&out_write));
    int64_t deadline = deadline_of(run);
    bool in_time = collect(capture, out_read, error_read, deadline);
    if (!in_time || capture->too_large)
        kill(run->timeout_ms ? -pid : pid, SIGKILL);
    r = wait_until(run, pid, deadline, err);
    if (!in_time)
        r = err_set(err, -ETIMEDOUT, "%s did not end within %u ms and was stopped", run->argv[0], run->timeout_ms);
    else if (capture->too_large)
        r = err_set(err, -EFBIG, "%s printed more than the %zu bytes allowed here", run->argv[0], capture->max_bytes);
    if (r < 0)
        append_tail(err, capture->tail, capture->tail_size);
    return r;
}

int run_capture(const struct run *run, size_t max_bytes, char **ret_text, size_t *ret_size, struct err *err) {
    struct capture capture = {.max_bytes = max_bytes};
    int r = run_collect(run, &capture, true, err);
    if (r >= 0) {
        if (ret_size)
            *ret_size = capture.out.size;
        *ret_text = buf_take(&capture.out);
    }
    buf_done(&capture.out);
    return r;
}

int run_quiet(const struct run *run, struct err *err) {
    struct capture capture = {0};
    return run_collect(run, &capture, false, err);
}
