// SPDX-License-Identifier: Apache-2.0
// Layer indexes: find, merge by the rules of overlayfs, text form and damaged text.
#include "builder/index.h"
#include "common/test/support.h"
#include <errno.h>

static void add(struct index *index, const char *path, mode_t mode) {
    index_add(index, path, mode, 1, 2);
}

static void test_find(void **state) {
    (void)state;
    cleanup_index struct index index = {0};
    assert_null(index_find(&index, "a"));
    add(&index, "b", S_IFREG | 0644);
    add(&index, "a", S_IFDIR | 0755);
    assert_int_equal(index_find(&index, "a")->mode, S_IFDIR | 0755);
    add(&index, "0", S_IFREG | 0600);
    assert_non_null(index_find(&index, "0"));
    assert_non_null(index_find(&index, "b"));
    assert_null(index_find(&index, "c"));
}

static void test_merge(void **state) {
    (void)state;
    cleanup_index struct index lower = {0}, upper = {0};
    add(&lower, "dir", S_IFDIR | 0755);
    add(&lower, "dir/file", S_IFREG | 0644);
    add(&lower, "dir/gone", S_IFDIR | 0755);
    add(&lower, "dir/gone/deep", S_IFREG | 0644);
    add(&lower, "replaced", S_IFDIR | 0755);
    add(&lower, "replaced/below", S_IFREG | 0644);
    add(&upper, "dir", S_IFDIR | 0700);
    add(&upper, "dir/gone", S_IFCHR);
    add(&upper, "dir/new", S_IFREG | 0600);
    add(&upper, "replaced", S_IFLNK | 0777);
    index_merge(&lower, &upper);
    cleanup_buf struct buf text = {0};
    index_format(&lower, &text);
    assert_string_equal(buf_str(&text), "40700 1 2 dir\n100644 1 2 dir/file\n100600 1 2 dir/new\n120777 1 2 replaced\n");
}

static void test_text(void **state) {
    (void)state;
    static const char text[] = "40755 0 0 \n100644 1 2 a b\n";
    cleanup_index struct index index = {0};
    cleanup_buf struct buf again = {0};
    struct err err = {0};
    assert_int_equal(index_parse(text, strlen(text), &index, &err), 0);
    assert_int_equal(index.count, 2);
    assert_string_equal(index.entries[1].path, "a b");
    index_format(&index, &again);
    assert_string_equal(buf_str(&again), text);
}

static void test_damaged(void **state) {
    (void)state;
    static const char *const bad[] = {"100644 1 2 a", "100644 1 2\n", "x 1 2 a\n", "100644 1 a\n", "\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct index index = {0};
        struct err err = {0};
        assert_int_equal(index_parse(bad[i], strlen(bad[i]), &index, &err), -EINVAL);
        assert_contains(err.text, "line 1");
        assert_null(index.entries);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_find), cmocka_unit_test(test_merge), cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_damaged)};
    return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}
