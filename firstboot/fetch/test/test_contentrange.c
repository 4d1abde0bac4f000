// SPDX-License-Identifier: Apache-2.0
// Content-Range: the two forms that are taken, and everything near them.
#include "firstboot/fetch/contentrange.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

static int parse(const char *text, struct content_range *ret_range) {
    struct err err = {0};
    // An exact-size copy: reading behind the end is seen.
    size_t size = strlen(text);
    cleanup_free char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    int r = content_range_parse(copy, size, ret_range, &err);
    assert_int_equal(r < 0, err.text[0] != 0);
    return r;
}

static void accepted(void **state) {
    (void)state;
    static const struct {
        const char *text;
        struct content_range range;
    } cases[] = {
        {"bytes 0-0/1", {.first = 0, .last = 0, .total = 1}},
        {"bytes 0-9/10", {.first = 0, .last = 9, .total = 10}},
        {"bytes 5-9/10", {.first = 5, .last = 9, .total = 10}},
        {"bytes 007-08/0010", {.first = 7, .last = 8, .total = 10}},
        {"bytes 1152921504606846974-1152921504606846975/1152921504606846976",
         {.first = CONTENT_RANGE_MAX - 2, .last = CONTENT_RANGE_MAX - 1, .total = CONTENT_RANGE_MAX}},
        {"bytes */10", {.is_unsatisfied = true, .total = 10}},
        {"bytes */0", {.is_unsatisfied = true}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct content_range range;
        memset(&range, 0xee, sizeof(range));
        if (parse(cases[i].text, &range) != 0)
            fail_msg("'%s' is refused", cases[i].text);
        assert_int_equal(range.is_unsatisfied, cases[i].range.is_unsatisfied);
        assert_int_equal(range.first, cases[i].range.first);
        assert_int_equal(range.last, cases[i].range.last);
        assert_int_equal(range.total, cases[i].range.total);
    }
}

static void refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "",
        "bytes",
        "bytes ",
        "bytes  0-9/10",
        "bytes\t0-9/10",
        " bytes 0-9/10",
        "Bytes 0-9/10",
        "octets 0-9/10",
        "bytes=0-9/10",
        "bytes 0-9",
        "bytes 0-9/",
        "bytes 0-9/*",
        "bytes */*",
        "bytes *",
        "bytes */",
        "bytes 0-/10",
        "bytes -9/10",
        "bytes -0-9/10",
        "bytes 0--9/10",
        "bytes +0-9/10",
        "bytes 0 -9/10",
        "bytes 0- 9/10",
        "bytes 0-9 /10",
        "bytes 0-9/ 10",
        "bytes 0-9/10 ",
        "bytes 0-9/10,",
        "bytes 0-9/10\n",
        "bytes 9-0/10",
        "bytes 0-10/10",
        "bytes 0-0/0",
        "bytes 0x0-9/10",
        "bytes 0-9/1e3",
        "bytes 0-9/1152921504606846977",
        "bytes 0-9/9223372036854775807",
        "bytes 0-9/18446744073709551626",
        "bytes 18446744073709551616-18446744073709551625/10",
        "bytes 0-9/99999999999999999999999999999999999999",
        "bytes 0-9/10/10",
        "bytes 0-9-10/10",
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct content_range range = {.first = 77};
        if (parse(cases[i], &range) != -EINVAL)
            fail_msg("'%s' is accepted", cases[i]);
        assert_int_equal(range.first, 77); // untouched
    }
}

static void every_prefix_and_every_byte(void **state) {
    (void)state;
    static const char right[] = "bytes 10-19/20";
    for (size_t i = 0; i < sizeof(right) - 1; i++) {
        char text[sizeof(right)];
        struct content_range range;
        snprintf(text, i + 1, "%s", right);
        assert_int_equal(parse(text, &range), -EINVAL);
        for (int byte = 1; byte < 256; byte++) {
            memcpy(text, right, sizeof(right));
            text[i] = (char)byte;
            bool is_digit = right[i] >= '0' && right[i] <= '9' && byte >= '0' && byte <= '9';
            if (parse(text, &range) == 0)
                assert_true(is_digit || text[i] == right[i]);
        }
    }
    struct content_range range;
    struct err err;
    assert_int_equal(content_range_parse("bytes 0-9/10\0", 13, &range, &err), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted),
        cmocka_unit_test(refused),
        cmocka_unit_test(every_prefix_and_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
