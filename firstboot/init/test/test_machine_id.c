// SPDX-License-Identifier: Apache-2.0
// The machine-id: what counts as one, how one is made, and that it stays.
#include "common/test/support.h"
#include "firstboot/init/machine_id.h"
#include <errno.h>

static void test_validity(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_valid;
    } cases[] = {
        {"0123456789abcdef0123456789abcdef", true},
        {"0123456789abcdef0123456789abcdef\n", true},
        {"00000000000000000000000000000001\n", true},
        {"00000000000000000000000000000000\n", false},
        {"0123456789abcdef0123456789abcdef\n\n", false},
        {"0123456789abcdef0123456789abcdef ", false},
        {"0123456789abcdef0123456789abcde", false},
        {"0123456789abcdef0123456789abcde\n", false},
        {"0123456789ABCDEF0123456789ABCDEF", false},
        {"01234567-89ab-cdef-0123-456789abcdef", false},
        {"uninitialized\n", false},
        {"", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(machine_id_is_valid(cases[i].text), cases[i].is_valid);
}

// Version and variant for every value of the two bytes that carry them; the other bits stay.
static void test_format(void **state) {
    (void)state;
    char text[MACHINE_ID_TEXT_BYTES];
    for (int value = 0; value < 256; value++) {
        uint8_t random[16];
        memset(random, value, sizeof(random));
        machine_id_format(random, text);
        assert_int_equal(strlen(text), 33);
        assert_true(machine_id_is_valid(text));
        assert_int_equal(text[12], '4');
        assert_non_null(memchr("89ab", text[16], 4));
        char pair[3];
        snprintf(pair, sizeof(pair), "%02x", value);
        assert_memory_equal(text, pair, 2);
        assert_int_equal(text[13], pair[1]);
        assert_int_equal(text[17], pair[1]);
    }
}

static void expect_file(int fd, const char *content) {
    struct err err = {0};
    struct stat st;
    cleanup_free char *text = NULL;
    assert_int_equal(file_read(fd, "machine-id", 100, &text, NULL, &err), 0);
    assert_string_equal(text, content);
    assert_int_equal(fstatat(fd, "machine-id", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0444);
}

static void test_made_once(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char first[MACHINE_ID_TEXT_BYTES], second[MACHINE_ID_TEXT_BYTES];
    bool is_new = false;
    assert_int_equal(machine_id_load(scratch->fd, false, first, &is_new, &err), 0);
    assert_true(is_new && machine_id_is_valid(first));
    expect_file(scratch->fd, first);
    assert_int_equal(machine_id_load(scratch->fd, false, second, &is_new, &err), 0);
    assert_false(is_new);
    assert_string_equal(first, second);
    assert_int_equal(unlinkat(scratch->fd, "machine-id", 0), 0);
    assert_int_equal(machine_id_load(scratch->fd, false, second, &is_new, &err), 0);
    assert_string_not_equal(first, second); // two machines of one image
}

static void test_malformed_is_replaced(void **state) {
    struct scratch *scratch = *state;
    static const char *const bad[] = {"", "uninitialized\n", "00000000000000000000000000000000\n", "\xff\xff",
                                      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = {0};
        char text[MACHINE_ID_TEXT_BYTES];
        bool is_new = false;
        assert_int_equal(file_publish(scratch->fd, "machine-id", bad[i], strlen(bad[i]), 0644, &err), 0);
        assert_int_equal(machine_id_load(scratch->fd, false, text, &is_new, &err), 0);
        assert_true(is_new && machine_id_is_valid(text));
        expect_file(scratch->fd, text);
    }
}

static void test_without_line_feed_is_kept(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char text[MACHINE_ID_TEXT_BYTES];
    bool is_new = true;
    assert_int_equal(file_publish(scratch->fd, "machine-id", "0123456789abcdef0123456789abcdef", 32, 0444, &err), 0);
    assert_int_equal(machine_id_load(scratch->fd, false, text, &is_new, &err), 0);
    assert_false(is_new);
    assert_string_equal(text, "0123456789abcdef0123456789abcdef\n");
}

static void test_read_only(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char text[MACHINE_ID_TEXT_BYTES];
    bool is_new = false;
    assert_int_equal(machine_id_load(scratch->fd, true, text, &is_new, &err), 0);
    assert_true(is_new && machine_id_is_valid(text));
    assert_false(file_exists(scratch->fd, "machine-id"));
    assert_int_equal(machine_id_load(-1, true, text, &is_new, &err), 0); // not even a directory
    assert_int_equal(machine_id_load(-1, false, text, &is_new, &err), -EBADF);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_validity),  cmocka_unit_test(test_format),        CASE(test_made_once),
        CASE(test_malformed_is_replaced), CASE(test_without_line_feed_is_kept), CASE(test_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
