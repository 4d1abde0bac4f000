// SPDX-License-Identifier: Apache-2.0
// Log lines as the terminal and the journal get them.
#include "common/log.h"
#include "common/test/support.h"

// What log_write() printed; nothing may go to standard output.
static char *logged(enum log_level level, const char *text) {
    struct redirect redirect;
    char *error = NULL;
    cleanup_free char *out = NULL;
    redirect_begin(&redirect);
    log_write(level, "%s", text);
    redirect_end(&redirect, &out, &error);
    assert_string_equal(out, "");
    return error;
}

static void test_terminal(void **state) {
    (void)state;
    static const char *const expected[] = {"prog: error: text\n", "prog: warning: text\n", "prog: text\n", "prog: debug: text\n"};
    log_init("prog", LOG_LEVEL_DEBUG, false);
    for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        cleanup_free char *text = logged(level, "text");
        assert_string_equal(text, expected[level]);
    }
}

// sd-daemon(3): <3> error, <4> warning, <6> info, <7> debug.
static void test_journal(void **state) {
    (void)state;
    static const char *const expected[] = {"<3>error: text\n", "<4>warning: text\n", "<6>text\n", "<7>debug: text\n"};
    log_init("prog", LOG_LEVEL_DEBUG, true);
    for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
        cleanup_free char *text = logged(level, "text");
        assert_string_equal(text, expected[level]);
    }
}

static void test_highest_level(void **state) {
    (void)state;
    for (enum log_level highest = LOG_LEVEL_ERROR; highest <= LOG_LEVEL_DEBUG; highest++) {
        log_init("prog", highest, false);
        for (enum log_level level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
            cleanup_free char *text = logged(level, "text");
            assert_int_equal(*text != 0, level <= highest);
        }
    }
}

// A second line without its own prefix would have another priority in the journal.
static void test_lines(void **state) {
    (void)state;
    log_init("prog", LOG_LEVEL_INFO, true);
    cleanup_free char *journal = logged(LOG_LEVEL_ERROR, "one\ntwo\n\nthree\n");
    assert_string_equal(journal, "<3>error: one\n<3>error: two\n<3>error: three\n");
    log_init("prog", LOG_LEVEL_INFO, false);
    cleanup_free char *terminal = logged(LOG_LEVEL_WARN, "one\ntwo");
    assert_string_equal(terminal, "prog: warning: one\nprog: warning: two\n");
    cleanup_free char *empty = logged(LOG_LEVEL_INFO, "");
    assert_string_equal(empty, "prog: \n");
}

static void test_long_text(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    while (text.size < 100000)
        buf_add_str(&text, "0123456789");
    log_init("prog", LOG_LEVEL_INFO, false);
    cleanup_free char *line = logged(LOG_LEVEL_INFO, buf_str(&text));
    size_t length = strlen(line);
    assert_in_range(length, 1024, 4096);
    assert_memory_equal(line, "prog: 0123456789", 16);
    assert_int_equal(line[length - 1], '\n');
}

static void test_text_is_no_format(void **state) {
    (void)state;
    log_init("100%", LOG_LEVEL_INFO, false);
    cleanup_free char *line = logged(LOG_LEVEL_INFO, "%s %n %d");
    assert_string_equal(line, "100%: %s %n %d\n");
}

static void clear_bar(void) {
    fputs("[clear]", stderr);
}

static void test_before_line(void **state) {
    (void)state;
    log_init("prog", LOG_LEVEL_INFO, false);
    log_set_before_line(clear_bar);
    cleanup_free char *line = logged(LOG_LEVEL_INFO, "text");
    cleanup_free char *hidden = logged(LOG_LEVEL_DEBUG, "text");
    log_set_before_line(NULL);
    cleanup_free char *plain = logged(LOG_LEVEL_INFO, "text");
    assert_string_equal(line, "[clear]prog: text\n");
    assert_string_equal(hidden, "");
    assert_string_equal(plain, "prog: text\n");
}

static void test_macros(void **state) {
    (void)state;
    struct redirect redirect;
    cleanup_free char *out = NULL, *error = NULL;
    log_init("prog", LOG_LEVEL_DEBUG, true);
    redirect_begin(&redirect);
    log_error("%d", 1);
    log_warn("%d", 2);
    log_info("%d", 3);
    log_debug("%d", 4);
    redirect_end(&redirect, &out, &error);
    assert_string_equal(error, "<3>error: 1\n<4>warning: 2\n<6>3\n<7>debug: 4\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terminal),    cmocka_unit_test(test_journal),   cmocka_unit_test(test_highest_level),
        cmocka_unit_test(test_lines),       cmocka_unit_test(test_long_text), cmocka_unit_test(test_text_is_no_format),
        cmocka_unit_test(test_before_line), cmocka_unit_test(test_macros),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
