// SPDX-License-Identifier: Apache-2.0
// Which headers are kept is a table; what they mean together is judged once all are there.
#include "builder/flash/httphead.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

static const char *const names[HTTP_HEADERS] = {
    [HTTP_LENGTH] = "Content-Length",   [HTTP_RANGE] = "Content-Range", [HTTP_TRANSFER] = "Transfer-Encoding",
    [HTTP_CODING] = "Content-Encoding", [HTTP_ETAG] = "ETag",           [HTTP_LOCATION] = "Location",
};

size_t http_head_size(const char *data, size_t size) {
    for (size_t at = 0, line = 0; at < size; at++) {
        if (data[at] != '\n')
            continue;
        size_t length = at - line;
        if (length == 0 || (length == 1 && data[line] == '\r'))
            return at + 1;
        line = at + 1;
    }
    return 0;
}

static bool take_number(const char **at, uint64_t *ret_number) {
    uint64_t value = 0;
    const char *start = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        if (value > HTTP_MAX_LENGTH / 10)
            return false;
        value = value * 10 + (uint64_t)(**at - '0');
    }
    *ret_number = value;
    return *at > start;
}

// "HTTP/1.1 206 Partial Content"
static bool parse_status(const char *line, size_t size, unsigned *ret_status) {
    unsigned status = 0;
    if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
        return false;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        status = status * 10 + (unsigned)(line[i] - '0');
    }
    *ret_status = status;
    return status >= 100 && (size == 12 || line[12] == ' ');
}

static int keep(struct http_head *head, const char *line, size_t size, struct err *err) {
    const char *colon = memchr(line, ':', size), *end = line + size;
    if (!colon || memchr(line, 0, size))
        return err_set(err, -EPROTO, "the answer has a line that is no header");
    for (int i = 0; i < HTTP_HEADERS; i++) {
        if ((size_t)(colon - line) != strlen(names[i]) || strncasecmp(line, names[i], strlen(names[i])) != 0)
            continue;
        const char *value = colon + 1;
        while (value < end && (*value == ' ' || *value == '\t'))
            value++;
        while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        size_t bytes = (size_t)(end - value);
        char *kept = head->values[i];
        if (bytes >= HTTP_VALUE_BYTES)
            return err_set(err, -EPROTO, "the header %s is too large", names[i]);
        if (*kept && (strlen(kept) != bytes || memcmp(kept, value, bytes) != 0))
            return err_set(err, -EPROTO, "the header %s is there twice, with different values", names[i]);
        memcpy(kept, value, bytes);
        kept[bytes] = 0;
    }
    return 0;
}

// "bytes 100-199/200"
static bool parse_range(const char *text, struct http_head *head) {
    uint64_t last;
    if (strncmp(text, "bytes ", 6) != 0)
        return false;
    text += 6;
    if (!take_number(&text, &head->first) || *text++ != '-' || !take_number(&text, &last) || *text++ != '/' ||
        !take_number(&text, &head->total) || *text)
        return false;
    return head->first <= last && last < head->total && (!head->has_length || head->length == last - head->first + 1);
}

static bool is_identity(const char *coding) {
    return !*coding || strcasecmp(coding, "identity") == 0;
}

static int judge(struct http_head *head, struct err *err) {
    const char *length = head->values[HTTP_LENGTH];
    head->has_length = *length;
    if (*length && (!take_number(&length, &head->length) || *length))
        return err_set(err, -EPROTO, "the header Content-Length is no number");
    head->has_range = head->status == 206;
    if (head->has_range && !parse_range(head->values[HTTP_RANGE], head))
        return err_set(err, -EPROTO, "the answer is a part, but Content-Range does not say which");
    if (head->status >= 300)
        return 0; // its body is not read
    if (!is_identity(head->values[HTTP_TRANSFER]))
        return err_set(err, -EPROTO,
                       "the answer comes in pieces (Transfer-Encoding: %.64s), without its size; a server of plain files tells it",
                       head->values[HTTP_TRANSFER]);
    if (!is_identity(head->values[HTTP_CODING]))
        return err_set(err, -EPROTO, "the server compresses what it sends (Content-Encoding: %.64s)", head->values[HTTP_CODING]);
    return 0;
}

int http_head_parse(const char *data, size_t size, struct http_head *ret_head, struct err *err) {
    const char *end = data + size;
    bool is_first = true;
    *ret_head = (struct http_head){0};
    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        size_t length = (size_t)((newline ? newline : end) - data);
        if (length > 0 && data[length - 1] == '\r')
            length--;
        if (is_first && !parse_status(data, length, &ret_head->status))
            return err_set(err, -EPROTO, "the answer is no HTTP/1");
        int r = is_first || length == 0 ? 0 : keep(ret_head, data, length, err);
        if (r < 0)
            return r;
        is_first = false;
        data = newline ? newline + 1 : end;
    }
    return is_first ? err_set(err, -EPROTO, "the answer is empty") : judge(ret_head, err);
}

bool http_is_strong(const char *etag) {
    return *etag == '"';
}
