// SPDX-License-Identifier: Apache-2.0
// Growable strings, and the allocations that abort instead of failing.
#include "common/buf.h"
#include "common/test/support.h"

// Without this ASan ends the program before malloc() can say no.
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1";
}

static void test_empty(void **state) {
    (void)state;
    struct buf buf = {0};
    assert_string_equal(buf_str(&buf), "");
    assert_null(buf.data);
    cleanup_free char *taken = buf_take(&buf);
    assert_string_equal(taken, "");
    assert_null(buf.data);
    buf_done(&buf);
    buf_done(&buf);
    buf_add(&buf, NULL, 0);
    assert_string_equal(buf_str(&buf), "");
    assert_int_equal(buf.size, 0);
    buf_done(&buf);
}

// Terminated after every step, the capacity always holds the terminator, and ASan watches the ends.
static void test_growth_byte_by_byte(void **state) {
    (void)state;
    cleanup_buf struct buf buf = {0};
    for (size_t i = 0; i < 5000; i++) {
        char c = (char)('a' + i % 26);
        buf_add(&buf, &c, 1);
        assert_int_equal(buf.size, i + 1);
        assert_true(buf.capacity > buf.size);
        assert_int_equal(buf.data[buf.size], 0);
    }
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(buf.data[i], 'a' + i % 26);
}

static void test_growth_around_powers_of_two(void **state) {
    (void)state;
    for (size_t first = 60; first < 68; first++)
        for (size_t second = 0; second < 260; second++) {
            cleanup_buf struct buf buf = {0};
            cleanup_free char *data = mem_array(first + second, 1);
            memset(data, 'x', first + second);
            buf_add(&buf, data, first);
            buf_add(&buf, data, second);
            assert_int_equal(buf.size, first + second);
            assert_int_equal(strlen(buf_str(&buf)), first + second);
        }
}

static void test_binary(void **state) {
    (void)state;
    cleanup_buf struct buf buf = {0};
    buf_add(&buf, "a\0b", 3);
    buf_add_str(&buf, "c");
    assert_int_equal(buf.size, 4);
    assert_memory_equal(buf.data, "a\0bc", 5);
}

static void test_printf(void **state) {
    (void)state;
    cleanup_buf struct buf buf = {0};
    buf_printf(&buf, "%s-%d", "a", 1);
    buf_printf(&buf, "%s", "");
    buf_printf(&buf, "/%0500d", 7);
    assert_int_equal(buf.size, 3 + 1 + 500);
    assert_memory_equal(buf.data, "a-1/000", 7);
    assert_string_equal(buf.data + buf.size - 3, "007");
}

static void test_take(void **state) {
    (void)state;
    struct buf buf = {0};
    buf_add_str(&buf, "one");
    cleanup_free char *one = buf_take(&buf);
    assert_int_equal(buf.size, 0);
    assert_int_equal(buf.capacity, 0);
    buf_add_str(&buf, "two");
    cleanup_free char *two = buf_take(&buf);
    assert_string_equal(one, "one");
    assert_string_equal(two, "two");
}

static void test_strings(void **state) {
    (void)state;
    cleanup_free char *made = str_printf("%s/%u", "dir", 5u);
    assert_string_equal(made, "dir/5");
    cleanup_free char *copy = str_dup(made);
    assert_string_equal(copy, "dir/5");
    assert_ptr_not_equal(copy, made);
}

static void test_arrays(void **state) {
    (void)state;
    static const uint8_t zero[400];
    uint32_t *array = mem_array(100, sizeof(*array));
    assert_memory_equal(array, zero, 400);
    array[99] = 5;
    array = mem_resize(array, 1000, sizeof(*array));
    assert_int_equal(array[99], 5);
    array[999] = 1;
    array = mem_resize(array, 0, sizeof(*array)); // still memory that is freed
    assert_non_null(array);
    free(array);
    cleanup_free void *none = mem_array(0, 8);
    assert_non_null(none);
    cleanup_free void *fresh = mem_resize(NULL, 2, 8);
    assert_non_null(fresh);
}

static volatile size_t huge = SIZE_MAX; // volatile: the compiler must not warn about, or fold, the sizes

static void die_array(void) {
    free(mem_array(huge / 2, 4));
}
static void die_resize(void) {
    free(mem_resize(NULL, huge / 2, 4));
}
static void die_add(void) {
    struct buf buf = {0};
    buf_add(&buf, "", huge);
}
static void die_add_to_some(void) {
    struct buf buf = {0};
    buf_add_str(&buf, "some");
    buf_add(&buf, "", huge - 2);
}
static void die_add_half(void) {
    struct buf buf = {0};
    buf_add(&buf, "", huge / 2 + 1);
}

struct death {
    void (*body)(void);
    int error_fd;
};

static void die(void *data) {
    const struct death *death = data;
    alarm(20); // an endless loop is a failure too, with another signal
    dup2(death->error_fd, 2);
    death->body();
}

static void test_no_memory_aborts(void **state) {
    (void)state;
    static void (*const bodies[])(void) = {die_array, die_resize, die_add, die_add_to_some, die_add_half};
    for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
        struct err err = {0};
        cleanup_fd int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        cleanup_free char *text = NULL;
        int status = in_child(die, &(struct death){bodies[i], fd});
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
        lseek(fd, 0, SEEK_SET);
        assert_int_equal(file_read_fd(fd, "stderr", 1 << 20, &text, NULL, &err), 0);
        assert_contains(text, "out of memory");
    }
}

static void test_endings(void **state) {
    (void)state;
    static const struct {
        const char *text, *without;
    } rows[] = {{"a.raw.zst", "a"}, {"a.raw", "a"},         {"a.zst", "a.zst"},    {".raw", ".raw"},
                {"", ""},           {"a.raw.x", "a.raw.x"}, {"a.raw.raw", "a.raw"}};
    static const char *const tails[] = {".raw.zst", ".raw", NULL};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *found = str_without(rows[i].text, tails);
        assert_string_equal(found, rows[i].without);
    }
    assert_true(str_ends_with("a.raw", ".raw"));
    assert_false(str_ends_with(".raw", ".raw")); // nothing stands before it
    assert_false(str_ends_with("aw", ".raw"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_growth_byte_by_byte),
        cmocka_unit_test(test_growth_around_powers_of_two),
        cmocka_unit_test(test_binary),
        cmocka_unit_test(test_printf),
        cmocka_unit_test(test_take),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_endings),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_no_memory_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
