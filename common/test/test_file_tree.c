// SPDX-License-Identifier: Apache-2.0
// file_remove_tree() and file_copy_fd().
#include "common/file.h"
#include "common/test/support.h"
#include <errno.h>
#include <grp.h>
#include <sys/stat.h>

#define NOBODY 65534

static void make_file(int dir_fd, const char *name) {
    cleanup_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
}

static void make_dir(int dir_fd, const char *name) {
    assert_int_equal(mkdirat(dir_fd, name, 0700), 0);
}

static void test_remove_simple(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    make_file(scratch->fd, "file");
    make_dir(scratch->fd, "empty");
    make_dir(scratch->fd, "neighbour");
    assert_int_equal(mkfifoat(scratch->fd, "fifo", 0600), 0); // opening it would hang
    static const char *const names[] = {"file", "empty", "fifo", "missing", "missing/below"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(file_remove_tree(scratch->fd, names[i], &err), 0);
        assert_false(file_exists(scratch->fd, names[i]));
    }
    assert_true(file_exists(scratch->fd, "neighbour"));
    assert_int_equal(file_remove_tree(scratch->fd, "neighbour/", &err), 0);
    assert_false(file_exists(scratch->fd, "neighbour"));
}

static void test_remove_does_not_follow(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    make_dir(scratch->fd, "outside");
    make_file(scratch->fd, "outside/kept");
    make_dir(scratch->fd, "tree");
    assert_int_equal(symlinkat("../outside", scratch->fd, "tree/to-dir"), 0);
    assert_int_equal(symlinkat("../outside/kept", scratch->fd, "tree/to-file"), 0);
    assert_int_equal(symlinkat("..", scratch->fd, "tree/up"), 0);
    assert_int_equal(symlinkat("nowhere", scratch->fd, "tree/dangling"), 0);
    assert_int_equal(symlinkat("outside", scratch->fd, "link"), 0);
    assert_int_equal(file_remove_tree(scratch->fd, "tree", &err), 0);
    assert_int_equal(file_remove_tree(scratch->fd, "link", &err), 0);
    assert_false(file_exists(scratch->fd, "tree"));
    assert_false(file_exists(scratch->fd, "link"));
    assert_true(file_exists(scratch->fd, "outside/kept"));
}

static void test_remove_deep_and_wide(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    make_dir(scratch->fd, "tree");
    int fd = openat(scratch->fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int depth = 0; depth < 300; depth++) {
        make_file(fd, "file");
        make_dir(fd, "sub");
        int below = openat(fd, "sub", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = below;
    }
    for (int i = 0; i < 3000; i++) {
        cleanup_free char *name = str_printf("file-%d", i);
        make_file(fd, name);
    }
    close(fd);
    assert_int_equal(file_remove_tree(scratch->fd, "tree", &err), 0);
    assert_false(file_exists(scratch->fd, "tree"));
}

// As somebody whom permissions bind: directories of ours without any permission are removed all the same, those of others are not.
static void remove_as_nobody(void *data) {
    struct scratch *scratch = data;
    struct err err = {0};
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
        _exit(2);
    static const mode_t modes[] = {0000, 0100, 0400, 0500, 0555, 0300};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (mkdirat(scratch->fd, "mine", 0700) < 0 || mkdirat(scratch->fd, "mine/sub", 0700) < 0)
            _exit(3);
        make_file(scratch->fd, "mine/sub/file");
        if (fchmodat(scratch->fd, "mine/sub", modes[i], 0) < 0 || fchmodat(scratch->fd, "mine", modes[i], 0) < 0)
            _exit(4);
        if (file_remove_tree(scratch->fd, "mine", &err) < 0 || file_exists(scratch->fd, "mine"))
            _exit(10 + (int)i);
    }
}

static void test_remove_without_permission(void **state) {
    struct scratch *scratch = *state;
    assert_int_equal(fchmod(scratch->fd, 0777), 0);
    assert_int_equal(in_child(remove_as_nobody, scratch), 0);
}

static void remove_foreign(void *data) {
    struct scratch *scratch = data;
    struct err err = {0};
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
        _exit(2);
    if (file_remove_tree(scratch->fd, "theirs", &err) != -EACCES)
        _exit(3);
    if (strcmp(err.text, "in theirs: in sub: cannot remove file: Permission denied") != 0)
        _exit(4);
}

// The message names the whole way to what could not be removed. Only root can make a directory that belongs to somebody else.
static void test_remove_foreign(void **state) {
    struct scratch *scratch = *state;
    if (geteuid() != 0)
        return;
    make_dir(scratch->fd, "theirs");
    make_dir(scratch->fd, "theirs/sub");
    make_file(scratch->fd, "theirs/sub/file");
    assert_int_equal(fchmod(scratch->fd, 0777), 0);
    assert_int_equal(fchmodat(scratch->fd, "theirs", 0777, 0), 0);
    assert_int_equal(fchmodat(scratch->fd, "theirs/sub", 0755, 0), 0);
    assert_int_equal(in_child(remove_foreign, scratch), 0);
    assert_true(file_exists(scratch->fd, "theirs/sub/file"));
}

// A descriptor with `size` bytes of a pattern, at its start.
static int pattern_file(struct scratch *scratch, const char *name, size_t size) {
    cleanup_free uint8_t *data = mem_array(size, 1);
    struct err err = {0};
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    int fd = openat(scratch->fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(file_write_all(fd, name, data, size, &err), 0);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void assert_same_content(int a, off_t a_from, int b, off_t b_from) {
    cleanup_free char *one = NULL, *two = NULL;
    size_t one_size = 0, two_size = 0;
    struct err err = {0};
    lseek(a, a_from, SEEK_SET);
    lseek(b, b_from, SEEK_SET);
    assert_int_equal(file_read_fd(a, "a", 16 << 20, &one, &one_size, &err), 0);
    assert_int_equal(file_read_fd(b, "b", 16 << 20, &two, &two_size, &err), 0);
    assert_int_equal(one_size, two_size);
    assert_memory_equal(one, two, one_size);
}

static void test_copy_sizes(void **state) {
    struct scratch *scratch = *state;
    static const size_t sizes[] = {0, 1, 4096, 65536, 65537, (3 << 20) + 17};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct err err = {0};
        uint64_t bytes = 99;
        cleanup_fd int from = pattern_file(scratch, "from", sizes[i]);
        cleanup_fd int to = openat(scratch->fd, "to", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(file_copy_fd(from, to, "x", &bytes, &err), 0);
        assert_int_equal(bytes, sizes[i]);
        assert_same_content(from, 0, to, 0);
        assert_int_equal(unlinkat(scratch->fd, "from", 0), 0);
    }
}

// The rest of `from` goes to where `to` stands; the caller may not want the count.
static void test_copy_from_offsets(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_fd int from = pattern_file(scratch, "from", 100000);
    cleanup_fd int to = pattern_file(scratch, "to", 10);
    lseek(from, 70000, SEEK_SET);
    lseek(to, 10, SEEK_SET);
    assert_int_equal(file_copy_fd(from, to, "x", NULL, &err), 0);
    assert_int_equal(lseek(to, 0, SEEK_END), 30010);
    assert_same_content(from, 70000, to, 10);
}

static void test_copy_into_append(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    uint64_t bytes = 0;
    cleanup_fd int from = pattern_file(scratch, "from", 5000);
    cleanup_fd int to = openat(scratch->fd, "log", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600); // copy_file_range() refuses it
    assert_int_equal(file_copy_fd(from, to, "x", &bytes, &err), 0);
    assert_int_equal(bytes, 5000);
    assert_same_content(from, 0, to, 0);
}

static void test_copy_from_pipe(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    uint64_t bytes = 0;
    int pipes[2];
    cleanup_fd int source = pattern_file(scratch, "from", 2 << 20);
    cleanup_fd int to = openat(scratch->fd, "to", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(pipes[0]);
        _exit(file_copy_fd(source, pipes[1], "into the pipe", &bytes, &err) == 0 && bytes == 2 << 20 ? 0 : 1);
    }
    close(pipes[1]);
    int status = 0;
    assert_int_equal(file_copy_fd(pipes[0], to, "out of the pipe", &bytes, &err), 0);
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(bytes, 2 << 20);
    assert_same_content(source, 0, to, 0);
}

// Files of procfs say that they have no bytes; sysfs says 4096.
static void test_copy_from_kernel_files(void **state) {
    struct scratch *scratch = *state;
    static const char *const names[] = {"/proc/version", "/proc/filesystems", "/sys/kernel/mm/transparent_hugepage/enabled"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct err err = {0};
        uint64_t bytes = 0;
        cleanup_fd int from = open(names[i], O_RDONLY | O_CLOEXEC);
        if (from < 0 && i == 2)
            continue; // a kernel without it
        cleanup_fd int to = openat(scratch->fd, "to", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_int_equal(file_copy_fd(from, to, names[i], &bytes, &err), 0);
        assert_true(bytes > 0);
        assert_int_equal(lseek(to, 0, SEEK_END), bytes);
        assert_same_content(from, 0, to, 0);
    }
}

static void test_copy_failures(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    uint64_t bytes = 42;
    cleanup_fd int from = pattern_file(scratch, "from", 5000);
    cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    cleanup_fd int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(file_copy_fd(from, full, "the image", &bytes, &err), -ENOSPC);
    assert_contains(err.text, "the image");
    assert_int_equal(file_copy_fd(directory, from, "a directory", &bytes, &err), -EISDIR);
    assert_contains(err.text, "a directory");
    assert_int_equal(bytes, 42);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define in_scratch(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        in_scratch(test_remove_simple),
        in_scratch(test_remove_does_not_follow),
        in_scratch(test_remove_deep_and_wide),
        in_scratch(test_remove_foreign),
        in_scratch(test_remove_without_permission),
        in_scratch(test_copy_sizes),
        in_scratch(test_copy_from_offsets),
        in_scratch(test_copy_into_append),
        in_scratch(test_copy_from_pipe),
        in_scratch(test_copy_from_kernel_files),
        in_scratch(test_copy_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
