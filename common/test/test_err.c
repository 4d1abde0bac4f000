// SPDX-License-Identifier: Apache-2.0
// Error texts: codes pass through, prefixes nest, long texts are cut and stay terminated.
#include "common/err.h"
#include "common/test/support.h"
#include <errno.h>

static void test_set(void **state) {
    (void)state;
    struct err err;
    memset(&err, 'x', sizeof(err)); // not initialised by the caller
    assert_int_equal(err_set(&err, -EINVAL, "line %d: %s", 7, "no"), -EINVAL);
    assert_string_equal(err.text, "line 7: no");
    assert_int_equal(err_set(&err, -ENOENT, "other"), -ENOENT);
    assert_string_equal(err.text, "other");
}

static void test_sys(void **state) {
    (void)state;
    struct err err = {0};
    assert_int_equal(err_sys(&err, -ENOENT, "cannot open %s", "/a"), -ENOENT);
    assert_string_equal(err.text, "cannot open /a: No such file or directory");
    assert_int_equal(err_sys(&err, -ENOSPC, "x"), -ENOSPC);
    assert_string_equal(err.text, "x: No space left on device");
}

static void test_prefixes_nest(void **state) {
    (void)state;
    struct err err = {0};
    err_set(&err, -EIO, "why");
    assert_int_equal(err_prefix(&err, -EIO, "writing %s", "b"), -EIO);
    assert_int_equal(err_prefix(&err, -EIO, "slot %d", 1), -EIO);
    assert_string_equal(err.text, "slot 1: writing b: why");
}

// An argument may be the text that is replaced.
static void test_own_text_as_argument(void **state) {
    (void)state;
    struct err err = {0};
    err_set(&err, -EIO, "inner");
    err_set(&err, -EIO, "outer(%s)", err.text);
    assert_string_equal(err.text, "outer(inner)");
    err_sys(&err, -EPERM, "%s again", err.text);
    assert_string_equal(err.text, "outer(inner) again: Operation not permitted");
    err_prefix(&err, -EPERM, "<%s>", err.text);
    assert_string_equal(err.text, "<outer(inner) again: Operation not permitted>: outer(inner) again: Operation not permitted");
}

// Every length around the size of the text: cut at the end, terminated, nothing written behind it.
static void test_truncation(void **state) {
    (void)state;
    char text[2 * sizeof(struct err)];
    for (size_t length = sizeof(struct err) - 8; length < sizeof(struct err) + 8; length++) {
        cleanup_free struct err *err = mem_array(1, sizeof(*err)); // on the heap: ASan sees a write behind it
        memset(text, 'a', length);
        text[length] = 0;
        err_set(err, -EIO, "%s", text);
        size_t expected = length < sizeof(err->text) ? length : sizeof(err->text) - 1;
        assert_int_equal(strnlen(err->text, sizeof(err->text)), expected);
        assert_memory_equal(err->text, text, expected);
        err_sys(err, -EIO, "%s", text);
        assert_int_equal(strnlen(err->text, sizeof(err->text)), sizeof(err->text) - 1);
        err_set(err, -EIO, "z");
        err_prefix(err, -EIO, "%s", text);
        expected = length + 3 < sizeof(err->text) ? length + 3 : sizeof(err->text) - 1;
        assert_int_equal(strnlen(err->text, sizeof(err->text)), expected);
    }
}

static void test_prefix_keeps_the_start_of_a_long_text(void **state) {
    (void)state;
    struct err err = {0};
    char text[sizeof(err.text)];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    err_set(&err, -EIO, "%s", text);
    for (int i = 0; i < 3; i++)
        err_prefix(&err, -EIO, "p%d", i);
    assert_int_equal(strnlen(err.text, sizeof(err.text)), sizeof(err.text) - 1);
    assert_memory_equal(err.text, "p2: p1: p0: aaa", 15);
}

static void success_code(void *data) {
    struct err err = {0};
    int *code = data;
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
    err_set(&err, *code, "a failure with a success code");
}

// A programmer error must not travel on as success.
static void test_success_code_is_refused(void **state) {
    (void)state;
    for (int code = 0; code < 2; code++) {
        int status = in_child(success_code, &code);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_sys),
        cmocka_unit_test(test_prefixes_nest),
        cmocka_unit_test(test_own_text_as_argument),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_prefix_keeps_the_start_of_a_long_text),
        cmocka_unit_test(test_success_code_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
