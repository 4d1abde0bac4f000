// SPDX-License-Identifier: Apache-2.0
// webops-fetch --ranges: one file on a server, many ranges of it. session.c has the queue and the loop, attempt.c one HTTP exchange.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "firstboot/fetch/response.h"
#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

#define SESSION_QUEUE 32 // requests that are read ahead
#define SESSION_PARALLEL 4 // of them that run
#define SESSION_MAX_WAITING_BYTES (1 << 20) // of a range whose turn has not come
#define SESSION_BUFFER_BYTES (64 << 10) // of one connection
#define SESSION_MAX_REDIRECTS 5
#define SESSION_MAX_WASTE_BYTES (64 << 10) // of a body that nobody wants

struct session_options {
    const char *url;
    const char *ca_file; // PEM; NULL: the system's
    long slow_bytes, slow_seconds; // less per second for this long ends an exchange
    long connect_seconds;
    long tries; // exchanges of one range in a row that bring less than slow_bytes × slow_seconds
    long backoff_ms; // before the second try; doubles
    long longest_wait_ms; // between tries, also when the server asks for more
};

struct session;
struct request {
    struct session *session;
    uint64_t offset, bytes; // as asked; bytes is UINT64_MAX for the whole file
    uint64_t done; // bytes of it that arrived, from its start
    uint64_t skip; // of the present exchange: what is repeated from its start
    uint64_t progress; // bytes that the present exchange brought
    uint64_t waste; // bytes of a body that is not wanted
    unsigned failures, redirects;
    int64_t not_before_ms;
    CURL *easy; // NULL: no exchange under way
    struct curl_slist *headers;
    struct response response;
    enum verdict verdict;
    int refused; // by a callback: a negative errno, with err; 0 = not
    struct err err;
    struct buf waiting; // arrived before its turn
    bool is_redirected; // the present exchange is not with options->url
    bool is_paused, is_finished;
};

struct session {
    const struct session_options *options;
    char *url; // where redirects led; options->url again after a failure
    bool must_be_https, origin_is_loopback;
    CURLM *multi;
    struct request *queue[SESSION_QUEUE];
    size_t count;
    struct identity identity;
    bool is_probed; // the first answer came: the server takes ranges
    bool is_whole; // it does not
    unsigned parallel;
    int64_t not_before_ms; // 429 and 503 concern all requests
    uint64_t received_bytes, reported_bytes;
    unsigned requests;
    int64_t last_frame_ms;
};

// Serves requests from standard input until it ends. 0, or what was also printed as a "failed" frame; -EPIPE: nobody reads any more.
int session_run(const struct session_options *options, struct err *err) must_check nonnull(1, 2);

// attempt.c: starts an exchange for what is missing of `request`.
int attempt_start(struct request *request, struct err *err) must_check nonnull(1, 2);
// Takes the ended exchange out: 1 the request has all its bytes, 0 go on with another exchange (not_before_ms says when), -errno.
int attempt_finish(struct request *request, CURLcode code, struct err *err) must_check nonnull(1, 3);
void attempt_drop(struct request *request) nonnull(1);
// session.c: bytes of `request` that follow what it already has. Printed when it is its turn, else kept.
int session_take(struct request *request, const void *data, size_t size) must_check nonnull(1, 2);
