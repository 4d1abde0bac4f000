// SPDX-License-Identifier: Apache-2.0
// Small reads and writes with their limits, directories, and the durable write.
#include "common/test/support.h"
#include "firstboot/init/sys.h"
#include <errno.h>

static void put(int dir_fd, const char *path, const void *content, size_t size) {
    struct err err = {0};
    assert_int_equal(file_publish(dir_fd, path, content, size, 0644, &err), 0);
}

static void test_read_text(void **state) {
    struct scratch *scratch = *state;
    char text[8];
    put(scratch->fd, "six", "abcdef\n", 7);
    assert_int_equal(sys_read_text(scratch->fd, "six", text, sizeof(text)), 6);
    assert_string_equal(text, "abcdef");
    put(scratch->fd, "plain", "abcdefg", 7);
    assert_int_equal(sys_read_text(scratch->fd, "plain", text, sizeof(text)), 7);
    put(scratch->fd, "eight", "abcdefgh", 8);
    assert_int_equal(sys_read_text(scratch->fd, "eight", text, sizeof(text)), -EFBIG);
    put(scratch->fd, "empty", "", 0);
    assert_int_equal(sys_read_text(scratch->fd, "empty", text, sizeof(text)), 0);
    assert_string_equal(text, "");
    put(scratch->fd, "feeds", "a\n\n", 3);
    assert_int_equal(sys_read_text(scratch->fd, "feeds", text, sizeof(text)), 2);
    put(scratch->fd, "nul", "a\0b", 3);
    assert_int_equal(sys_read_text(scratch->fd, "nul", text, sizeof(text)), -EINVAL);
    assert_int_equal(sys_read_text(scratch->fd, "missing", text, sizeof(text)), -ENOENT);
    assert_int_equal(sys_read_text(scratch->fd, ".", text, sizeof(text)), -EISDIR);
}

static void test_read_at(void **state) {
    struct scratch *scratch = *state;
    char bytes[4] = "";
    put(scratch->fd, "file", "0123456789", 10);
    cleanup_fd int fd = openat(scratch->fd, "file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(sys_read_at(fd, 6, bytes, 4), 0);
    assert_memory_equal(bytes, "6789", 4);
    assert_int_equal(sys_read_at(fd, 7, bytes, 4), -ENODATA);
    assert_int_equal(sys_read_at(fd, 1 << 20, bytes, 1), -ENODATA);
    assert_int_equal(sys_read_at(-1, 0, bytes, 1), -EBADF);
}

static void test_write_all(void **state) {
    (void)state;
    cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(sys_write_all(full, "x", 1), -ENOSPC);
    assert_int_equal(sys_write_all(full, "", 0), 0);
    int pipe_fds[2];
    char text[8] = "";
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    assert_int_equal(sys_write_all(pipe_fds[1], "abc", 3), 0);
    assert_int_equal(read(pipe_fds[0], text, sizeof(text)), 3);
    assert_string_equal(text, "abc");
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void test_mkdir(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct stat st;
    mode_t old = umask(077);
    assert_int_equal(sys_mkdir(scratch->fd, "d", 01755, &err), 0);
    umask(old);
    assert_int_equal(fstatat(scratch->fd, "d", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 01755);
    assert_int_equal(sys_mkdir(scratch->fd, "d", 0700, &err), 0);
    assert_int_equal(fstatat(scratch->fd, "d", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 01755); // kept
    put(scratch->fd, "file", "", 0);
    assert_int_equal(sys_mkdir(scratch->fd, "file", 0700, &err), -ENOTDIR);
    assert_contains(err.text, "file is in the way");
    assert_int_equal(symlinkat("d", scratch->fd, "link"), 0);
    assert_int_equal(sys_mkdir(scratch->fd, "link", 0700, &err), -ENOTDIR);
    assert_int_equal(sys_mkdir(scratch->fd, "no/d", 0700, &err), -ENOENT);
    assert_contains(err.text, "no/d");
}

static void test_publish(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct stat st;
    cleanup_free char *text = NULL;
    put(scratch->fd, "name", "old and longer", 14);
    put(scratch->fd, ".webops-new", "left by a power cut", 19);
    mode_t old = umask(077);
    assert_int_equal(sys_publish(scratch->fd, "name", "new", 3, 0444, &err), 0);
    umask(old);
    assert_int_equal(file_read(scratch->fd, "name", 100, &text, NULL, &err), 0);
    assert_string_equal(text, "new");
    assert_int_equal(fstatat(scratch->fd, "name", &st, 0), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0444);
    assert_false(file_exists(scratch->fd, ".webops-new"));
}

static void test_publish_failures(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    assert_int_equal(mkdirat(scratch->fd, "name", 0755), 0);
    assert_int_equal(sys_publish(scratch->fd, "name", "new", 3, 0444, &err), -EISDIR);
    assert_contains(err.text, "writing name");
    assert_false(file_exists(scratch->fd, ".webops-new")); // nothing half-written stays
    assert_int_equal(symlinkat("victim", scratch->fd, ".webops-new"), 0);
    assert_int_equal(sys_publish(scratch->fd, "other", "new", 3, 0444, &err), 0);
    assert_false(file_exists(scratch->fd, "victim")); // a link in the way is replaced, not followed
    assert_int_equal(sys_publish(-1, "name", "new", 3, 0444, &err), -EBADF);
}

static void test_mount_says_what(void **state) {
    (void)state;
    struct err err = {0};
    assert_true(sys_mount("/dev/vda5", "/nonexistent/target", "ext4", 0, NULL, &err) < 0);
    assert_contains(err.text, "mounting /dev/vda5 (ext4) on /nonexistent/target: ");
}

static void test_clock(void **state) {
    (void)state;
    uint64_t before = sys_now_ms();
    usleep(20000);
    uint64_t passed = sys_now_ms() - before;
    assert_true(passed >= 19 && passed < 60000);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_read_text), CASE(test_read_at),          cmocka_unit_test(test_write_all),       CASE(test_mkdir),
        CASE(test_publish),   CASE(test_publish_failures), cmocka_unit_test(test_mount_says_what), cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
