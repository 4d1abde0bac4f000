// SPDX-License-Identifier: Apache-2.0
// The drawing of a boot: every stage with its duration, well-formed for any number of stages.
#include "builder/timeline.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static unsigned count(const char *text, const char *what) {
    unsigned found = 0;
    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        found++;
    return found;
}

static void test_stages(void **state) {
    (void)state;
    struct timeline timeline = {0};
    cleanup_buf struct buf svg = {0};
    timeline_add(&timeline, "firmware", 0);
    timeline_add(&timeline, "boot loader", 4000);
    timeline_add(&timeline, "system", 6500);
    timeline_add(&timeline, "healthy", 16500);
    timeline_format(&timeline, "quickstart, UEFI", &svg);
    assert_non_null(strstr(buf_str(&svg), ">quickstart, UEFI: 16.50 s<"));
    assert_non_null(strstr(buf_str(&svg), ">boot loader<"));
    assert_non_null(strstr(buf_str(&svg), ">4.00 s<"));
    assert_non_null(strstr(buf_str(&svg), ">2.50 s<"));
    assert_non_null(strstr(buf_str(&svg), ">10.00 s<"));
    assert_int_equal(count(buf_str(&svg), "<rect "), 4);
    assert_int_equal(count(buf_str(&svg), "<text "), 9);
    assert_int_equal(count(buf_str(&svg), "</svg>\n"), 1);
}

static void test_bounds(void **state) {
    (void)state;
    struct timeline timeline = {0};
    cleanup_buf struct buf empty = {0}, full = {0};
    timeline_format(&timeline, "nothing", &empty);
    assert_int_equal(count(buf_str(&empty), "<rect "), 0);
    assert_null(strstr(buf_str(&empty), "nan"));
    for (int i = 0; i < 100; i++)
        timeline_add(&timeline, "kernel", 0);
    assert_int_equal(timeline.count, TIMELINE_MAX_STAGES);
    timeline_format(&timeline, "loop", &full);
    assert_int_equal(count(buf_str(&full), "<rect "), TIMELINE_MAX_STAGES);
    assert_null(strstr(buf_str(&full), "nan"));
    assert_null(strstr(buf_str(&full), "inf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stages), cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
