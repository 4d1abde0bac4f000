// SPDX-License-Identifier: Apache-2.0
// Heads of answers: which lines are taken, what they mean together, how long to wait.
#include "firstboot/fetch/response.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/buf.h"
#include <errno.h>
#include <string.h>

// Feeds a head, line by line.
static int feed(struct response *response, const char *head, struct err *err) {
    int r = 0;
    while (r == 0 && *head) {
        size_t size = strcspn(head, "\n") + 1;
        r = response_line(response, head, size, err);
        head += size;
    }
    return r;
}

static void lines(void **state) {
    (void)state;
    struct response response = {0};
    struct err err;
    assert_int_equal(
        feed(&response, "HTTP/1.1 100 Continue\r\nETag: early\r\n\r\nHTTP/1.1 206 Partial\r\nX: y\r\ncontent-range:bytes 0-1/2\r\n", &err),
        0);
    assert_int_equal(response.status, 206);
    assert_false(response.is_complete);
    assert_int_equal(feed(&response, "ETAG: \t\"one\" \t\r\nETag: \"one\"\r\nno colon\r\n: nothing\r\nRetry-After:\r\n\r\n", &err), 0);
    assert_true(response.is_complete);
    assert_string_equal(response.values[RESPONSE_ETAG], "\"one\"");
    assert_string_equal(response.values[RESPONSE_RANGE], "bytes 0-1/2");
    assert_string_equal(response.values[RESPONSE_RETRY], "");
    assert_string_equal(response.values[RESPONSE_LENGTH], "");
    assert_int_equal(feed(&response, "ETag: trailer\r\nContent-Range: bytes 5-5/6\r\n", &err), 0); // behind the head: only counted
    assert_string_equal(response.values[RESPONSE_ETAG], "\"one\"");
    assert_int_equal(response.lines, 14);
}

static void lines_that_are_refused(void **state) {
    (void)state;
    cleanup_buf struct buf long_value = {0};
    buf_add_str(&long_value, "HTTP/1.1 200 OK\r\nETag: ");
    for (int i = 0; i < RESPONSE_VALUE_BYTES; i++)
        buf_add_str(&long_value, "e");
    buf_add_str(&long_value, "\r\n");
    const char *const cases[] = {
        "nonsense\r\n",
        "HTTP/1.1\r\n",
        "HTTP/1.1 OK\r\n",
        "HTTP/1.1 99 Low\r\n",
        "\r\n",
        "HTTP/1.1 200 OK\r\nETag: a\r\nETag: b\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 55\r\n",
        buf_str(&long_value),
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct response response = {0};
        struct err err = {0};
        if (feed(&response, cases[i], &err) != -EIO)
            fail_msg("'%s' is accepted", cases[i]);
        assert_true(err.text[0] != 0);
    }
    struct response response = {.status = 200};
    struct err err;
    static const char with_nul[] = "ETag: a\0b\r\n";
    assert_int_equal(response_line(&response, with_nul, sizeof(with_nul) - 1, &err), -EIO);
}

static void limits(void **state) {
    (void)state;
    static char line[RESPONSE_MAX_LINE_BYTES + 1];
    memset(line, 'x', sizeof(line));
    struct err err;
    struct response response = {.status = 200};
    for (unsigned i = 0; i < RESPONSE_MAX_LINES; i++)
        assert_int_equal(response_line(&response, "x", 1, &err), 0);
    assert_int_equal(response_line(&response, "x", 1, &err), -EIO);
    response = (struct response){.status = 200};
    assert_int_equal(response_line(&response, line, RESPONSE_MAX_LINE_BYTES, &err), 0);
    assert_int_equal(response_line(&response, line, RESPONSE_MAX_LINE_BYTES + 1, &err), -EIO);
    response = (struct response){.status = 200};
    for (unsigned i = 0; i < RESPONSE_MAX_BYTES / RESPONSE_MAX_LINE_BYTES; i++)
        assert_int_equal(response_line(&response, line, RESPONSE_MAX_LINE_BYTES, &err), 0);
    assert_int_equal(response_line(&response, line, 1, &err), -EIO);
    // An answer that goes on for ever with 1xx is over the same limit.
    response = (struct response){0};
    int r = 0;
    for (unsigned i = 0; r == 0 && i < 1000; i++)
        r = feed(&response, "HTTP/1.1 100 Continue\r\n\r\n", &err);
    assert_int_equal(r, -EIO);
}

static enum verdict judge(const char *head, const struct wanted *wanted, struct identity *identity, struct err *err) {
    struct response response = {0};
    cleanup_free char *whole = str_printf("HTTP/1.1 %s\r\n\r\n", head);
    assert_int_equal(feed(&response, whole, err), 0);
    assert_true(response.is_complete);
    return response_judge(&response, wanted, identity, err);
}

static void verdicts(void **state) {
    (void)state;
    static const struct wanted middle = {10, 19, false}, tail = {90, 1000, false}, behind = {100, 109, false}, whole = {0, 0, true};
    static const struct {
        const struct wanted *wanted;
        const char *head;
        enum verdict verdict;
    } cases[] = {
        {&middle, "206 P\r\nContent-Range: bytes 10-19/100", VERDICT_PART},
        {&middle, "206 P\r\nContent-Range: bytes 10-19/100\r\nContent-Length: 10\r\nContent-Encoding: identity", VERDICT_PART},
        {&middle, "206 P\r\nContent-Range: bytes 10-19/100\r\nContent-Length: 9", VERDICT_REFUSED},
        {&middle, "206 P\r\nContent-Range: bytes 10-19/100\r\nContent-Length: 1e1", VERDICT_REFUSED},
        {&middle, "206 P\r\nContent-Range: bytes 10-19/100\r\nTransfer-Encoding: chunked", VERDICT_PART},
        {&middle, "206 P\r\nContent-Range: bytes 10-19/100\r\nTransfer-Encoding: chunked\r\nContent-Length: 10", VERDICT_REFUSED},
        {&middle, "206 P\r\nContent-Range: bytes 10-19/100\r\nContent-Type: Multipart/ByteRanges; boundary=x", VERDICT_REFUSED},
        {&middle, "206 P\r\nContent-Range: bytes 10-18/100", VERDICT_REFUSED},
        {&middle, "206 P\r\nContent-Range: bytes 10-20/100", VERDICT_REFUSED},
        {&middle, "206 P\r\nContent-Range: bytes 9-19/100", VERDICT_REFUSED},
        {&middle, "206 P\r\nContent-Range: bytes 10-14/15", VERDICT_PART}, // the file ends there
        {&middle, "206 P\r\nContent-Range: bytes */100", VERDICT_REFUSED},
        {&middle, "206 P", VERDICT_REFUSED},
        {&middle, "200 P\r\nContent-Length: 100", VERDICT_WHOLE},
        {&middle, "200 P", VERDICT_WHOLE},
        {&middle, "200 P\r\nContent-Range: bytes 10-19/100", VERDICT_REFUSED},
        {&middle, "200 P\r\nContent-Length: -1", VERDICT_REFUSED},
        {&middle, "200 P\r\nContent-Encoding: gzip", VERDICT_REFUSED},
        {&middle, "200 P\r\nContent-Type: TEXT/HTML", VERDICT_CHANGED},
        {&middle, "416 P\r\nContent-Range: bytes */100", VERDICT_REFUSED}, // it lies before the end
        {&tail, "206 P\r\nContent-Range: bytes 90-99/100", VERDICT_PART},
        {&tail, "206 P\r\nContent-Range: bytes 90-98/100", VERDICT_REFUSED},
        {&behind, "416 P\r\nContent-Range: bytes */100", VERDICT_END},
        {&behind, "416 P\r\nContent-Range: bytes */0", VERDICT_END},
        {&behind, "416 P\r\nContent-Range: bytes 0-9/100", VERDICT_REFUSED},
        {&behind, "416 P", VERDICT_REFUSED},
        {&whole, "200 P", VERDICT_WHOLE},
        {&whole, "206 P\r\nContent-Range: bytes 0-0/1", VERDICT_REFUSED},
        {&whole, "416 P\r\nContent-Range: bytes */0", VERDICT_REFUSED},
        {&middle, "301 P", VERDICT_REDIRECT},
        {&middle, "308 P", VERDICT_REDIRECT},
        {&middle, "300 P", VERDICT_REFUSED},
        {&middle, "304 P", VERDICT_REFUSED},
        {&middle, "305 P", VERDICT_REFUSED},
        {&middle, "408 P", VERDICT_LATER},
        {&middle, "425 P", VERDICT_LATER},
        {&middle, "429 P", VERDICT_LATER},
        {&middle, "500 P", VERDICT_LATER},
        {&middle, "599 P", VERDICT_LATER},
        {&middle, "600 P", VERDICT_REFUSED},
        {&middle, "407 P", VERDICT_REFUSED},
        {&middle, "404 P", VERDICT_REFUSED},
        {&middle, "204 P", VERDICT_REFUSED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct identity identity = {0};
        struct err err = {0};
        enum verdict verdict = judge(cases[i].head, cases[i].wanted, &identity, &err);
        if (verdict != cases[i].verdict)
            fail_msg("case %zu, '%s': verdict %d, '%s'", i, cases[i].head, verdict, err.text);
        bool is_fault = verdict == VERDICT_REFUSED || verdict == VERDICT_CHANGED || verdict == VERDICT_LATER;
        assert_int_equal(is_fault, err.text[0] != 0);
    }
}

#define PART "206 P\r\nContent-Range: bytes 10-19/100\r\n"

static void identities(void **state) {
    (void)state;
    static const struct wanted wanted = {10, 19, false};
    static const struct {
        const char *first, *second;
        enum verdict verdict;
    } cases[] = {
        {PART "ETag: \"a\"", PART "ETag: \"a\"", VERDICT_PART},
        {PART "ETag: \"a\"", PART "ETag: \"b\"", VERDICT_CHANGED},
        {PART "ETag: \"a\"", PART "ETag: W/\"a\"", VERDICT_CHANGED},
        {PART "ETag: \"a\"", PART "X: y", VERDICT_PART}, // with If-Range a server may leave headers out
        {PART "Last-Modified: a", PART "Last-Modified: b", VERDICT_CHANGED},
        {PART "Last-Modified: a", PART "Last-Modified: a", VERDICT_PART},
        {PART "X: y", PART "X: z", VERDICT_PART},
        {PART "X: y", "206 P\r\nContent-Range: bytes 10-19/101", VERDICT_CHANGED},
        {PART "X: y", "200 P\r\nContent-Length: 100", VERDICT_WHOLE},
        {PART "X: y", "200 P\r\nContent-Length: 101", VERDICT_CHANGED},
        {PART "ETag: \"a\"", "200 P\r\nETag: \"b\"", VERDICT_CHANGED},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct identity identity = {0};
        struct err err = {0};
        assert_int_equal(judge(cases[i].first, &wanted, &identity, &err), VERDICT_PART);
        assert_true(identity.has_total);
        assert_int_equal(identity.total, 100);
        if (judge(cases[i].second, &wanted, &identity, &err) != cases[i].verdict)
            fail_msg("case %zu", i);
        assert_int_equal(identity.total, 100);
    }
    static const struct { const char *etag, *if_range; } tags[] = {{"\"a\"", "\"a\""}, {"W/\"a\"", NULL}, {"", NULL}, {"a", NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(tags); i++) {
        struct identity identity = {0};
        strcpy(identity.etag, tags[i].etag);
        const char *value = identity_if_range(&identity);
        assert_true(tags[i].if_range ? value && strcmp(value, tags[i].if_range) == 0 : !value);
    }
}

static void waits(void **state) {
    (void)state;
    const time_t now = 1761955200; // Sat, 01 Nov 2025 00:00:00 GMT
    static const struct {
        const char *value;
        int64_t wait_ms;
    } cases[] = {
        {"", 0},
        {"0", 1000},
        {"1", 1000},
        {"30", 30000},
        {"60", 60000},
        {"61", 60000},
        {"1000000000", 60000},
        {"9223372036854775807", 60000},
        {"18446744073709551617", 60000},
        {"99999999999999999999999999999999999", 60000},
        {"-1", 0},
        {"soon", 0},
        {"Sat, 01 Nov 2025 00:00:20 GMT", 20000},
        {"Sat, 01 Nov 2025 01:00:00 GMT", 60000},
        {"Fri, 31 Oct 2025 23:00:00 GMT", 1000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 1000},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (retry_after_ms(cases[i].value, now, 60000) != cases[i].wait_ms)
            fail_msg("'%s': %lld", cases[i].value, (long long)retry_after_ms(cases[i].value, now, 60000));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),      cmocka_unit_test(lines_that_are_refused),
        cmocka_unit_test(limits),     cmocka_unit_test(verdicts),
        cmocka_unit_test(identities), cmocka_unit_test(waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
