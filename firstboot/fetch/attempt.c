// SPDX-License-Identifier: Apache-2.0
// One HTTP exchange of a range: what is sent, what of the answer is believed, and what its end means. Redirects are followed here and not by
// libcurl, because each hop is judged.
#include "common/clock.h"
#include "firstboot/fetch/address.h"
#include "firstboot/fetch/session.h"
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#define CURL_TOO_LARGE 100 // CURLE_TOO_LARGE of libcurl 8; version 7 calls it out of memory

static int refuse(struct request *request, int code, const char *text) {
    err_set(&request->err, code, "%s", text);
    request->refused = code;
    return 0;
}

// The head is complete: what it means, before any byte of its body is taken.
static bool judge(struct request *request) {
    struct session *session = request->session;
    bool is_whole = request->bytes == UINT64_MAX;
    const struct wanted wanted = {request->offset + request->done, is_whole ? 0 : request->offset + request->bytes - 1, is_whole};
    request->verdict = response_judge(&request->response, &wanted, &session->identity, &request->err);
    request->skip = 0;
    if (request->verdict == VERDICT_REFUSED || request->verdict == VERDICT_CHANGED)
        request->refused = request->verdict == VERDICT_CHANGED ? -EAGAIN : -EIO;
    else if (request->verdict == VERDICT_WHOLE && is_whole)
        request->skip = request->done;
    else if (request->verdict == VERDICT_WHOLE)
        return false; // the session has to know: ends the exchange
    return request->refused == 0;
}

static size_t take_header(char *data, size_t size, size_t count, void *context) {
    struct request *request = context;
    size_t bytes = size * count;
    bool was_complete = request->response.is_complete && request->response.status >= 200;
    request->refused = response_line(&request->response, data, bytes, &request->err);
    if (request->refused < 0)
        return 0;
    bool is_complete = request->response.is_complete && request->response.status >= 200;
    return was_complete || !is_complete || judge(request) ? bytes : 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *context) {
    struct request *request = context;
    struct session *session = request->session;
    size_t bytes = size * count, from = 0;
    if (session->queue[0] != request && request->waiting.size >= SESSION_MAX_WAITING_BYTES) {
        request->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    session->received_bytes += bytes;
    if (request->verdict != VERDICT_PART && request->verdict != VERDICT_WHOLE) {
        request->waste += bytes;
        return request->waste > SESSION_MAX_WASTE_BYTES ? 0 : bytes;
    }
    if (request->skip) {
        from = request->skip < bytes ? (size_t)request->skip : bytes;
        request->skip -= from;
    }
    if (bytes - from > request->bytes - request->done)
        return (size_t)refuse(request, -EIO, "more bytes came than were announced");
    int r = bytes > from ? session_take(request, data + from, bytes - from) : 0;
    if (r < 0)
        return (size_t)refuse(request, r, "nobody reads any more");
    request->done += bytes - from;
    request->progress += bytes - from;
    return bytes;
}

// Called with the resolved address of every new connection.
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    struct request *request = context;
    struct session *session = request->session;
    (void)purpose;
    bool is_loopback = address_is_loopback(&address->addr);
    if (!request->is_redirected && is_loopback)
        session->origin_is_loopback = true;
    if (request->is_redirected && (address_is_special(&address->addr) || (is_loopback && !session->origin_is_loopback))) {
        refuse(request, -EIO, "a redirect leads to an address of this machine or of a metadata service");
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool set_numbers(CURL *easy, const struct session_options *options) {
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_CONNECTTIMEOUT, options->connect_seconds},
        {CURLOPT_LOW_SPEED_LIMIT, options->slow_bytes},
        {CURLOPT_LOW_SPEED_TIME, options->slow_seconds},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
        {CURLOPT_HTTP_CONTENT_DECODING, 0},
        {CURLOPT_BUFFERSIZE, SESSION_BUFFER_BYTES},
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (curl_easy_setopt(easy, numbers[i].option, numbers[i].value) != CURLE_OK)
            return false;
    return !options->ca_file || curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file) == CURLE_OK;
}

static bool set_up(struct request *request) {
    const struct session *session = request->session;
    CURL *easy = request->easy;
    return set_numbers(easy, session->options) && curl_easy_setopt(easy, CURLOPT_URL, session->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "webops/" WEBOPS_VERSION) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, request) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PRIVATE, request) == CURLE_OK;
}

static void add_header(struct request *request, char *line) {
    struct curl_slist *longer = curl_slist_append(request->headers, line);
    if (longer)
        request->headers = longer;
    free(line);
}

static void add_headers(struct request *request) {
    const char *validator = identity_if_range(&request->session->identity);
    add_header(request, str_dup("Accept-Encoding: identity"));
    if (request->bytes == UINT64_MAX)
        return;
    add_header(request, str_printf("Range: bytes=%llu-%llu", (unsigned long long)(request->offset + request->done),
                                   (unsigned long long)(request->offset + request->bytes - 1)));
    if (validator)
        add_header(request, str_printf("If-Range: %s", validator));
}

int attempt_start(struct request *request, struct err *err) {
    struct session *session = request->session;
    request->response = (struct response){0};
    request->verdict = VERDICT_LATER;
    request->refused = 0;
    request->progress = request->waste = 0;
    request->is_paused = false;
    request->is_redirected = strcmp(session->url, session->options->url) != 0;
    err_set(&request->err, -EAGAIN, "the server closed the connection");
    request->easy = curl_easy_init();
    if (request->easy)
        add_headers(request);
    if (!request->easy || !set_up(request))
        return err_set(err, -EINVAL, "the address is not usable");
    if (curl_multi_add_handle(session->multi, request->easy) != CURLM_OK)
        return err_set(err, -EINVAL, "libcurl takes no request");
    session->requests++;
    return 0;
}

void attempt_drop(struct request *request) {
    if (request->easy) {
        curl_multi_remove_handle(request->session->multi, request->easy);
        curl_easy_cleanup(request->easy);
    }
    curl_slist_free_all(request->headers);
    request->easy = NULL;
    request->headers = NULL;
}

// Doubles with each failure, between half and the whole of it, so that many machines do not come back at the same moment.
static int64_t backoff_ms(const struct session_options *options, unsigned failures) {
    int64_t wait = options->backoff_ms;
    for (unsigned i = 1; i < failures && wait < options->longest_wait_ms; i++)
        wait *= 2;
    if (wait > options->longest_wait_ms)
        wait = options->longest_wait_ms;
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != sizeof(random))
        return wait;
    return wait / 2 + (int64_t)(random % (uint64_t)(wait / 2 + 1));
}

static int retry(struct request *request, struct err *err) {
    struct session *session = request->session;
    const struct session_options *options = session->options;
    int64_t asked = request->verdict == VERDICT_LATER
                        ? retry_after_ms(request->response.values[RESPONSE_RETRY], time(NULL), options->longest_wait_ms)
                        : 0;
    // What the slowest connection that is allowed would have brought is progress.
    bool has_progress = request->progress >= (uint64_t)options->slow_bytes * (uint64_t)options->slow_seconds;
    request->failures = has_progress ? 0 : request->failures + 1;
    if (request->failures >= (unsigned)options->tries) {
        *err = request->err;
        return err_prefix(err, -EAGAIN, "%u tries in a row", request->failures);
    }
    int64_t wait = request->failures ? backoff_ms(options, request->failures) : 0;
    request->not_before_ms = clock_ms() + (asked > wait ? asked : wait);
    if (request->response.status == 429 || request->response.status == 503) {
        session->not_before_ms = request->not_before_ms;
        session->parallel = session->parallel > 1 ? session->parallel / 2 : 1;
    }
    request->redirects = 0;
    free(session->url); // where a redirect led may be what failed
    session->url = str_dup(options->url);
    return 0;
}

static int follow(struct request *request, const char *url, struct err *err) {
    struct session *session = request->session;
    bool is_https = false;
    if (!url)
        return err_set(err, -EIO, "a redirect leads nowhere");
    if (++request->redirects > SESSION_MAX_REDIRECTS)
        return err_set(err, -EIO, "more than %d redirects", SESSION_MAX_REDIRECTS);
    int r = address_check_redirect(url, session->must_be_https, &is_https, err);
    if (r < 0)
        return r;
    session->must_be_https = session->must_be_https || is_https;
    free(session->url);
    session->url = str_dup(url);
    return 0;
}

// What libcurl could not do and waiting will not change.
static bool is_permanent(CURLcode code) {
    static const CURLcode permanent[] = {CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT, CURLE_SSL_CACERT_BADFILE,
                                         CURLE_WEIRD_SERVER_REPLY};
    for (size_t i = 0; i < ARRAY_SIZE(permanent); i++)
        if (code == permanent[i])
            return true;
    return false;
}

static int finish(struct request *request, CURLcode code, const char *redirect, struct err *err) {
    if (request->refused < 0) {
        *err = request->err;
        return request->refused;
    }
    if (request->verdict == VERDICT_REDIRECT && request->response.is_complete)
        return follow(request, redirect, err);
    if (request->verdict == VERDICT_WHOLE && request->bytes != UINT64_MAX)
        return 0; // the session decides
    if (!request->response.is_complete && (code == CURLE_OUT_OF_MEMORY || (int)code == CURL_TOO_LARGE))
        return err_set(err, -EIO, "the headers are too large"); // libcurl's own limit for one line, 100 KiB
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        return err_set(err, -EIO, "%s; is the machine's clock right?", curl_easy_strerror(code));
    if (is_permanent(code))
        return err_set(err, -EIO, "%s", curl_easy_strerror(code));
    bool is_body = request->verdict == VERDICT_PART || request->verdict == VERDICT_WHOLE;
    if (code != CURLE_OK && (is_body || !request->response.is_complete))
        err_set(&request->err, -EAGAIN, "%s", curl_easy_strerror(code));
    if (request->verdict == VERDICT_END)
        return 1;
    const struct identity *identity = &request->session->identity;
    uint64_t end = request->bytes;
    if (end == UINT64_MAX && !identity->has_total) // only the connection's end says so
        end = code == CURLE_OK ? request->done : UINT64_MAX;
    else if (identity->has_total && (end == UINT64_MAX || end > identity->total - request->offset))
        end = identity->total - request->offset;
    return is_body && request->done == end ? 1 : retry(request, err);
}

int attempt_finish(struct request *request, CURLcode code, struct err *err) {
    char *url = NULL;
    curl_easy_getinfo(request->easy, CURLINFO_REDIRECT_URL, &url);
    cleanup_free char *redirect = url ? str_dup(url) : NULL;
    attempt_drop(request);
    return finish(request, code, redirect, err);
}
