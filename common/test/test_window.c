// SPDX-License-Identifier: Apache-2.0
// Maintenance windows: what is one, and when it is open.
#include "common/test/support.h"
#include "common/window.h"

enum { SUN, MON, TUE, WED, THU, FRI, SAT };

static struct window parsed(const char *text) {
    struct window window;
    if (!window_parse(text, &window))
        fail_msg("%s is a window", text);
    return window;
}

static bool is_open(const char *text, int day, int hour, int minute) {
    struct window window = parsed(text);
    return window_is_open(&window, day, hour * 60 + minute);
}

static void wrong_texts_are_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "03:00",
                                        "3:00-5:00",
                                        "03:00-03:00",
                                        "24:00-05:00",
                                        "03:00-24:01",
                                        "03:00-00:00",
                                        "03:60-05:00",
                                        "25:00-26:00",
                                        "03:00-05:00 ",
                                        " 03:00-05:00",
                                        "Sun03:00-05:00",
                                        "Sun  03:00-05:00",
                                        "sun 03:00-05:00",
                                        "Sunday 03:00-05:00",
                                        "Sun, 03:00-05:00",
                                        "Sun-,Mon 03:00-05:00",
                                        "Sun-Mon-Tue 03:00-05:00",
                                        "03:00-05:00,06:00-07:00",
                                        "03:00 - 05:00",
                                        "0x:00-05:00",
                                        "03-00:05-00"};
    struct window window = {.days = 77};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (window_parse(texts[i], &window))
            fail_msg("'%s' is no window", texts[i]);
    assert_int_equal(window.days, 77);
}

static void every_day(void **state) {
    (void)state;
    for (int day = SUN; day <= SAT; day++) {
        assert_false(is_open("03:00-05:00", day, 2, 59));
        assert_true(is_open("03:00-05:00", day, 3, 0));
        assert_true(is_open("03:00-05:00", day, 4, 59));
        assert_false(is_open("03:00-05:00", day, 5, 0));
        assert_true(is_open("00:00-24:00", day, 0, 0));
        assert_true(is_open("00:00-24:00", day, 23, 59));
    }
}

static void some_days(void **state) {
    (void)state;
    assert_true(is_open("Sun 03:00-05:00", SUN, 4, 0));
    assert_false(is_open("Sun 03:00-05:00", MON, 4, 0));
    assert_int_equal(parsed("Mon-Fri 01:00-02:00").days, 1 << MON | 1 << TUE | 1 << WED | 1 << THU | 1 << FRI);
    assert_int_equal(parsed("Sat,Sun 01:00-02:00").days, 1 << SAT | 1 << SUN);
    assert_int_equal(parsed("Fri-Mon,Wed 01:00-02:00").days, 1 << FRI | 1 << SAT | 1 << SUN | 1 << MON | 1 << WED);
    assert_int_equal(parsed("Sun-Sat 01:00-02:00").days, 0x7f);
    assert_int_equal(parsed("Tue-Tue 01:00-02:00").days, 1 << TUE);
}

// The day is the one on which the window opens.
static void past_midnight(void **state) {
    (void)state;
    assert_true(is_open("Sat 22:00-02:00", SAT, 22, 0));
    assert_true(is_open("Sat 22:00-02:00", SUN, 1, 59));
    assert_false(is_open("Sat 22:00-02:00", SUN, 2, 0));
    assert_false(is_open("Sat 22:00-02:00", SAT, 1, 0));
    assert_false(is_open("Sat 22:00-02:00", SUN, 22, 0));
    assert_true(is_open("22:00-02:00", WED, 0, 0));
    assert_false(is_open("22:00-02:00", WED, 12, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(every_day),
        cmocka_unit_test(some_days),
        cmocka_unit_test(past_midnight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
