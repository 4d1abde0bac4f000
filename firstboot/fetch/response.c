// SPDX-License-Identifier: Apache-2.0
// Which headers are kept is a table; what they mean together is judged once, when the head is complete.
#include "firstboot/fetch/response.h"
#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *const header_names[RESPONSE_HEADERS] = {
    [RESPONSE_RANGE] = "Content-Range",        [RESPONSE_LENGTH] = "Content-Length", [RESPONSE_CODING] = "Content-Encoding",
    [RESPONSE_TRANSFER] = "Transfer-Encoding", [RESPONSE_TYPE] = "Content-Type",     [RESPONSE_ETAG] = "ETag",
    [RESPONSE_MODIFIED] = "Last-Modified",     [RESPONSE_RETRY] = "Retry-After",
};

static int begin(struct response *response, const char *line, size_t size, struct err *err) {
    const char *space = memchr(line, ' ', size);
    unsigned status = 0;
    if (space)
        for (const char *c = space + 1; c < line + size && c < space + 4 && *c >= '0' && *c <= '9'; c++)
            status = status * 10 + (unsigned)(*c - '0');
    if (status < 100)
        return err_set(err, -EIO, "the answer has no status");
    *response = (struct response){.status = status, .lines = response->lines, .bytes = response->bytes};
    return 0;
}

static int keep(struct response *response, const char *line, size_t size, struct err *err) {
    const char *colon = memchr(line, ':', size), *end = line + size;
    for (int i = 0; colon && i < RESPONSE_HEADERS; i++) {
        if ((size_t)(colon - line) != strlen(header_names[i]) || strncasecmp(line, header_names[i], (size_t)(colon - line)) != 0)
            continue;
        const char *value = colon + 1;
        while (value < end && (*value == ' ' || *value == '\t'))
            value++;
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        size_t bytes = (size_t)(end - value);
        if (bytes >= RESPONSE_VALUE_BYTES || memchr(value, 0, bytes))
            return err_set(err, -EIO, "header %s is not usable", header_names[i]);
        char *kept = response->values[i];
        if (kept[0] && (strlen(kept) != bytes || memcmp(kept, value, bytes) != 0))
            return err_set(err, -EIO, "header %s came twice with different values", header_names[i]);
        memcpy(kept, value, bytes);
        kept[bytes] = 0;
        return 0;
    }
    return 0;
}

int response_line(struct response *response, const char *line, size_t size, struct err *err) {
    response->lines++;
    response->bytes += size;
    if (size > RESPONSE_MAX_LINE_BYTES || response->lines > RESPONSE_MAX_LINES || response->bytes > RESPONSE_MAX_BYTES)
        return err_set(err, -EIO, "the headers are too large");
    while (size && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    if (response->is_complete && response->status >= 200)
        return 0;
    if (!response->status || response->is_complete)
        return begin(response, line, size, err);
    if (size)
        return keep(response, line, size, err);
    response->is_complete = true;
    return 0;
}

static enum verdict refuse(struct err *err, const char *text) {
    err_set(err, -EIO, "%s", text);
    return VERDICT_REFUSED;
}

static bool is_later(unsigned status) {
    return status == 408 || status == 425 || status == 429 || (status >= 500 && status <= 599);
}

static bool is_redirect(unsigned status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// The total must be the known one; entity tag and date must be, where both sides have them.
static enum verdict identify(const struct response *response, uint64_t total, bool has_total, enum verdict verdict,
                             struct identity *identity, struct err *err) {
    const char *etag = response->values[RESPONSE_ETAG], *modified = response->values[RESPONSE_MODIFIED];
    if ((has_total && identity->has_total && total != identity->total) ||
        (etag[0] && identity->etag[0] && strcmp(etag, identity->etag) != 0) ||
        (modified[0] && identity->modified[0] && strcmp(modified, identity->modified) != 0)) {
        err_set(err, -EAGAIN, "the file on the server changed while it was read");
        return VERDICT_CHANGED;
    }
    if (has_total) {
        identity->has_total = true;
        identity->total = total;
    }
    if (etag[0])
        memcpy(identity->etag, etag, RESPONSE_VALUE_BYTES);
    if (modified[0])
        memcpy(identity->modified, modified, RESPONSE_VALUE_BYTES);
    return verdict;
}

// Content-Length in *ret_length; false when it is there and no number.
static bool content_length(const struct response *response, bool *ret_has, uint64_t *ret_length) {
    const char *text = response->values[RESPONSE_LENGTH], *end = text + strlen(text);
    *ret_has = text[0] != 0;
    return !text[0] || (decimal_take(&text, end, ret_length) && text == end);
}

static enum verdict judge_part(const struct response *response, const struct wanted *wanted, struct identity *identity, struct err *err) {
    const char *value = response->values[RESPONSE_RANGE];
    struct content_range range;
    bool has_length;
    uint64_t length;
    if (wanted->is_whole)
        return refuse(err, "a part came (206) that nobody asked for");
    if (strncasecmp(response->values[RESPONSE_TYPE], "multipart/", 10) == 0)
        return refuse(err, "a multipart answer came for a single range");
    if (!value[0])
        return refuse(err, "a part came (206) without Content-Range");
    if (content_range_parse(value, strlen(value), &range, err) < 0)
        return VERDICT_REFUSED;
    uint64_t last = wanted->last < range.total ? wanted->last : range.total - 1;
    if (range.is_unsatisfied || range.first != wanted->first || range.last != last)
        return refuse(err, "another range came than the one that was asked for");
    if (!content_length(response, &has_length, &length) || (has_length && length != last - wanted->first + 1))
        return refuse(err, "Content-Length contradicts Content-Range");
    return identify(response, range.total, true, VERDICT_PART, identity, err);
}

static enum verdict judge_whole(const struct response *response, struct identity *identity, struct err *err) {
    bool has_length;
    uint64_t length = 0;
    if (response->values[RESPONSE_RANGE][0])
        return refuse(err, "Content-Range came with status 200");
    if (!content_length(response, &has_length, &length))
        return refuse(err, "Content-Length is no number");
    return identify(response, length, has_length, VERDICT_WHOLE, identity, err);
}

static enum verdict judge_end(const struct response *response, const struct wanted *wanted, struct identity *identity, struct err *err) {
    const char *value = response->values[RESPONSE_RANGE];
    struct content_range range;
    if (wanted->is_whole || !value[0] || content_range_parse(value, strlen(value), &range, err) < 0 || !range.is_unsatisfied ||
        range.total > wanted->first)
        return refuse(err, "the server refuses the range (416)");
    return identify(response, range.total, true, VERDICT_END, identity, err);
}

enum verdict response_judge(const struct response *response, const struct wanted *wanted, struct identity *identity, struct err *err) {
    const char *coding = response->values[RESPONSE_CODING];
    if (is_later(response->status)) {
        err_set(err, -EAGAIN, "HTTP status %u", response->status);
        return VERDICT_LATER;
    }
    if (is_redirect(response->status))
        return VERDICT_REDIRECT;
    if (response->status == 416)
        return judge_end(response, wanted, identity, err);
    if (response->status != 200 && response->status != 206) {
        err_set(err, -EIO, "HTTP status %u", response->status);
        return VERDICT_REFUSED;
    }
    if (coding[0] && strcasecmp(coding, "identity") != 0)
        return refuse(err, "the answer is compressed (Content-Encoding), which was not asked for");
    if (response->values[RESPONSE_TRANSFER][0] && response->values[RESPONSE_LENGTH][0])
        return refuse(err, "both Transfer-Encoding and Content-Length came");
    if (strncasecmp(response->values[RESPONSE_TYPE], "text/html", 9) == 0) {
        err_set(err, -EAGAIN, "a web page came instead of the file: a login page of this network, or a wrong address");
        return VERDICT_CHANGED;
    }
    return response->status == 206 ? judge_part(response, wanted, identity, err) : judge_whole(response, identity, err);
}

const char *identity_if_range(const struct identity *identity) {
    return identity->etag[0] == '"' ? identity->etag : NULL;
}

int64_t retry_after_ms(const char *value, time_t now, int64_t longest_ms) {
    const char *at = value, *end = value + strlen(value);
    uint64_t seconds = 0;
    if (!value[0])
        return 0;
    if (!decimal_take(&at, end, &seconds) || at != end) {
        if (strspn(value, "0123456789") == strlen(value)) // too large a number is a long time
            return longest_ms;
        time_t date = curl_getdate(value, NULL);
        if (date == -1)
            return 0;
        seconds = date > now ? (uint64_t)(date - now) : 0;
    }
    if (seconds > (uint64_t)longest_ms / 1000)
        return longest_ms;
    return seconds < 1 ? (longest_ms < 1000 ? longest_ms : 1000) : (int64_t)seconds * 1000;
}
