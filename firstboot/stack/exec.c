// SPDX-License-Identifier: Apache-2.0
// The caller's side of a session: systemd-run(1) and two pipes.
//
// A command is sent as lines: seconds, user (empty: root), number of words, the words. The answer is one line: a negative errno or 0, a blank,
// and the reason. The unit has no default dependencies, so that it can still be started while the machine goes down.
#include "firstboot/stack/exec.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GRACE_SECONDS 30 // for the unit to start, and to end a command whose time is up
#define ANSWER_BYTES 8192

static const struct run unit = {.argv = RUN_ARGV("systemd-run", "--quiet", "--wait", "--pipe", "--collect",
                                                 "--description=webops: commands of stacks", "--property=DefaultDependencies=no",
                                                 "--property=LogLevelMax=notice", "--property=TimeoutStopSec=5", "--property=UMask=0077",
                                                 "--", "/usr/sbin/webops", "commands"),
                                .timeout_ms = GRACE_SECONDS * 1000};

void stack_session_done(struct stack_session *session) {
    struct err ignored;
    if (session->pid == 0)
        return;
    close(session->requests);
    close(session->answers);
    (void)!run_wait(&unit, session->pid, &ignored);
    *session = (struct stack_session){0};
}

static int start(struct stack_session *session, struct err *err) {
    cleanup_fd int in = -1, requests = -1, answers = -1, out = -1;
    int down[2], up[2];
    if (pipe2(down, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    in = down[0], requests = down[1];
    if (pipe2(up, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    answers = up[0], out = up[1];
    struct run run = unit;
    run.in = in;
    run.out = run.error = out; // what systemd-run itself has to say takes the place of an answer
    pid_t pid = 0;
    int r = run_start(&run, &pid, err);
    if (r < 0)
        return r;
    *session = (struct stack_session){pid, take_fd(&requests), take_fd(&answers)};
    return 0;
}

static int compose(const struct stack_exec *exec, struct buf *ret_request, struct err *err) {
    buf_printf(ret_request, "%u\n%s\n%zu\n", exec->timeout_seconds, exec->user ? exec->user : "", exec->command->count);
    for (size_t i = 0; i < exec->command->count; i++) {
        if (strchr(exec->command->items[i], '\n'))
            return err_set(err, -EINVAL, "%s: word %zu of its command has a line end", exec->what, i + 1);
        buf_printf(ret_request, "%s\n", exec->command->items[i]);
    }
    return 0;
}

// The pipe is larger than any command; without a reader it is -EPIPE, as SIGPIPE is ignored while it is written to.
static int send(int fd, const struct buf *request, struct err *err) {
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    int r = file_write_all(fd, "the unit of commands", request->data, request->size, err);
    signal(SIGPIPE, before);
    return r;
}

// One line without its end. 0 = the other side closed.
static ssize_t receive(int fd, int64_t deadline, char *ret_line, size_t size) {
    size_t used = 0;
    for (;;) {
        int64_t left = deadline - clock_ms();
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
        ssize_t got = read(fd, ret_line + used, size - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 && used == 0)
            return got < 0 ? -errno : 0;
        used += got > 0 ? (size_t)got : 0;
        ret_line[used] = 0;
        char *end = strchr(ret_line, '\n');
        if (end)
            *end = 0;
        if (end || got <= 0 || used == size - 1)
            return (ssize_t)used;
    }
}

// 0 when it is an answer, whose code goes to *ret_code.
static int parse_answer(const char *line, int *ret_code, const char **ret_reason) {
    char *end;
    long code = strtol(line, &end, 10);
    if (end == line || *end != ' ' || code > 0 || code < -4095)
        return -EPROTO;
    *ret_code = (int)code;
    *ret_reason = end + 1;
    return 0;
}

int stack_session_exec(struct stack_session *session, const struct stack_exec *exec, struct err *err) {
    cleanup_buf struct buf request = {0};
    char line[ANSWER_BYTES] = "";
    const char *reason;
    int code, r = compose(exec, &request, err);
    if (r >= 0 && session->pid == 0)
        r = start(session, err);
    if (r < 0)
        return r;
    int sent = send(session->requests, &request, err);
    ssize_t got = receive(session->answers, clock_ms() + (exec->timeout_seconds + GRACE_SECONDS) * INT64_C(1000), line, sizeof(line));
    if (got > 0 && parse_answer(line, &code, &reason) == 0)
        return code < 0 ? err_set(err, code, "%s", reason) : 0;
    stack_session_done(session);
    if (got > 0)
        return err_set(err, -EPROTO, "%s: cannot run it in a unit of its own: %s", exec->what, line);
    if (got == -ETIMEDOUT)
        return err_set(err, -ETIMEDOUT, "%s did not end within %u s", exec->command->items[0], exec->timeout_seconds);
    return err_sys(err, got < 0 ? (int)got : sent < 0 ? sent : -EPIPE, "%s: the unit in which it should run ended", exec->what);
}

int stack_exec(const struct stack_exec *exec, struct err *err) {
    cleanup_stack_session struct stack_session session = {0};
    return stack_session_exec(&session, exec, err);
}
