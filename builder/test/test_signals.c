// SPDX-License-Identifier: Apache-2.0
// What asks us to end is read, and ends nothing; what was ignored is neither.
#include "builder/signals.h"
#include "builder/test/support.h"
#include <signal.h>
#include <sys/signalfd.h>

static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

static int read_one(int fd) { // 0: there is none
    struct signalfd_siginfo info;
    return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

// In a child each, because signals stay blocked. `data`: the one that is ignored.
static void in_a_child(void *data) {
    const int ignored = *(const int *)data;
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        signal(numbers[i], numbers[i] == ignored ? SIG_IGN : SIG_DFL);
    cleanup_fd int fd = signals_open(&err);
    assert_true(fd >= 0);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        raise(numbers[i]);
        assert_int_equal(read_one(fd), numbers[i] == ignored ? 0 : numbers[i]);
    }
}

static void ignored_signals(void **state) {
    (void)state;
    static const int rows[] = {0, SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        assert_int_equal(in_child(in_a_child, (void *)&rows[i]), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ignored_signals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
