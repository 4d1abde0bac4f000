// SPDX-License-Identifier: Apache-2.0
// webops-http: answers one HTTP request on standard input and output, which is a connection that systemd accepted. Both answers are ready before the
// program gives up everything but reading and writing this connection, and only then it reads a byte of the request.
#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/opt.h"
#include "firstboot/http/answer.h"
#include "firstboot/sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

// Together below RuntimeMaxSec= of the unit, so that a slow client is no failed unit.
#define READ_SECONDS 3
#define WRITE_SECONDS 1
#define MAX_FILE_BYTES (1 << 20)

static const struct sandbox_call calls[] = {
    {SCMP_SYS(read), 0, UINT32_MAX, STDIN_FILENO},
    {SCMP_SYS(write), 0, UINT32_MAX, STDOUT_FILENO},
    {SCMP_SYS(write), 0, UINT32_MAX, STDERR_FILENO},
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {.number = SCMP_SYS(munmap)},
    {.number = SCMP_SYS(mremap)},
    {.number = SCMP_SYS(brk)},
    {.number = SCMP_SYS(poll)},
    {.number = SCMP_SYS(restart_syscall)},
    {.number = SCMP_SYS(clock_gettime)},
    {.number = SCMP_SYS(rt_sigreturn)},
    {.number = SCMP_SYS(exit)},
    {.number = SCMP_SYS(exit_group)},
};

static int64_t age_of(int root_fd, const char *path) {
    struct stat status;
    return fstatat(root_fd, path, &status, 0) == 0 ? (int64_t)time(NULL) - status.st_mtim.tv_sec : INT64_MAX;
}

// A missing file is an answer, too.
static int prepare(const char *root, struct answer answers[2], struct err *err) {
    cleanup_fd int root_fd = file_open(AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0, err);
    if (root_fd < 0)
        return root_fd;
    cleanup_free char *health = NULL, *metrics = NULL;
    size_t health_size = 0, metrics_size = 0;
    json_object_seed(0); // before files can no longer be opened
    if (file_read(root_fd, "run/webops/health.json", MAX_FILE_BYTES, &health, &health_size, err) < 0)
        health = NULL;
    if (file_read(root_fd, "run/webops/metrics.prom", MAX_FILE_BYTES, &metrics, &metrics_size, err) < 0)
        metrics = NULL;
    answer_health(health, health_size, age_of(root_fd, "run/webops/health.json"), &answers[REQUEST_HEALTH]);
    answer_metrics(metrics, metrics_size, &answers[REQUEST_METRICS]);
    return 0;
}

// Whether the descriptor is ready before the deadline.
static bool wait_for(int fd, short events, int64_t deadline) {
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int64_t left = deadline - clock_ms();
    return left > 0 && poll(&poll_fd, 1, (int)left) > 0;
}

static struct request read_request(int64_t deadline) {
    char text[REQUEST_MAX_BYTES];
    size_t size = 0;
    while (!request_is_complete(text, size)) {
        if (size == sizeof(text))
            return (struct request){.status = 400};
        if (!wait_for(STDIN_FILENO, POLLIN, deadline))
            return (struct request){.status = 408};
        ssize_t got = read(STDIN_FILENO, text + size, sizeof(text) - size);
        if (got == 0)
            return (struct request){.status = 400};
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return (struct request){.status = 400};
        size += got > 0 ? (size_t)got : 0;
    }
    return request_parse(text, size);
}

static void write_answer(const struct buf *text, int64_t deadline) {
    for (size_t at = 0; at < text->size;) {
        if (!wait_for(STDOUT_FILENO, POLLOUT, deadline))
            return;
        ssize_t put = write(STDOUT_FILENO, text->data + at, text->size - at);
        if (put < 0 && errno != EINTR && errno != EAGAIN)
            return;
        at += put > 0 ? (size_t)put : 0;
    }
}

static int serve(const char *root, struct answer answers[2], struct err *err) {
    cleanup_answer struct answer error = {0};
    cleanup_buf struct buf text = {0};
    int r = prepare(root, answers, err);
    signal(SIGPIPE, SIG_IGN);
    if (r == 0)
        r = sandbox_enter(READ_SECONDS + WRITE_SECONDS, err);
    if (r == 0)
        r = sandbox_filter(calls, ARRAY_SIZE(calls), err);
    if (r < 0)
        return r;
    struct request request = read_request(clock_ms() + READ_SECONDS * INT64_C(1000));
    if (request.status != 200)
        answer_error(request.status, &error);
    answer_format(request.status != 200 ? &error : &answers[request.target], request.is_head, &text);
    write_answer(&text, clock_ms() + WRITE_SECONDS * INT64_C(1000));
    return 0;
}

static int http(const struct verb *self, int argc, char **argv) {
    const char *root = "/";
    const struct opt options[] = {
        {"root", 0, OPT_TEXT, &root, "DIR", "Directory in which run/webops/health.json and metrics.prom are looked for."},
        {0},
    };
    char **args;
    int count;
    struct err err = {0};
    int r = opt_parse(self, options, argc, argv, &args, &count);
    if (r >= 0)
        return r;
    struct answer answers[2] = {0};
    r = serve(root, answers, &err);
    answer_done(&answers[REQUEST_HEALTH]);
    answer_done(&answers[REQUEST_METRICS]);
    if (r == 0)
        return EXIT_OK;
    log_error("%s", err.text);
    return EXIT_PERMANENT;
}

int main(int argc, char **argv) {
    static const struct verb verb = {"", "", 0, 0, "Answers one HTTP request on standard input: /health and /metrics.", http};
    log_init("webops-http", LOG_LEVEL_INFO, false);
    return http(&verb, argc, argv);
}
