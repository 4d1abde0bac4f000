// SPDX-License-Identifier: Apache-2.0
// The queue of ranges and the loop over libcurl's multi interface. Ranges run side by side, but their bytes are printed in the order of the
// requests: what comes too early is kept up to a limit, then its connection waits.
#include "firstboot/fetch/session.h"
#include "common/clock.h"
#include "firstboot/fetch/address.h"
#include "firstboot/fetch/wire.h"
#include <errno.h>
#include <poll.h>
#include <string.h>

#define ALIVE_MS 5000 // a frame at least this often, so that the reader can tell waiting from hanging
#define REPORT_BYTES (1 << 20)

struct input {
    char line[WIRE_MAX_REQUEST_BYTES];
    size_t size;
    bool is_ended;
};

static int say_traffic(struct session *session) {
    session->reported_bytes = session->received_bytes;
    session->last_frame_ms = clock_ms();
    return wire_print("traffic %llu %u", (unsigned long long)session->received_bytes, session->requests);
}

int session_take(struct request *request, const void *data, size_t size) {
    struct session *session = request->session;
    if (session->queue[0] != request) {
        buf_add(&request->waiting, data, size);
        return 0;
    }
    session->last_frame_ms = clock_ms();
    int r = wire_data(request->offset + request->done, data, size);
    return r == 0 && session->received_bytes - session->reported_bytes >= REPORT_BYTES ? say_traffic(session) : r;
}

static struct request *request_new(struct session *session, uint64_t offset, uint64_t bytes) {
    struct request *request = mem_array(1, sizeof(*request));
    request->session = session;
    request->offset = offset;
    request->bytes = bytes;
    return request;
}

static void request_free(struct request *request) {
    attempt_drop(request);
    buf_done(&request->waiting);
    free(request);
}

static void drop_all(struct session *session) {
    for (size_t i = 0; i < session->count; i++)
        request_free(session->queue[i]);
    session->count = 0;
}

static int add_request(struct session *session, const char *line, size_t size, struct err *err) {
    uint64_t offset, bytes;
    int r = wire_parse_request(line, size, &offset, &bytes, err);
    if (r == 0)
        session->queue[session->count++] = request_new(session, offset, bytes);
    return r;
}

// Lines that are complete, as long as the queue has room.
static int split_input(struct session *session, struct input *input, struct err *err) {
    char *newline;
    while (session->count < SESSION_QUEUE && (newline = memchr(input->line, '\n', input->size))) {
        int r = add_request(session, input->line, (size_t)(newline - input->line), err);
        if (r < 0)
            return r;
        input->size -= (size_t)(newline + 1 - input->line);
        memmove(input->line, newline + 1, input->size);
    }
    if (input->size == sizeof(input->line) && session->count < SESSION_QUEUE)
        return err_set(err, -EINVAL, "a request is too long");
    return 0;
}

static bool wants_input(const struct session *session, const struct input *input) {
    return !session->is_whole && !input->is_ended && session->count < SESSION_QUEUE && input->size < sizeof(input->line);
}

// Reads without waiting.
static int read_input(struct session *session, struct input *input, struct err *err) {
    int r = session->is_whole ? 0 : split_input(session, input, err);
    while (r == 0 && wants_input(session, input)) {
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&fd, 1, 0) <= 0)
            return 0;
        ssize_t got = read(STDIN_FILENO, input->line + input->size, sizeof(input->line) - input->size);
        if (got < 0 && errno == EINTR)
            continue;
        input->is_ended = got <= 0;
        input->size += got > 0 ? (size_t)got : 0;
        r = split_input(session, input, err);
    }
    return r;
}

// Until the first answer is in, one request runs alone: a server without ranges would send the whole file to each.
static size_t running_limit(const struct session *session) {
    return session->is_probed ? session->parallel : 1;
}

static int start_due(struct session *session, struct err *err) {
    int64_t now = clock_ms();
    int r = 0;
    for (size_t i = 0; r == 0 && i < session->count && i < running_limit(session); i++) {
        struct request *request = session->queue[i];
        if (!request->easy && !request->is_finished && now >= request->not_before_ms && now >= session->not_before_ms)
            r = attempt_start(request, err);
    }
    return r;
}

// The server sends the whole file whatever is asked: from now on there is one request, for all of it.
static int become_whole(struct session *session) {
    drop_all(session);
    session->is_whole = true;
    session->queue[session->count++] = request_new(session, 0, UINT64_MAX);
    session->last_frame_ms = clock_ms();
    return session->identity.has_total ? wire_print("whole %llu", (unsigned long long)session->identity.total) : wire_print("whole -");
}

static int finished(struct session *session, struct request *request, CURLcode code, struct err *err) {
    int r = attempt_finish(request, code, err);
    if (r < 0)
        return r;
    if (request->verdict == VERDICT_PART || request->verdict == VERDICT_END)
        session->is_probed = true;
    request->is_finished = r == 1;
    if (request->is_finished)
        request->failures = 0;
    return request->verdict == VERDICT_WHOLE && request->bytes != UINT64_MAX ? become_whole(session) : 0;
}

static int reap(struct session *session, struct err *err) {
    int left, r = 0;
    CURLMsg *message;
    while (r == 0 && (message = curl_multi_info_read(session->multi, &left))) {
        struct request *request = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
        r = finished(session, request, code, err);
    }
    return r;
}

// Prints what the first request has kept, lets its connection go on, and takes it out when it is complete; then the next one is first.
static int advance(struct session *session) {
    int r = 0;
    while (r == 0 && session->count) {
        struct request *first = session->queue[0];
        if (first->waiting.size) {
            r = wire_data(first->offset + first->done - first->waiting.size, first->waiting.data, first->waiting.size);
            buf_done(&first->waiting);
            session->last_frame_ms = clock_ms();
        }
        if (first->is_paused && first->easy) {
            first->is_paused = false;
            curl_easy_pause(first->easy, CURLPAUSE_CONT);
        }
        if (r < 0 || !first->is_finished)
            return r;
        request_free(first);
        session->count--;
        memmove(session->queue, session->queue + 1, session->count * sizeof(session->queue[0]));
        r = say_traffic(session);
        if (r == 0)
            r = wire_print("end");
    }
    return r;
}

// How long nothing can be due.
static int wait_ms(const struct session *session, const struct input *input) {
    int64_t now = clock_ms(), until = session->last_frame_ms + ALIVE_MS;
    bool is_over = !session->count && (input->is_ended || session->is_whole);
    bool has_line = !session->is_whole && session->count < SESSION_QUEUE && memchr(input->line, '\n', input->size);
    if (is_over || has_line)
        return 0;
    for (size_t i = 0; i < session->count && i < running_limit(session); i++) {
        const struct request *request = session->queue[i];
        int64_t due = request->not_before_ms > session->not_before_ms ? request->not_before_ms : session->not_before_ms;
        if (!request->easy && !request->is_finished && due < until)
            until = due;
    }
    return until <= now ? 0 : (int)(until - now);
}

static int wait_for_something(struct session *session, const struct input *input) {
    struct curl_waitfd fd = {.fd = STDIN_FILENO, .events = CURL_WAIT_POLLIN};
    curl_multi_poll(session->multi, &fd, wants_input(session, input) ? 1 : 0, wait_ms(session, input), NULL);
    if (clock_ms() - session->last_frame_ms < ALIVE_MS)
        return 0;
    session->last_frame_ms = clock_ms();
    return wire_print("alive");
}

static int serve(struct session *session, struct err *err) {
    struct input input = {0};
    int running = 0;
    for (;;) {
        int r = read_input(session, &input, err);
        if (r == 0 && !session->count && (input.is_ended || session->is_whole))
            return input.size && !session->is_whole ? err_set(err, -EINVAL, "a request has no end") : 0;
        if (r == 0)
            r = start_due(session, err);
        if (r == 0 && curl_multi_perform(session->multi, &running) != CURLM_OK)
            r = err_set(err, -EIO, "libcurl failed");
        if (r == 0)
            r = reap(session, err);
        if (r == 0 && (r = advance(session)) < 0)
            err_sys(err, r, "cannot write to standard output");
        if (r == 0 && (r = wait_for_something(session, &input)) < 0)
            err_sys(err, r, "cannot write to standard output");
        if (r < 0)
            return r;
    }
}

int session_run(const struct session_options *options, struct err *err) {
    struct session session = {.options = options, .url = str_dup(options->url), .parallel = SESSION_PARALLEL, .last_frame_ms = clock_ms()};
    session.must_be_https = strncasecmp(options->url, "https:", 6) == 0;
    int r = -ENOMEM;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && (session.multi = curl_multi_init()))
        r = serve(&session, err);
    else
        err_set(err, r, "libcurl cannot be set up");
    drop_all(&session);
    if (session.multi)
        curl_multi_cleanup(session.multi);
    curl_global_cleanup();
    free(session.url);
    if (r == 0 || r == -EPIPE)
        return r;
    err_prefix(err, r, "%.*s", address_shown(options->url), options->url);
    int said = say_traffic(&session);
    if (said == 0)
        said = wire_failed(r, err);
    return said < 0 ? said : r;
}
