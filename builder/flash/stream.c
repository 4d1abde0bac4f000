// SPDX-License-Identifier: Apache-2.0
// The other process and its two pipes: bytes, and reports of how it went. The certificates are read before it gives up its rights.
#include "builder/flash/stream.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define NOBODY 65534
#define BLOCK_BYTES ((size_t)1 << 18)
#define PIPE_BYTES (1 << 20)

// One at the beginning of the answer, one at the end. Smaller than PIPE_BUF, so it is written at once.
struct report {
    int result;
    struct err err;
};

struct stream {
    char *url;
    pid_t pid; // 0: was waited for
    int reports;
    bool is_over;
    struct report last; // when it is over
};

static void clear_line(void) {
    if (isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static int become_nobody(struct err *err) {
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
        return err_sys(err, -errno, "giving up rights before asking the network");
    const struct rlimit none = {0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0)
        return err_sys(err, -errno, "giving up rights before asking the network");
    return 0;
}

static int pump(struct http *http, int to, struct err *err) {
    cleanup_free char *block = mem_array(BLOCK_BYTES, 1);
    ssize_t got;
    while ((got = http_read(http, block, BLOCK_BYTES, err)) > 0) {
        int r = file_write_all(to, "the pipe", block, (size_t)got, err);
        if (r < 0)
            return r;
    }
    return (int)got;
}

static void tell(int reports, int result, const struct err *err) {
    struct report report = {.result = result, .err = *err};
    (void)!write(reports, &report, sizeof(report));
}

// Never returns: what cleanup would do here, the other process does.
static _Noreturn void serve(const char *url, const struct http_options *options, pid_t parent, int to, int reports) {
    struct http *http = mem_array(1, sizeof(*http));
    struct err err = {0};
    log_set_before_line(clear_line);
    int r = http_init(url, options, http, &err);
    if (r >= 0)
        r = become_nobody(&err);
    // It ends with us; the kernel forgets that whenever rights change.
    if (r >= 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
        _exit(1);
    if (r >= 0)
        r = http_start(http, &err);
    tell(reports, r, &err);
    if (r >= 0) {
        r = pump(http, to, &err);
        tell(reports, r, &err);
    }
    _exit(r < 0);
}

// What the other process says next; that it ended without a word is a failure, too.
static int take_report(struct stream *stream, struct err *err) {
    struct report report;
    ssize_t got;
    while ((got = read(stream->reports, &report, sizeof(report))) < 0 && errno == EINTR)
        ;
    if (got != sizeof(report))
        return err_set(err, -EIO, "%s: the process that fetches it died", stream->url);
    if (report.result < 0)
        *err = report.err;
    return report.result;
}

void stream_free(struct stream *stream) {
    if (!stream)
        return;
    if (stream->pid > 0) {
        kill(stream->pid, SIGKILL);
        while (waitpid(stream->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    close(stream->reports);
    free(stream->url);
    free(stream);
}

static int start(const char *url, const struct http_options *options, struct stream *stream, int *ret_fd, struct err *err) {
    int data[2], reports[2];
    pid_t parent = getpid();
    if (pipe2(data, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "a pipe");
    cleanup_fd int from = data[0], to = data[1];
    if (pipe2(reports, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "a pipe");
    cleanup_fd int theirs = reports[1];
    stream->reports = reports[0];
    (void)fcntl(from, F_SETPIPE_SZ, PIPE_BYTES); // fewer turns; without it, it works as well
    fflush(NULL);
    stream->pid = fork();
    if (stream->pid < 0)
        return err_sys(err, -errno, "a process for %s", url);
    if (stream->pid == 0) {
        close(from);
        close(stream->reports);
        serve(url, options, parent, to, theirs);
    }
    *ret_fd = take_fd(&from);
    return 0;
}

int stream_new(const char *url, const struct http_options *options, struct stream **ret_stream, int *ret_fd, struct err *err) {
    struct stream *stream = mem_array(1, sizeof(*stream));
    cleanup_fd int fd = -1;
    stream->url = str_dup(url);
    stream->reports = -1;
    int r = start(url, options, stream, &fd, err);
    if (r >= 0)
        r = take_report(stream, err);
    if (r < 0) {
        stream_free(stream);
        return r;
    }
    *ret_fd = take_fd(&fd);
    *ret_stream = stream;
    return 0;
}

// May be asked again, as the end of a file may be.
int stream_end(struct stream *stream, struct err *err) {
    if (!stream->is_over)
        stream->last.result = take_report(stream, &stream->last.err);
    stream->is_over = true;
    if (stream->last.result < 0)
        *err = stream->last.err;
    return stream->last.result;
}

int stream_fetch(const char *url, const struct http_options *options, size_t max_bytes, char **ret_data, size_t *ret_size,
                 struct err *err) {
    struct stream *stream;
    cleanup_free char *data = NULL;
    cleanup_fd int fd = -1;
    size_t size = 0;
    int r = stream_new(url, options, &stream, &fd, err);
    if (r < 0)
        return r;
    r = file_read_fd(fd, url, max_bytes, &data, &size, err);
    if (r >= 0)
        r = stream_end(stream, err);
    stream_free(stream);
    if (r < 0)
        return r;
    *ret_data = take_ptr(data);
    *ret_size = size;
    return 0;
}
