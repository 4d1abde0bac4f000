// SPDX-License-Identifier: Apache-2.0
// GET, with a range when it goes on. Each try begins at the address that was given: where a redirection led may not be valid for long.
#include "builder/flash/http.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/meter.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define MAX_REDIRECTIONS 5
#define MAX_INTERIM 8 // answers before the answer (1xx)
#define LONGEST_WAIT_MS 30000

int http_init(const char *url, const struct http_options *options, struct http *ret_http, struct err *err) {
    *ret_http = (struct http){.options = *options, .connection = {.fd = -1}};
    int r = url_parse(url, &ret_http->url, err);
    if (r >= 0 && (ret_http->url.is_tls || options->ca_file))
        r = tls_new(options->ca_file, &ret_http->tls, err);
    if (r < 0)
        http_done(ret_http);
    return r;
}

void http_done(struct http *http) {
    connection_close(&http->connection);
    tls_free(http->tls);
    url_done(&http->url);
    *http = (struct http){.connection = {.fd = -1}};
}

static int send_request(struct http *http, const struct url *url, struct err *err) {
    cleanup_buf struct buf text = {0};
    buf_printf(&text, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: webops-flash/" WEBOPS_VERSION "\r\n", url->target, url->authority);
    buf_add_str(&text, "Accept-Encoding: identity\r\nConnection: close\r\n");
    if (http->at > 0)
        buf_printf(&text, "Range: bytes=%" PRIu64 "-\r\n", http->at);
    if (http->at > 0 && *http->etag)
        buf_printf(&text, "If-Range: %s\r\n", http->etag);
    buf_add_str(&text, "\r\n");
    return connection_write(&http->connection, text.data, text.size, err);
}

// Up to the end of a head; what came behind it stays in the buffer.
static int read_head(struct http *http, struct http_head *ret_head, struct err *err) {
    size_t size;
    while (!(size = http_head_size(http->in + http->in_at, http->in_size - http->in_at))) {
        if (http->in_size == sizeof(http->in))
            return err_set(err, -EPROTO, "the headers of the answer are larger than %d bytes", HTTP_HEAD_MAX_BYTES);
        ssize_t got = connection_read(&http->connection, http->in + http->in_size, sizeof(http->in) - http->in_size, err);
        if (got <= 0)
            return got < 0 ? (int)got : err_set(err, -EAGAIN, "the connection was closed before the answer");
        http->in_size += (size_t)got;
    }
    const char *head = http->in + http->in_at;
    http->in_at += size;
    return http_head_parse(head, size, ret_head, err);
}

static int ask(struct http *http, const struct url *url, struct http_head *ret_head, struct err *err) {
    connection_close(&http->connection);
    http->in_at = http->in_size = 0;
    int r = connection_open(url, http->tls, &http->options.limits, &http->connection, err);
    if (r >= 0)
        r = send_request(http, url, err);
    if (r >= 0)
        r = read_head(http, ret_head, err);
    for (int i = 0; r >= 0 && ret_head->status < 200; i++)
        r = i == MAX_INTERIM ? err_set(err, -EPROTO, "only interim answers come") : read_head(http, ret_head, err);
    return r < 0 ? err_prefix(err, r, "%s", url->text) : 0;
}

static bool is_redirection(unsigned status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int follow(struct http *http, struct url *url, struct http_head *head, struct err *err) {
    int r = ask(http, url, head, err);
    for (int i = 0; r >= 0 && is_redirection(head->status); i++) {
        struct url next = {0};
        if (i == MAX_REDIRECTIONS)
            return err_set(err, -EPROTO, "%s leads to more than %d other addresses", http->url.text, MAX_REDIRECTIONS);
        r = url_join(url, head->values[HTTP_LOCATION], &next, err);
        if (r < 0)
            return err_prefix(err, r, "%s leads elsewhere", url->text);
        if (url->is_tls && !next.is_tls) {
            r = err_set(err, -EPERM, "%s leads to %s: from https to http is not followed", url->text, next.text);
            url_done(&next);
            return r;
        }
        url_done(url);
        *url = next;
        r = !next.is_tls || http->tls ? 0 : tls_new(http->options.ca_file, &http->tls, err);
        if (r >= 0)
            r = ask(http, url, head, err);
    }
    return r;
}

static int refuse(const struct http_head *head, const struct url *url, struct err *err) {
    static const struct {
        unsigned status;
        int code;
        const char *says;
    } rows[] = {{401, -EPERM, " (it wants a password, which is not sent)"},
                {403, -EACCES, " (forbidden)"},
                {404, -ENOENT, " (not found)"},
                {408, -EAGAIN, " (timeout)"},
                {410, -ENOENT, " (not there any more)"},
                {429, -EAGAIN, " (too many requests)"}};
    int code = head->status >= 500 ? -EAGAIN : -EPROTO;
    const char *says = "";
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].status == head->status) {
            code = rows[i].code;
            says = rows[i].says;
        }
    return err_set(err, code, "%s: the server answered %u%s", url->text, head->status, says);
}

static int judge_first(struct http *http, const struct http_head *head, const struct url *url, struct err *err) {
    if (head->status != 200)
        return refuse(head, url, err);
    if (!head->has_length)
        return err_set(err, -EPROTO, "%s: the server does not say how large the file is", url->text);
    http->total = head->length;
    if (http_is_strong(head->values[HTTP_ETAG]))
        memcpy(http->etag, head->values[HTTP_ETAG], sizeof(http->etag));
    return 0;
}

static int judge_part(const struct http *http, const struct http_head *head, const struct url *url, struct err *err) {
    if (head->status == 200 || head->status == 416 || (head->status == 206 && (head->first != http->at || head->total != http->total)))
        return err_set(err, -ESTALE,
                       "%s: the server does not go on at byte %" PRIu64 ": the file was changed meanwhile, or it gives no parts", url->text,
                       http->at);
    return head->status == 206 ? 0 : refuse(head, url, err);
}

static int attempt(struct http *http, struct err *err) {
    struct http_head head;
    cleanup_url struct url url = {0};
    int r = url_parse(http->url.text, &url, err);
    if (r >= 0)
        r = follow(http, &url, &head, err);
    http->begun_at = http->at;
    if (r >= 0)
        r = http->at > 0 ? judge_part(http, &head, &url, err) : judge_first(http, &head, &url, err);
    return r;
}

int http_start(struct http *http, struct err *err) {
    return attempt(http, err);
}

static void wait_before(unsigned ms) {
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

static unsigned wait_ms(const struct http *http) {
    uint64_t ms = http->options.backoff_ms;
    for (unsigned i = 1; i < http->failures && ms < LONGEST_WAIT_MS; i++)
        ms *= 2;
    return ms < LONGEST_WAIT_MS ? (unsigned)ms : LONGEST_WAIT_MS;
}

// The connection is of no use any more, and `err` says why. A few bytes per try are no success, or a server that trickles would be given as many tries as
// it likes.
static int go_on(struct http *http, struct err *err) {
    int r = -EAGAIN;
    if (http->at - http->begun_at >= HTTP_WORTH_BYTES)
        http->failures = 0;
    while (r == -EAGAIN) {
        char size[METER_SIZE_BYTES];
        if (++http->failures >= http->options.tries)
            return err_prefix(err, r, "%s stopped after %s, and %u tries in a row failed", http->url.text, meter_size(http->at, size),
                              http->failures);
        log_warn("%s, after %s; going on in %u s", err->text, meter_size(http->at, size), (wait_ms(http) + 999) / 1000);
        wait_before(wait_ms(http));
        r = attempt(http, err);
    }
    return r;
}

static ssize_t read_body(struct http *http, void *data, size_t size, struct err *err) {
    uint64_t left = http->total - http->at;
    size_t most = left < size ? (size_t)left : size, there = http->in_size - http->in_at;
    if (there == 0) {
        ssize_t got = connection_read(&http->connection, data, most, err);
        return got != 0 ? got : err_set(err, -EAGAIN, "%s: the connection was closed too early", http->url.text);
    }
    most = there < most ? there : most;
    memcpy(data, http->in + http->in_at, most);
    http->in_at += most;
    return (ssize_t)most;
}

ssize_t http_read(struct http *http, void *data, size_t size, struct err *err) {
    while (http->at < http->total) {
        ssize_t got = read_body(http, data, size, err);
        if (got > 0) {
            http->at += (uint64_t)got;
            return got;
        }
        int r = go_on(http, err);
        if (r < 0)
            return r;
    }
    return 0;
}
