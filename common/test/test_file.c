// SPDX-License-Identifier: Apache-2.0
// Bounded reads, the durable write, directories made. What removes and copies is in test_file_tree.c.
#include "common/file.h"
#include "common/test/support.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void do_nothing(int number) {
    (void)number;
}

static void write_file(int dir_fd, const char *name, const char *text) {
    cleanup_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void assert_content(int dir_fd, const char *name, const char *expected) {
    struct err err = {0};
    cleanup_free char *data = NULL;
    assert_int_equal(file_read(dir_fd, name, 1 << 20, &data, NULL, &err), 0);
    assert_string_equal(data, expected);
}

static unsigned count_entries(int dir_fd, const char *path) {
    unsigned count = 0;
    DIR *dir = fdopendir(openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static void test_open(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    write_file(scratch->fd, "a", "x");
    cleanup_fd int fd = file_open(scratch->fd, "a", O_RDONLY, 0, &err);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(file_open(scratch->fd, "dir/none", O_RDONLY, 0, &err), -ENOENT);
    assert_contains(err.text, "cannot open dir/none: No such file");
}

// The second waits until the first has ended, also one that signals keep disturbing.
static void test_lock(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    int fd = file_lock(scratch->fd, "lock", &err);
    assert_true(fd >= 0);
    pid_t child = fork();
    if (child == 0) {
        const struct sigaction interrupt = {.sa_handler = do_nothing}; // without SA_RESTART
        sigaction(SIGUSR1, &interrupt, NULL);
        close(fd);
        (void)!write(ready[1], "s", 1);
        int second = file_lock(scratch->fd, "lock", &err);
        (void)!write(ready[1], second >= 0 ? "l" : "f", 1);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 's');
    for (int i = 0; i < 20; i++) {
        struct pollfd answer = {.fd = ready[0], .events = POLLIN};
        assert_int_equal(kill(child, SIGUSR1), 0);
        assert_int_equal(poll(&answer, 1, 5), 0); // not yet
    }
    close(fd);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'l');
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(file_lock(scratch->fd, "none/lock", &err), -ENOENT);
    assert_contains(err.text, "cannot open none/lock");
}

static void test_read_bounds(void **state) {
    struct scratch *scratch = *state;
    static const struct {
        size_t size, max;
        int code;
    } cases[] = {{0, 0, 0},
                 {0, 10, 0},
                 {1, 0, -EFBIG},
                 {10, 10, 0},
                 {11, 10, -EFBIG},
                 {65536, 65536, 0},
                 {65537, 65536, -EFBIG},
                 {65537, 65537, 0},
                 {200000, 200000, 0},
                 {200000, 199999, -EFBIG},
                 {200000, SIZE_MAX, 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        cleanup_free char *content = mem_array(cases[i].size + 1, 1);
        memset(content, 'q', cases[i].size);
        write_file(scratch->fd, "sized", content);
        char *data = (char *)"before";
        size_t size = 77;
        assert_int_equal(file_read(scratch->fd, "sized", cases[i].max, &data, &size, &err), cases[i].code);
        if (cases[i].code < 0) {
            assert_contains(err.text, "sized is larger than the");
            assert_string_equal(data, "before");
            assert_int_equal(size, 77);
            continue;
        }
        assert_int_equal(size, cases[i].size);
        assert_memory_equal(data, content, size + 1); // with the NUL
        free(data);
    }
}

static void test_read_failures(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char *data = NULL;
    size_t size = 5;
    assert_int_equal(file_read(scratch->fd, "none", 10, &data, &size, &err), -ENOENT);
    assert_contains(err.text, "none");
    assert_int_equal(file_read(scratch->fd, ".", 10, &data, &size, &err), -EISDIR);
    assert_null(data);
    assert_int_equal(size, 5);
}

// A descriptor is read from where it stands; bytes with NUL inside are kept.
static void test_read_from_offset(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_fd int fd = openat(scratch->fd, "offset", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "abc\0def", 7), 7);
    lseek(fd, 2, SEEK_SET);
    cleanup_free char *data = NULL;
    size_t size = 0;
    assert_int_equal(file_read_fd(fd, "offset", 5, &data, &size, &err), 0);
    assert_int_equal(size, 5);
    assert_memory_equal(data, "c\0def", 6);
}

static void on_alarm(int signal) {
    (void)signal;
}

// A pipe takes a part at a time, and signals interrupt: all bytes arrive nevertheless.
static void test_write_all_into_a_pipe(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    int pipes[2];
    struct err err = {0};
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    cleanup_free char *data = mem_array(SIZE, 1);
    for (int i = 0; i < SIZE; i++)
        data[i] = (char)(i * 2654435761u >> 13); // no short period: a part written twice must show
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct sigaction action = {.sa_handler = on_alarm}; // no SA_RESTART
        struct itimerspec every = {{0, 2000000}, {0, 2000000}};
        timer_t timer;
        close(pipes[0]);
        if (sigaction(SIGALRM, &action, NULL) < 0 || timer_create(CLOCK_MONOTONIC, NULL, &timer) < 0 ||
            timer_settime(timer, 0, &every, NULL) < 0)
            _exit(3);
        _exit(file_write_all(pipes[1], "pipe", data, SIZE, &err) == 0 ? 0 : 1);
    }
    close(pipes[1]);
    usleep(20000); // the writer stands in write(2) on a full pipe while signals come
    char *got = NULL;
    size_t size = 0;
    int status = 0;
    assert_int_equal(file_read_fd(pipes[0], "pipe", SIZE, &got, &size, &err), 0);
    close(pipes[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(size, SIZE);
    assert_memory_equal(got, data, SIZE);
    free(got);
}

static void test_write_all_failure(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(file_write_all(full, "the device", "x", 1, &err), -ENOSPC);
    assert_contains(err.text, "cannot write the device: No space");
    assert_int_equal(file_write_all(full, "the device", NULL, 0, &err), 0);
}

static void test_publish_modes(void **state) {
    struct scratch *scratch = *state;
    static const mode_t masks[] = {0, 022, 077, 0777}, modes[] = {0600, 0644, 0755, 0666, 0444, 0000};
    for (size_t m = 0; m < ARRAY_SIZE(masks); m++)
        for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
            struct err err = {0};
            struct stat st;
            mode_t old = umask(masks[m]);
            int r = file_publish(scratch->fd, "mode", "text", 4, modes[i], &err);
            umask(old);
            assert_int_equal(r, 0);
            assert_int_equal(fstatat(scratch->fd, "mode", &st, 0), 0);
            assert_int_equal(st.st_mode & 07777, modes[i]);
            assert_int_equal(st.st_size, 4);
        }
    assert_int_equal(count_entries(scratch->fd, "."), 1);
}

static void test_publish_replaces(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct stat st;
    assert_int_equal(mkdirat(scratch->fd, "sub", 0700), 0);
    write_file(scratch->fd, "victim", "untouched");
    assert_int_equal(symlinkat("../victim", scratch->fd, "sub/link"), 0);
    assert_int_equal(file_publish(scratch->fd, "sub/link", "new", 3, 0600, &err), 0);
    assert_content(scratch->fd, "victim", "untouched"); // the link is replaced, not followed
    assert_int_equal(fstatat(scratch->fd, "sub/link", &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(file_publish(scratch->fd, "sub/link", "newer", 5, 0600, &err), 0);
    assert_content(scratch->fd, "sub/link", "newer");
    assert_int_equal(file_publish(scratch->fd, "sub/link", NULL, 0, 0600, &err), 0);
    assert_content(scratch->fd, "sub/link", "");
    assert_int_equal(count_entries(scratch->fd, "sub"), 1);
    cleanup_free char *absolute = str_printf("%s/absolute", scratch->path);
    assert_int_equal(file_publish(AT_FDCWD, absolute, "here", 4, 0600, &err), 0);
    assert_content(scratch->fd, "absolute", "here");
}

static void test_publish_long_name(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char name[256] = {0};
    memset(name, 'n', 255); // NAME_MAX
    assert_int_equal(file_publish(scratch->fd, name, "x", 1, 0600, &err), 0);
    assert_content(scratch->fd, name, "x");
    assert_int_equal(count_entries(scratch->fd, "."), 1);
}

static void test_publish_failures_leave_nothing(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    assert_int_equal(mkdirat(scratch->fd, "target", 0700), 0);
    assert_int_equal(mkdirat(scratch->fd, "target/full", 0700), 0);
    assert_int_equal(file_publish(scratch->fd, "target", "x", 1, 0600, &err), -EISDIR);
    assert_contains(err.text, "writing target: cannot rename");
    assert_int_equal(count_entries(scratch->fd, "."), 1);
    assert_int_equal(count_entries(scratch->fd, "target"), 1);
    assert_int_equal(file_publish(scratch->fd, "none/x", "x", 1, 0600, &err), -ENOENT);
    assert_contains(err.text, "writing none/x: ");
    write_file(scratch->fd, "file", "kept");
    assert_int_equal(file_publish(scratch->fd, "file/x", "x", 1, 0600, &err), -ENOTDIR);
    assert_content(scratch->fd, "file", "kept");
    assert_int_equal(count_entries(scratch->fd, "."), 2);
}

// The write fails in the middle, for whatever reason: the old content stays, nothing else does.
static void publish_beyond_the_limit(void *data) {
    struct scratch *scratch = data;
    struct err err = {0};
    static const char large[256 << 10];
    signal(SIGXFSZ, SIG_IGN);
    if (setrlimit(RLIMIT_FSIZE, &(struct rlimit){64 << 10, 64 << 10}) < 0 || file_publish(scratch->fd, "state", "old", 3, 0600, &err) < 0)
        _exit(2);
    if (file_publish(scratch->fd, "state", large, sizeof(large), 0600, &err) != -EFBIG || !strstr(err.text, "writing state: cannot write"))
        _exit(3);
}

static void test_publish_beyond_the_limit(void **state) {
    struct scratch *scratch = *state;
    assert_int_equal(in_child(publish_beyond_the_limit, scratch), 0);
    assert_content(scratch->fd, "state", "old");
    assert_int_equal(count_entries(scratch->fd, "."), 1);
}

// The same on a full file system of 64 KiB, and on a read-only one, in a mount namespace of a child. Only root can make one.
static void publish_without_space(void *data) {
    struct scratch *scratch = data;
    struct err err = {0};
    static const char large[256 << 10];
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("t", scratch->path, "tmpfs", 0, "size=64k") < 0)
        _exit(geteuid() == 0 ? 99 : 0); // without privileges there is nothing to show
    cleanup_fd int fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file_publish(fd, "state", "old", 3, 0600, &err) < 0)
        _exit(2);
    if (file_publish(fd, "state", large, sizeof(large), 0600, &err) != -ENOSPC || !strstr(err.text, "writing state: cannot write"))
        _exit(3);
    assert_content(fd, "state", "old");
    if (count_entries(fd, ".") != 1)
        _exit(4);
    if (mount(NULL, scratch->path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
        _exit(5);
    if (file_publish(fd, "state", "new", 3, 0600, &err) != -EROFS || count_entries(fd, ".") != 1)
        _exit(6);
    if (file_mkdirs(fd, ".", 0700, &err) < 0 || file_mkdirs(fd, "new", 0700, &err) != -EROFS)
        _exit(7);
    if (file_remove_tree(fd, "state", &err) != -EROFS)
        _exit(8);
}

static void test_publish_without_space(void **state) {
    assert_int_equal(in_child(publish_without_space, *state), 0);
}

static void publish_in_turn(const struct scratch *scratch, const char *const texts[2], size_t size) {
    for (int i = 0;; i++) {
        struct err err = {0};
        if (file_publish(scratch->fd, "shared", texts[i % 2], size, 0600, &err) < 0)
            _exit(1);
    }
}

// A reader sees the old or the new content whole, at any time; the disk may be busy for as long as it wants.
static void test_publish_is_atomic(void **state) {
    struct scratch *scratch = *state;
    enum { SIZE = 100000 };
    cleanup_free char *a = mem_array(SIZE + 1, 1), *b = mem_array(SIZE + 1, 1);
    struct err err = {0};
    memset(a, 'a', SIZE);
    memset(b, 'b', SIZE);
    const char *const texts[2] = {a, b};
    assert_int_equal(file_publish(scratch->fd, "shared", b, SIZE, 0600, &err), 0);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        publish_in_turn(scratch, texts, SIZE);
    unsigned seen[2] = {0}, mixed = 0;
    alarm(300);
    for (int i = 0; !mixed && (i < 300 || !seen[0] || !seen[1]); i++) {
        cleanup_free char *got = NULL;
        size_t size = 0;
        bool is_read = file_read(scratch->fd, "shared", SIZE, &got, &size, &err) == 0 && size == SIZE;
        bool is_a = is_read && memcmp(got, a, SIZE) == 0, is_b = is_read && memcmp(got, b, SIZE) == 0;
        seen[0] += is_a;
        seen[1] += is_b;
        mixed += !is_a && !is_b;
    }
    alarm(0);
    int status = 0;
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status)); // it published until it was stopped
    assert_int_equal(mixed, 0);
}

static void test_mkdirs(void **state) {
    struct scratch *scratch = *state;
    static const char *const paths[] = {"a", "a", "b/c/d", "b/c/d/", "b//c///e", "./f/g", "h/../i", "."};
    struct err err = {0};
    struct stat st;
    mode_t old = umask(0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        assert_int_equal(file_mkdirs(scratch->fd, paths[i], 0750, &err), 0);
        assert_int_equal(fstatat(scratch->fd, paths[i], &st, 0), 0);
        assert_true(S_ISDIR(st.st_mode));
    }
    umask(old);
    assert_int_equal(fstatat(scratch->fd, "b/c", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    cleanup_free char *absolute = str_printf("%s/x/y", scratch->path);
    assert_int_equal(file_mkdirs(AT_FDCWD, absolute, 0700, &err), 0);
    assert_true(file_exists(scratch->fd, "x/y"));
    assert_int_equal(file_mkdirs(AT_FDCWD, "/", 0700, &err), 0);
}

static void test_mkdirs_refusals(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    write_file(scratch->fd, "file", "x");
    assert_int_equal(symlinkat("nowhere", scratch->fd, "dangling"), 0);
    assert_int_equal(file_mkdirs(scratch->fd, "file", 0700, &err), -ENOTDIR);
    assert_contains(err.text, "file exists and is not a directory");
    assert_int_equal(file_mkdirs(scratch->fd, "file/sub", 0700, &err), -ENOTDIR);
    assert_contains(err.text, "file/sub");
    assert_int_equal(file_mkdirs(scratch->fd, "dangling", 0700, &err), -ENOENT);
    assert_int_equal(file_mkdirs(scratch->fd, "", 0700, &err), -ENOENT);
    assert_content(scratch->fd, "file", "x");
}

static void test_exists(void **state) {
    struct scratch *scratch = *state;
    write_file(scratch->fd, "file", "x");
    assert_int_equal(symlinkat("nowhere", scratch->fd, "dangling"), 0);
    assert_true(file_exists(scratch->fd, "file"));
    assert_true(file_exists(scratch->fd, "."));
    assert_true(file_exists(scratch->fd, "dangling")); // the link is there
    assert_false(file_exists(scratch->fd, "nowhere"));
    assert_false(file_exists(scratch->fd, "file/x"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define in_scratch(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        in_scratch(test_open),
        in_scratch(test_lock),
        in_scratch(test_read_bounds),
        in_scratch(test_read_failures),
        in_scratch(test_read_from_offset),
        cmocka_unit_test(test_write_all_into_a_pipe),
        cmocka_unit_test(test_write_all_failure),
        in_scratch(test_publish_modes),
        in_scratch(test_publish_replaces),
        in_scratch(test_publish_long_name),
        in_scratch(test_publish_failures_leave_nothing),
        in_scratch(test_publish_beyond_the_limit),
        in_scratch(test_publish_without_space),
        in_scratch(test_publish_is_atomic),
        in_scratch(test_mkdirs),
        in_scratch(test_mkdirs_refusals),
        in_scratch(test_exists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
