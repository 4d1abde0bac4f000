// SPDX-License-Identifier: Apache-2.0
// The child speaks HTTP with strangers: nothing it says is believed beyond the frame's own limits, and it is never waited for without end.
#include "firstboot/update/fetcher.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/opt.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SILENCE_MS 60000 // it says "alive" every five seconds
#define LAST_WORDS_MS 2000
#define BUFFER_BYTES (FRAME_MAX_LINE_BYTES + 2 * FRAME_MAX_DATA_BYTES)
#define SAID_BYTES 512
#define MAX_ARGUMENTS 32

struct fetcher {
    pid_t pid;
    int ask, answers, said; // descriptors
    char buffer[BUFFER_BYTES];
    size_t start, size; // of what is in it
    uint64_t data_offset, data_left; // of the DATA frame that is being handed out
    char text[SAID_BYTES]; // the end of its standard error
    size_t text_size;
};

static bool take_number(const char **at, const char *end, uint64_t *ret_number) {
    uint64_t number = 0;
    const char *c = *at;
    for (; c < end && *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, (uint64_t)(*c - '0'), &number))
            return false;
    bool is_number = c > *at;
    *at = c;
    *ret_number = number;
    return is_number;
}

static bool take_numbers(const char *at, const char *end, uint64_t *ret_first, uint64_t *ret_second) {
    return take_number(&at, end, ret_first) && at < end && *at++ == ' ' && take_number(&at, end, ret_second) && at == end;
}

static bool is_data(const char *at, const char *end, struct frame *frame) {
    return take_numbers(at, end, &frame->offset, &frame->bytes) && frame->bytes > 0 && frame->bytes <= FRAME_MAX_DATA_BYTES &&
           frame->offset <= UINT64_MAX - frame->bytes;
}

static bool is_end(const char *at, const char *end, struct frame *frame) {
    (void)frame;
    return at == end;
}

static bool is_whole(const char *at, const char *end, struct frame *frame) {
    return (end - at == 1 && *at == '-') || (take_number(&at, end, &frame->bytes) && at == end);
}

static bool is_traffic(const char *at, const char *end, struct frame *frame) {
    uint64_t requests = 0;
    if (!take_numbers(at, end, &frame->bytes, &requests) || requests > UINT32_MAX)
        return false;
    frame->requests = (unsigned)requests;
    return true;
}

static bool is_failed(const char *at, const char *end, struct frame *frame) {
    static const struct {
        const char *word;
        int code;
    } words[] = {{"again ", -EAGAIN}, {"permanent ", -EIO}};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t size = strlen(words[i].word);
        if ((size_t)(end - at) <= size || memcmp(at, words[i].word, size) != 0)
            continue;
        frame->code = words[i].code;
        frame->text += size;
        return true;
    }
    return false;
}

int frame_parse(const char *line, size_t size, struct frame *ret_frame, struct err *err) {
    static const struct {
        const char *word;
        enum frame_kind kind;
        bool (*is_right)(const char *at, const char *end, struct frame *frame);
    } kinds[] = {
        {"data ", FRAME_DATA, is_data},          {"end", FRAME_END, is_end},     {"whole ", FRAME_WHOLE, is_whole},
        {"traffic ", FRAME_TRAFFIC, is_traffic}, {"alive", FRAME_ALIVE, is_end}, {"failed ", FRAME_FAILED, is_failed},
    };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t length = strlen(kinds[i].word);
        struct frame frame = {.kind = kinds[i].kind, .text = length};
        if (size < length || memcmp(line, kinds[i].word, length) != 0 || !kinds[i].is_right(line + length, line + size, &frame))
            continue;
        *ret_frame = frame;
        return 0;
    }
    return err_set(err, -EPROTO, "webops-fetch said something that is not understood");
}

static int plan_arguments(const char *program, const char *const *arguments, const char *url, const char **argv, struct err *err) {
    size_t count = 0;
    argv[count++] = program;
    argv[count++] = "--ranges";
    for (; arguments && *arguments; arguments++) {
        if (count == MAX_ARGUMENTS - 3)
            return err_set(err, -EINVAL, "too many options for %s", program);
        argv[count++] = *arguments;
    }
    argv[count++] = "--";
    argv[count++] = url;
    argv[count] = NULL;
    return 0;
}

static int spawn(struct fetcher *fetcher, const char *const *argv, struct err *err) {
    static const char *const environment[] = {NULL}; // no proxy, no path of a library from ours
    cleanup_fd int child_in = -1, child_out = -1, child_error = -1;
    int requests[2], answers[2], said[2];
    // Requests go through a socket: writing to a dead child is then an error and not a signal.
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, requests) < 0)
        return err_sys(err, -errno, "cannot make a socket");
    fetcher->ask = requests[0];
    child_in = requests[1];
    if (pipe2(answers, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    fetcher->answers = answers[0];
    child_out = answers[1];
    if (pipe2(said, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    fetcher->said = said[0];
    child_error = said[1];
    const struct run run = {.argv = argv, .env = environment, .in = child_in, .out = child_out, .error = child_error};
    return run_start(&run, &fetcher->pid, err);
}

int fetcher_start(const char *program, const char *const *arguments, const char *url, struct fetcher **ret_fetcher, struct err *err) {
    const char *argv[MAX_ARGUMENTS];
    int r = plan_arguments(program, arguments, url, argv, err);
    if (r < 0)
        return r;
    struct fetcher *fetcher = mem_array(1, sizeof(*fetcher));
    fetcher->ask = fetcher->answers = fetcher->said = -1;
    r = spawn(fetcher, argv, err);
    if (r < 0) {
        fetcher_stop(fetcher);
        return r;
    }
    *ret_fetcher = fetcher;
    return 0;
}

static int reap(struct fetcher *fetcher) {
    int status = 0;
    while (fetcher->pid > 0 && waitpid(fetcher->pid, &status, 0) < 0 && errno == EINTR)
        ;
    fetcher->pid = 0;
    return status;
}

void fetcher_stop(struct fetcher *fetcher) {
    if (!fetcher)
        return;
    if (fetcher->pid > 0)
        kill(fetcher->pid, SIGKILL);
    reap(fetcher);
    int *const descriptors[] = {&fetcher->ask, &fetcher->answers, &fetcher->said};
    for (size_t i = 0; i < ARRAY_SIZE(descriptors); i++)
        if (*descriptors[i] >= 0)
            close(*descriptors[i]);
    free(fetcher);
}

int fetcher_ask(struct fetcher *fetcher, uint64_t offset, uint64_t bytes, struct err *err) {
    char line[64];
    int length = snprintf(line, sizeof(line), "%llu %llu\n", (unsigned long long)offset, (unsigned long long)bytes);
    ssize_t sent;
    do
        sent = send(fetcher->ask, line, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    // A child that has ended says on its other descriptors why.
    return sent == length || (sent < 0 && (errno == EPIPE || errno == ECONNRESET)) ? 0
                                                                                   : err_set(err, -EAGAIN, "webops-fetch takes no request");
}

// Keeps the end of what the child says.
static bool listen_to_said(struct fetcher *fetcher) {
    char piece[SAID_BYTES];
    ssize_t got = read(fetcher->said, piece, sizeof(piece));
    if (got <= 0)
        return got < 0 && errno == EINTR;
    size_t kept = fetcher->text_size + (size_t)got > SAID_BYTES ? SAID_BYTES - (size_t)got : fetcher->text_size;
    memmove(fetcher->text, fetcher->text + fetcher->text_size - kept, kept);
    memcpy(fetcher->text + kept, piece, (size_t)got);
    fetcher->text_size = kept + (size_t)got;
    return true;
}

// Closed its output without "failed": killed, or ended before it could say anything but on standard error.
static int died(struct fetcher *fetcher, struct err *err) {
    struct pollfd fd = {.fd = fetcher->said, .events = POLLIN};
    while (poll(&fd, 1, LAST_WORDS_MS) > 0 && listen_to_said(fetcher))
        ;
    if (run_wait_end(fetcher->pid, clock_ms() + LAST_WORDS_MS) < 0)
        kill(fetcher->pid, SIGKILL);
    int status = reap(fetcher);
    while (fetcher->text_size && fetcher->text[fetcher->text_size - 1] == '\n')
        fetcher->text_size--;
    for (size_t i = 0; i < fetcher->text_size; i++)
        if ((unsigned char)fetcher->text[i] < ' ' || fetcher->text[i] == 127)
            fetcher->text[i] = ' ';
    if (WIFSIGNALED(status))
        return err_set(err, -EAGAIN, "webops-fetch was killed by signal %d: %.*s", WTERMSIG(status), (int)fetcher->text_size,
                       fetcher->text);
    return err_set(err, WEXITSTATUS(status) == EXIT_TEMPORARY ? -EAGAIN : -EIO, "webops-fetch ended: %.*s",
                   fetcher->text_size ? (int)fetcher->text_size : 10, fetcher->text_size ? fetcher->text : "no message");
}

// Waits for bytes and adds them to the buffer. 0 at the end of the child's output.
static int more(struct fetcher *fetcher, struct err *err) {
    if (fetcher->start) {
        memmove(fetcher->buffer, fetcher->buffer + fetcher->start, fetcher->size);
        fetcher->start = 0;
    }
    struct pollfd fds[] = {{.fd = fetcher->answers, .events = POLLIN}, {.fd = fetcher->said, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, 2, SILENCE_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return err_sys(err, -errno, "cannot wait for webops-fetch");
        if (ready == 0)
            return err_set(err, -EAGAIN, "webops-fetch gave no sign of life for %d seconds", SILENCE_MS / 1000);
        if (fds[1].revents && !listen_to_said(fetcher))
            fds[1].fd = -1;
        if (!fds[0].revents)
            continue;
        ssize_t got = read(fetcher->answers, fetcher->buffer + fetcher->size, sizeof(fetcher->buffer) - fetcher->size);
        if (got < 0 && errno != EINTR)
            return err_sys(err, -errno, "cannot read from webops-fetch");
        if (got < 0)
            continue;
        fetcher->size += (size_t)got;
        return got > 0;
    }
}

// A complete line into *ret_frame; 0 when there is none yet.
static int take_line(struct fetcher *fetcher, struct frame *ret_frame, struct err *err) {
    const char *line = fetcher->buffer + fetcher->start;
    const char *newline = memchr(line, '\n', fetcher->size < FRAME_MAX_LINE_BYTES ? fetcher->size : FRAME_MAX_LINE_BYTES);
    if (!newline)
        return fetcher->size < FRAME_MAX_LINE_BYTES ? 0 : err_set(err, -EPROTO, "webops-fetch said a line without end");
    size_t size = (size_t)(newline - line);
    int r = frame_parse(line, size, ret_frame, err);
    if (r < 0)
        return r;
    if (ret_frame->kind == FRAME_FAILED)
        return err_set(err, ret_frame->code, "%.*s", (int)(size - ret_frame->text), line + ret_frame->text);
    fetcher->start += size + 1;
    fetcher->size -= size + 1;
    fetcher->data_offset = ret_frame->offset;
    fetcher->data_left = ret_frame->kind == FRAME_DATA ? ret_frame->bytes : 0;
    return 1;
}

int fetcher_next(struct fetcher *fetcher, struct frame *ret_frame, const void **ret_data, struct err *err) {
    struct frame frame = {.kind = FRAME_DATA};
    int r = 0;
    while (!fetcher->data_left) {
        r = take_line(fetcher, &frame, err);
        if (r == 0)
            r = more(fetcher, err);
        else if (r > 0 && frame.kind != FRAME_DATA) {
            *ret_frame = frame;
            return 0;
        }
        if (r < 0)
            return r;
        if (r == 0)
            return died(fetcher, err);
    }
    while (!fetcher->size) {
        r = more(fetcher, err);
        if (r <= 0)
            return r < 0 ? r : died(fetcher, err);
    }
    frame.offset = fetcher->data_offset;
    frame.bytes = fetcher->data_left < fetcher->size ? fetcher->data_left : fetcher->size;
    *ret_frame = frame;
    *ret_data = fetcher->buffer + fetcher->start;
    return 0;
}

void fetcher_used(struct fetcher *fetcher, size_t size) {
    fetcher->start += size;
    fetcher->size -= size;
    fetcher->data_offset += size;
    fetcher->data_left -= size;
}
