// SPDX-License-Identifier: Apache-2.0
// Signals are counted where somebody looks, and end nothing by themselves.
#include "builder/test/support.h"
#include "builder/upload/stop.h"
#include <signal.h>

// In a child each, because signals stay blocked.
static void in_a_child(void *data) {
    struct err err = {0};
    cleanup_stop struct stop stop = {.fd = -1};
    const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    (void)data;
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
        signal(signals[i], SIG_DFL); // in the background of a shell one is ignored
    assert_ok(stop_open(&stop, &err));
    assert_ok(stop_check(&stop, &err));
    assert_ok(stop_sleep(&stop, 1, &err));
    for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
        raise(signals[i]);
        stop.allowed = i + 1; // this one is borne
        assert_ok(stop_check(&stop, &err));
        assert_int_equal(stop.seen, i + 1);
        stop.allowed = i;
        assert_int_equal(stop_check(&stop, &err), -EINTR);
        assert_string_equal(err.text, "interrupted");
    }
    // A sleep that would take an hour ends at once.
    stop.allowed = stop.seen;
    raise(SIGTERM);
    assert_int_equal(stop_sleep(&stop, 3600 * 1000, &err), -EINTR);
}

static void signals(void **state) {
    (void)state;
    assert_int_equal(in_child(in_a_child, NULL), 0);
}

// What is borne does not fail a sleep.
static void borne(void *data) {
    struct err err = {0};
    cleanup_stop struct stop stop = {.fd = -1};
    (void)data;
    signal(SIGINT, SIG_DFL);
    assert_ok(stop_open(&stop, &err));
    stop.allowed = 1;
    raise(SIGINT);
    assert_ok(stop_sleep(&stop, 20, &err));
    assert_int_equal(stop.seen, 1);
}

static void sleep_goes_on(void **state) {
    (void)state;
    assert_int_equal(in_child(borne, NULL), 0);
}

// As under nohup, when the terminal goes away.
static void ignoring(void *data) {
    struct err err = {0};
    cleanup_stop struct stop stop = {.fd = -1};
    (void)data;
    signal(SIGHUP, SIG_IGN);
    assert_ok(stop_open(&stop, &err));
    raise(SIGHUP);
    assert_ok(stop_check(&stop, &err));
    assert_int_equal(stop.seen, 0);
}

static void ignored_signals(void **state) {
    (void)state;
    assert_int_equal(in_child(ignoring, NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(signals), cmocka_unit_test(sleep_goes_on), cmocka_unit_test(ignored_signals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
