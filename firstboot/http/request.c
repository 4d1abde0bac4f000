// SPDX-License-Identifier: Apache-2.0
// Lines end in CRLF and in nothing else; a request with a body, with folded lines or with bytes that no header has is refused.
#include "firstboot/http/request.h"
#include <string.h>
#include <strings.h>

struct span {
    const char *text;
    size_t size;
};

static bool is(struct span span, const char *word) {
    return span.size == strlen(word) && memcmp(span.text, word, span.size) == 0;
}

bool request_is_complete(const char *text, size_t size) {
    return memmem(text, size, "\r\n\r\n", 4) != NULL;
}

// The text up to `end`, which is taken away, too. False when there is no end.
static bool take(struct span *rest, const char *end, struct span *ret_span) {
    const char *at = memmem(rest->text, rest->size, end, strlen(end));
    if (!at)
        return false;
    *ret_span = (struct span){rest->text, (size_t)(at - rest->text)};
    rest->size -= ret_span->size + strlen(end);
    rest->text = at + strlen(end);
    return true;
}

static bool is_token(struct span span) {
    static const char marks[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (size_t i = 0; i < span.size; i++)
        if (span.text[i] == 0 || !strchr(marks, span.text[i]))
            return false;
    return span.size > 0;
}

// No control characters but tabs: so no CR, LF or NUL that another reader could take for the end of something.
static bool is_visible(struct span span) {
    for (size_t i = 0; i < span.size; i++)
        if (((unsigned char)span.text[i] < 0x20 && span.text[i] != '\t') || span.text[i] == 0x7f)
            return false;
    return true;
}

// False when a header line is wrong, or announces a body.
static bool check_header(struct span line) {
    struct span name;
    if (!is_visible(line) || !take(&line, ":", &name) || !is_token(name))
        return false;
    while (line.size > 0 && (line.text[0] == ' ' || line.text[0] == '\t'))
        line.text++, line.size--;
    if (name.size == 17 && strncasecmp(name.text, "Transfer-Encoding", 17) == 0)
        return false;
    return name.size != 14 || strncasecmp(name.text, "Content-Length", 14) != 0 || is(line, "0");
}

static struct request find_target(struct span target) {
    const char *query = memchr(target.text, '?', target.size);
    if (query)
        target.size = (size_t)(query - target.text);
    if (is(target, "/health"))
        return (struct request){.status = 200, .target = REQUEST_HEALTH};
    if (is(target, "/metrics"))
        return (struct request){.status = 200, .target = REQUEST_METRICS};
    return (struct request){.status = 404};
}

struct request request_parse(const char *text, size_t size) {
    static const struct request bad = {.status = 400};
    struct span rest = {text, size}, line, method, target;
    if (size > REQUEST_MAX_BYTES || !take(&rest, "\r\n", &line) || !take(&line, " ", &method) || !take(&line, " ", &target))
        return bad;
    if (!is_token(method) || !is_visible(target) || target.size == 0 || target.text[0] != '/' ||
        (!is(line, "HTTP/1.1") && !is(line, "HTTP/1.0")))
        return bad;
    for (;;) {
        if (!take(&rest, "\r\n", &line))
            return bad;
        if (line.size == 0)
            break;
        if (!check_header(line))
            return bad;
    }
    bool is_head = is(method, "HEAD");
    if (!is_head && !is(method, "GET"))
        return (struct request){.status = 405};
    struct request request = find_target(target);
    request.is_head = is_head;
    return request;
}
