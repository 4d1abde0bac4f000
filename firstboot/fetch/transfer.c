// SPDX-License-Identifier: Apache-2.0
// libcurl with everything bounded: schemes, redirects, size, time, speed. Proxies from the environment are not used: the addresses asked
// here (metadata services) are link-local.
#include "firstboot/fetch/transfer.h"
#include "firstboot/fetch/address.h"
#include <curl/curl.h>
#include <errno.h>
#include <string.h>

#define MAX_REDIRECTS 5L
#define LOW_SPEED_BYTES 64L // per second …
#define LOW_SPEED_SECONDS 10L // … for this long ends a transfer

struct sink {
    struct buf *body;
    size_t max_bytes;
    bool is_over;
};

static size_t take_bytes(char *data, size_t size, size_t count, void *context) {
    struct sink *sink = context;
    size_t bytes = size * count;
    if (bytes > sink->max_bytes - sink->body->size) {
        sink->is_over = true;
        return 0; // ends the transfer
    }
    buf_add(sink->body, data, bytes);
    return bytes;
}

struct option_value {
    CURLoption option;
    long value;
};

static bool set_numbers(CURL *curl, const struct transfer *transfer) {
    const struct option_value options[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 1},
        {CURLOPT_MAXREDIRS, MAX_REDIRECTS},
        {CURLOPT_TIMEOUT, transfer->timeout_seconds},
        {CURLOPT_CONNECTTIMEOUT, transfer->timeout_seconds < 10 ? transfer->timeout_seconds : 10},
        {CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES},
        {CURLOPT_LOW_SPEED_TIME, LOW_SPEED_SECONDS},
        {CURLOPT_SSL_VERIFYPEER, 1},
        {CURLOPT_SSL_VERIFYHOST, 2},
        {CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        if (curl_easy_setopt(curl, options[i].option, options[i].value) != CURLE_OK)
            return false;
    return true;
}

static bool set_up(CURL *curl, const struct transfer *transfer, const struct curl_slist *headers, struct sink *sink) {
    return set_numbers(curl, transfer) && curl_easy_setopt(curl, CURLOPT_URL, transfer->url) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)transfer->max_bytes) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "webops/" WEBOPS_VERSION) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink) == CURLE_OK;
}

// What curl could not do, as an errno: what cannot get better by waiting is permanent.
static int curl_errno(CURLcode code) {
    static const CURLcode permanent[] = {CURLE_UNSUPPORTED_PROTOCOL, CURLE_URL_MALFORMAT, CURLE_TOO_MANY_REDIRECTS,
                                         CURLE_PEER_FAILED_VERIFICATION};
    for (size_t i = 0; i < ARRAY_SIZE(permanent); i++)
        if (code == permanent[i])
            return -EIO;
    return code == CURLE_FILESIZE_EXCEEDED ? -EFBIG : -EAGAIN;
}

static int judge(CURL *curl, CURLcode code, const struct transfer *transfer, const struct sink *sink, struct err *err) {
    long status = 0;
    int length = address_shown(transfer->url);
    if (sink->is_over || code == CURLE_FILESIZE_EXCEEDED)
        return err_set(err, -EFBIG, "%.*s: the answer is larger than %zu bytes", length, transfer->url, transfer->max_bytes);
    if (code != CURLE_OK)
        return err_set(err, curl_errno(code), "%.*s: %s", length, transfer->url, curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->missing_ok && (status == 404 || status == 204))
        return 1;
    if (status == 200)
        return 0;
    bool is_temporary = status == 408 || status == 429 || status >= 500;
    return err_set(err, is_temporary ? -EAGAIN : -EIO, "%.*s: HTTP status %ld", length, transfer->url, status);
}

static int perform(CURL *curl, const struct transfer *transfer, struct buf *ret_body, struct err *err) {
    struct sink sink = {.body = ret_body, .max_bytes = transfer->max_bytes};
    struct curl_slist *headers = transfer->header ? curl_slist_append(NULL, transfer->header) : NULL;
    int r;
    if ((transfer->header && (!headers || strpbrk(transfer->header, "\r\n"))) || !set_up(curl, transfer, headers, &sink))
        r = err_set(err, -EINVAL, "the address or the header is not usable");
    else
        r = judge(curl, curl_easy_perform(curl), transfer, &sink, err);
    curl_slist_free_all(headers);
    return r;
}

int transfer_run(const struct transfer *transfer, struct buf *ret_body, struct err *err) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, -ENOMEM, "libcurl cannot be set up");
    CURL *curl = curl_easy_init();
    int r = curl ? perform(curl, transfer, ret_body, err) : err_set(err, -ENOMEM, "libcurl cannot be set up");
    if (r != 0) // also an error page that came with a 404
        buf_done(ret_body);
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    return r < 0 ? r : 0;
}
