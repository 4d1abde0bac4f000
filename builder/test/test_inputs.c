// SPDX-License-Identifier: Apache-2.0
// Inputs and keys: what changes a key, what must not, and how a difference is explained.
#include "builder/inputs.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <utime.h>

#include <cmocka.h>

static char *temporary_dir(void) {
    char template[] = "/tmp/webops-test-XXXXXX";
    assert_non_null(mkdtemp(template));
    return str_dup(template);
}

static void put(const char *dir, const char *name, const char *text, mode_t mode) {
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/%s", dir, name);
    if (file_publish(AT_FDCWD, path, text, strlen(text), mode, &err) < 0)
        fail_msg("%s", err.text);
}

static void tree_key(const char *dir, char key[INPUTS_KEY_CHARS + 1]) {
    cleanup_inputs struct inputs inputs = {0};
    struct err err = {0};
    if (inputs_add_tree(&inputs, "file ", dir, &err) < 0)
        fail_msg("%s", err.text);
    inputs_key(&inputs, key);
}

static void test_tree(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *dir = temporary_dir();
    cleanup_free char *sub = str_printf("%s/sub", dir);
    cleanup_free char *a = str_printf("%s/a", dir);
    cleanup_free char *link = str_printf("%s/link", dir);
    char first[65], now[65];
    assert_int_equal(mkdir(sub, 0755), 0);
    put(dir, "a", "one", 0644);
    put(dir, "sub/b", "two", 0644);
    assert_int_equal(symlink("a", link), 0);
    tree_key(dir, first);
    // Times and group bits are the checkout's business, not the image's.
    assert_int_equal(utime(a, &(struct utimbuf){1, 1}), 0);
    assert_int_equal(chmod(a, 0600), 0);
    tree_key(dir, now);
    assert_string_equal(first, now);
    put(dir, "a", "ONE", 0644);
    tree_key(dir, now);
    assert_string_not_equal(first, now);
    put(dir, "a", "one", 0755);
    tree_key(dir, now);
    assert_string_not_equal(first, now);
    put(dir, "a", "one", 0644);
    tree_key(dir, now);
    assert_string_equal(first, now);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("b", link), 0);
    tree_key(dir, now);
    assert_string_not_equal(first, now);
    assert_int_equal(file_remove_tree(AT_FDCWD, dir, &err), 0);
}

static void test_tree_refuses(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *dir = temporary_dir();
    cleanup_free char *fifo = str_printf("%s/pipe", dir);
    cleanup_inputs struct inputs inputs = {0};
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(inputs_add_tree(&inputs, "", dir, &err), -EINVAL);
    assert_non_null(strstr(err.text, "pipe"));
    assert_int_equal(unlink(fifo), 0);
    put(dir, "tab\there", "x", 0644);
    assert_int_equal(inputs_add_tree(&inputs, "", dir, &err), -EINVAL);
    assert_int_equal(inputs_add_tree(&inputs, "", "/no/such/dir", &err), 0);
    assert_int_equal(file_remove_tree(AT_FDCWD, dir, &err), 0);
}

static void test_key_is_positional(void **state) {
    (void)state;
    // "a" = "bc" and "ab" = "c" are different inputs although the bytes run together.
    cleanup_inputs struct inputs one = {0}, two = {0}, three = {0};
    char first[65], second[65], third[65];
    inputs_add(&one, "a", "bc");
    inputs_add(&two, "ab", "c");
    inputs_add(&three, "a", "bc");
    inputs_key(&one, first);
    inputs_key(&two, second);
    inputs_key(&three, third);
    assert_string_not_equal(first, second);
    assert_string_equal(first, third);
    inputs_add_number(&three, "n", 18446744073709551615ULL);
    assert_string_equal(three.items[1].value, "18446744073709551615");
}

static void test_known_hash(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *dir = temporary_dir();
    cleanup_free char *path = str_printf("%s/abc", dir);
    cleanup_inputs struct inputs inputs = {0};
    put(dir, "abc", "abc", 0644);
    assert_int_equal(inputs_add_file(&inputs, "f", path, &err), 0);
    inputs_add_hash(&inputs, "h", "abc", 3);
    assert_string_equal(inputs.items[0].value, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(inputs.items[1].value, inputs.items[0].value);
    assert_int_equal(inputs_add_file(&inputs, "f", "/no/such/file", &err), -ENOENT);
    assert_int_equal(inputs.count, 2);
    assert_int_equal(file_remove_tree(AT_FDCWD, dir, &err), 0);
}

static void test_round_trip_and_difference(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_inputs struct inputs before = {0}, now = {0};
    inputs_add(&before, "kept", "1");
    inputs_add(&before, "level", "3");
    inputs_add(&before, "left", "x");
    cleanup_free char *text = inputs_format(&before);
    assert_string_equal(text, "kept\t1\nlevel\t3\nleft\tx\n");
    assert_int_equal(inputs_parse(text, &now, &err), 0);
    cleanup_free char *none = inputs_difference(&before, &now);
    assert_string_equal(none, "");
    inputs_done(&now);
    inputs_add(&now, "kept", "1");
    inputs_add(&now, "level", "15");
    inputs_add(&now, "fresh", "y");
    cleanup_free char *some = inputs_difference(&before, &now);
    assert_string_equal(some, "changed: level; new: fresh; gone: left");
}

static void test_long_difference(void **state) {
    (void)state;
    cleanup_inputs struct inputs before = {0}, now = {0};
    for (int i = 0; i < 6; i++) {
        cleanup_free char *name = str_printf("f%d", i);
        inputs_add(&before, name, "old");
        inputs_add(&now, name, "new");
    }
    cleanup_free char *text = inputs_difference(&before, &now);
    assert_string_equal(text, "changed: f0, f1, f2 and 3 more");
}

// A list is several inputs of one name: the same list is no difference, and a changed one is named once.
static void test_difference_of_lists(void **state) {
    (void)state;
    static const char *const lists[][3] = {{"a", "b", "c"}, {"a", "b", NULL}, {"a", "x", "c"}};
    struct inputs inputs[3] = {0};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (size_t j = 0; j < 3 && lists[i][j]; j++)
            inputs_add(&inputs[i], "mask", lists[i][j]);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (size_t j = 0; j < ARRAY_SIZE(lists); j++) {
            cleanup_free char *text = inputs_difference(&inputs[i], &inputs[j]);
            assert_string_equal(text, i == j ? "" : "changed: mask");
        }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        inputs_done(&inputs[i]);
}

static void test_damaged_list(void **state) {
    (void)state;
    static const char *const bad[] = {"no tab\n", "name\tvalue", "a\tb\nx"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct inputs inputs = {0};
        struct err err = {0};
        assert_int_equal(inputs_parse(bad[i], &inputs, &err), -EINVAL);
        assert_null(inputs.items);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_tree_refuses),
        cmocka_unit_test(test_known_hash),
        cmocka_unit_test(test_key_is_positional),
        cmocka_unit_test(test_long_difference),
        cmocka_unit_test(test_round_trip_and_difference),
        cmocka_unit_test(test_damaged_list),
        cmocka_unit_test(test_difference_of_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
