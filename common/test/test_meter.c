// SPDX-License-Identifier: Apache-2.0
#include "common/meter.h"
#include "common/test/support.h"

static void sizes_have_units(void **state) {
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"}, {1023, "1023 B"}, {1024, "1.0 KiB"}, {1 << 20, "1.0 MiB"}, {12897484, "12.3 MiB"}, {1ULL << 50, "1024.0 TiB"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[METER_SIZE_BYTES];
        assert_string_equal(meter_size(cases[i].bytes, text), cases[i].text);
    }
}

static void how_far(void **state) {
    (void)state;
    static const struct {
        uint64_t done, total, rate;
        const char *text;
    } cases[] = {{0, 0, 0, "  0 %"},
                 {1, 0, 5, "  0 %"},
                 {0, 10, 0, "  0 %"},
                 {25 << 20, 100 << 20, 1 << 20, " 25 %  1.0 MiB/s  1:15 left"},
                 {100, 100, 7, "100 %  7 B/s  0:00 left"},
                 {101, 100, 7, "100 %"},
                 {1, UINT64_MAX, 1, "  0 %  1 B/s  307445734561825860:14 left"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[METER_BYTES];
        meter_format(cases[i].done, cases[i].total, cases[i].rate, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes_have_units), cmocka_unit_test(how_far)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
