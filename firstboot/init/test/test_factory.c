// SPDX-License-Identifier: Apache-2.0
// Factory copies between two directories: complete, exact, never overwriting, and able to go on after any interruption.
#include "common/test/support.h"
#include "firstboot/init/factory.h"
#include <errno.h>
#include <sys/xattr.h>

struct trees {
    struct scratch *scratch;
    int from, to;
};

static int open_new(int dir_fd, const char *name) {
    struct err err = {0};
    assert_int_equal(file_mkdirs(dir_fd, name, 0755, &err), 0);
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void put(int dir_fd, const char *path, const char *content, mode_t mode) {
    struct err err = {0};
    assert_int_equal(file_publish(dir_fd, path, content, strlen(content), mode, &err), 0);
}

static void expect(int dir_fd, const char *path, const char *content) {
    struct err err = {0};
    cleanup_free char *text = NULL;
    if (file_read(dir_fd, path, 1 << 20, &text, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(text, content);
}

static struct stat look(int dir_fd, const char *path) {
    struct stat st;
    if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        fail_msg("%s: %s", path, strerror(errno));
    return st;
}

static void fill(int from) {
    struct err err = {0};
    const struct timespec times[2] = {{1000000000, 5}, {1100000000, 7}};
    assert_int_equal(file_mkdirs(from, "lib/deep/er", 0755, &err), 0);
    assert_int_equal(file_mkdirs(from, "tmp", 0755, &err), 0);
    assert_int_equal(fchmodat(from, "tmp", 01777, 0), 0);
    put(from, "lib/status", "ok\n", 0640);
    put(from, "lib/deep/er/empty", "", 0600);
    put(from, "lib/.hidden", "h", 0604);
    put(from, "lib/suid", "s", 0755);
    assert_int_equal(fchmodat(from, "lib/suid", 06755, 0), 0);
    assert_int_equal(utimensat(from, "lib/status", times, 0), 0);
    assert_int_equal(symlinkat("/run", from, "run"), 0);
    assert_int_equal(symlinkat("dangling/../x", from, "lib/link"), 0);
    assert_int_equal(mkfifoat(from, "lib/fifo", 0600), 0);
}

static int setup(void **state) {
    struct trees *trees = mem_array(1, sizeof(*trees));
    void *scratch = NULL;
    scratch_setup(&scratch);
    trees->scratch = scratch;
    trees->from = open_new(trees->scratch->fd, "from");
    trees->to = open_new(trees->scratch->fd, "to");
    fill(trees->from);
    *state = trees;
    return 0;
}

static int teardown(void **state) {
    struct trees *trees = *state;
    void *scratch = trees->scratch;
    close(trees->from);
    close(trees->to);
    free(trees);
    return scratch_teardown(&scratch);
}

static struct factory_counts copy(struct trees *trees) {
    struct factory_counts counts = {0};
    struct err err = {0};
    if (factory_copy(trees->from, trees->to, &counts, &err) < 0)
        fail_msg("%s", err.text);
    assert_false(file_exists(trees->to, FACTORY_STAGING));
    return counts;
}

static void expect_whole_tree(int to) {
    char target[64] = "";
    expect(to, "lib/status", "ok\n");
    expect(to, "lib/deep/er/empty", "");
    expect(to, "lib/.hidden", "h");
    assert_int_equal(look(to, "tmp").st_mode, S_IFDIR | 01777);
    assert_int_equal(look(to, "lib/deep").st_mode, S_IFDIR | 0755);
    assert_int_equal(look(to, "lib/status").st_mode, S_IFREG | 0640);
    assert_int_equal(look(to, "lib/suid").st_mode, S_IFREG | 06755);
    assert_int_equal(look(to, "lib/status").st_mtim.tv_sec, 1100000000);
    assert_int_equal(look(to, "lib/status").st_mtim.tv_nsec, 7);
    assert_int_equal(readlinkat(to, "lib/link", target, sizeof(target)), 13);
    assert_string_equal(target, "dangling/../x");
    assert_true(S_ISLNK(look(to, "run").st_mode));
    assert_false(file_exists(to, "lib/fifo"));
}

static void test_into_nothing(void **state) {
    struct trees *trees = *state;
    mode_t old = umask(077); // modes are exact all the same
    struct factory_counts counts = copy(trees);
    umask(old);
    expect_whole_tree(trees->to);
    assert_int_equal(counts.copied, 4 + 4 + 2); // directories, files, links
    assert_int_equal(counts.skipped, 1);
    counts = copy(trees); // and nothing the second time
    assert_int_equal(counts.copied, 0);
    expect_whole_tree(trees->to);
}

static void test_keeps_what_is_there(void **state) {
    struct trees *trees = *state;
    struct err err = {0};
    assert_int_equal(file_mkdirs(trees->to, "lib", 0755, &err), 0);
    assert_int_equal(fchmodat(trees->to, "lib", 0700, 0), 0);
    put(trees->to, "lib/status", "mine", 0600);
    put(trees->to, "lib/own", "mine too", 0600);
    put(trees->to, "tmp", "a file where the image has a directory", 0600);
    put(trees->to, "run", "a file where the image has a link", 0600);
    assert_int_equal(mkdirat(trees->to, "lib/.hidden", 0711), 0); // a directory where it has a file
    struct factory_counts counts = copy(trees);
    assert_int_equal(counts.copied, 2 + 2 + 1);
    assert_int_equal(look(trees->to, "lib").st_mode, S_IFDIR | 0700);
    expect(trees->to, "lib/status", "mine");
    assert_int_equal(look(trees->to, "lib/status").st_mode, S_IFREG | 0600);
    expect(trees->to, "lib/own", "mine too");
    expect(trees->to, "tmp", "a file where the image has a directory");
    expect(trees->to, "run", "a file where the image has a link");
    assert_int_equal(look(trees->to, "lib/.hidden").st_mode, S_IFDIR | 0711);
    expect(trees->to, "lib/deep/er/empty", "");
}

// An operator moved a directory elsewhere and left a link: nothing is written through it.
static void test_follows_no_link(void **state) {
    struct trees *trees = *state;
    cleanup_fd int elsewhere = open_new(trees->scratch->fd, "elsewhere");
    assert_int_equal(symlinkat("../elsewhere", trees->to, "lib"), 0);
    copy(trees);
    assert_false(file_exists(elsewhere, "status"));
    assert_true(S_ISLNK(look(trees->to, "lib").st_mode));
    assert_true(S_ISDIR(look(trees->to, "tmp").st_mode));
}

// What a power cut in the first walk leaves: staged files, a staged directory, some directories without their files.
static void test_goes_on_after_a_power_cut(void **state) {
    struct trees *trees = *state;
    struct err err = {0};
    assert_int_equal(file_mkdirs(trees->to, FACTORY_STAGING "/new", 0755, &err), 0);
    put(trees->to, FACTORY_STAGING "/0", "half a fi", 0600);
    put(trees->to, FACTORY_STAGING "/17", "", 0600);
    assert_int_equal(file_mkdirs(trees->to, "lib/deep", 0755, &err), 0);
    copy(trees);
    expect_whole_tree(trees->to);
}

// Many missing files of one directory keep their contents apart.
static void test_many_files(void **state) {
    struct trees *trees = *state;
    char name[32], content[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "lib/file-%d", i);
        snprintf(content, sizeof(content), "content of %d\n", i);
        put(trees->from, name, content, 0644);
        if (i % 3 == 0)
            copy(trees);
        else if (i % 7 == 0)
            put(trees->to, name, content, 0644);
    }
    copy(trees);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "lib/file-%d", i);
        snprintf(content, sizeof(content), "content of %d\n", i);
        expect(trees->to, name, content);
    }
}

static void test_large_file(void **state) {
    struct trees *trees = *state;
    cleanup_free char *text = mem_array(100001, 1);
    for (int i = 0; i < 100000; i++)
        text[i] = (char)('a' + i % 23);
    put(trees->from, "large", text, 0644);
    copy(trees);
    expect(trees->to, "large", text);
}

static void test_too_deep(void **state) {
    struct trees *trees = *state;
    struct err err = {0};
    struct factory_counts counts = {.copied = 4711};
    cleanup_buf struct buf path = {0};
    for (int i = 0; i <= FACTORY_MAX_DEPTH; i++)
        buf_add_str(&path, i ? "/d" : "d");
    assert_int_equal(file_mkdirs(trees->from, buf_str(&path), 0755, &err), 0);
    assert_int_equal(factory_copy(trees->from, trees->to, &counts, &err), -ELOOP);
    assert_contains(err.text, "more than 64 directories deep");
    assert_int_equal(counts.copied, 4711);
    assert_false(file_exists(trees->to, FACTORY_STAGING));
}

static void test_names_the_path(void **state) {
    struct trees *trees = *state;
    struct err err = {0};
    struct factory_counts counts;
    put(trees->to, FACTORY_STAGING, "a file in the way", 0600);
    assert_int_equal(factory_copy(trees->from, trees->to, &counts, &err), -EEXIST);
    assert_contains(err.text, "creating ");
    expect(trees->to, FACTORY_STAGING, "a file in the way");
}

static void label(int dir_fd, const char *name, const char *text) {
    cleanup_free char *path = str_printf("/proc/self/fd/%d/%s", dir_fd, name);
    if (lsetxattr(path, "security.selinux", text, strlen(text) + 1, 0) < 0) {
        print_message("%s takes no labels (%s): not root, or a file system without; test_selinux.py looks at machines\n", path,
                      strerror(errno));
        skip();
    }
}

static void expect_label(int dir_fd, const char *name, const char *expected) {
    char text[64] = "none";
    cleanup_free char *path = str_printf("/proc/self/fd/%d/%s", dir_fd, name);
    (void)!lgetxattr(path, "security.selinux", text, sizeof(text));
    assert_string_equal(text, expected);
}

static void test_takes_labels_along(void **state) {
    struct trees *trees = *state;
    label(trees->from, "lib", "of a directory");
    label(trees->from, "lib/status", "of a file");
    label(trees->from, "lib/link", "of a link");
    put(trees->to, "run", "mine", 0600);
    label(trees->from, "run", "not for what is there already");
    copy(trees);
    expect_label(trees->to, "lib", "of a directory");
    expect_label(trees->to, "lib/status", "of a file");
    expect_label(trees->to, "lib/link", "of a link");
    expect_label(trees->to, "lib/deep", "none");
    expect_label(trees->to, "run", "none");
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_into_nothing),       CASE(test_keeps_what_is_there), CASE(test_follows_no_link), CASE(test_goes_on_after_a_power_cut),
        CASE(test_many_files),         CASE(test_large_file),          CASE(test_too_deep),        CASE(test_names_the_path),
        CASE(test_takes_labels_along),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
