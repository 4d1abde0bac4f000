// SPDX-License-Identifier: Apache-2.0
// Any bytes as the head of an answer: limits hold, what is taken makes sense, and where it leads is an address or refused.
#include "builder/flash/httphead.h"
#include "builder/flash/url.h"
#include "common/buf.h"
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void follow(const char *location) {
    struct err err;
    cleanup_url struct url base = {0}, next = {0};
    assert(url_parse("https://[::1]:8443/a/b?c", &base, &err) == 0);
    if (url_join(&base, location, &next, &err) < 0)
        return;
    assert(next.host[0] && next.port[0] && next.target[0] == '/' && strlen(next.text) <= URL_MAX_BYTES);
    assert(!strpbrk(next.target, " \r\n#") && !strpbrk(next.authority, " \r\n/@"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct http_head head;
    struct err err;
    size_t end = http_head_size((const char *)data, size);
    assert(end <= size);
    if (end == 0 || http_head_parse((const char *)data, end, &head, &err) < 0)
        return 0;
    assert(head.status >= 100 && head.status <= 999);
    assert(!head.has_length || head.length <= HTTP_MAX_LENGTH);
    assert(!head.has_range || (head.status == 206 && head.first < head.total && head.total <= HTTP_MAX_LENGTH));
    for (int i = 0; i < HTTP_HEADERS; i++)
        assert(memchr(head.values[i], 0, HTTP_VALUE_BYTES));
    follow(head.values[HTTP_LOCATION]);
    return 0;
}
