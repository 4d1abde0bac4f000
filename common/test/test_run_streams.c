// SPDX-License-Identifier: Apache-2.0
// What a child finds at 0, 1 and 2, in its environment, among its descriptors and signals.
#include "common/run.h"
#include "common/test/support.h"
#include <errno.h>
#include <signal.h>

#define SH(script) RUN_ARGV("sh", "-c", script)

static int text_fd(const char *text) {
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void assert_fd_text(int fd, const char *expected) {
    struct err err = {0};
    cleanup_free char *text = NULL;
    lseek(fd, 0, SEEK_SET);
    assert_int_equal(file_read_fd(fd, "stream", 1 << 20, &text, NULL, &err), 0);
    assert_string_equal(text, expected);
}

static void test_input(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_fd int in = text_fd("given\ninput\n");
    cleanup_free char *text = NULL, *none = NULL, *target = NULL;
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("cat"), .in = in}, 100, &text, NULL, &err), 0);
    assert_string_equal(text, "given\ninput\n");
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("cat")}, 100, &none, NULL, &err), 0);
    assert_string_equal(none, "");
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("readlink", "/proc/self/fd/0")}, 100, &target, NULL, &err), 0);
    assert_string_equal(target, "/dev/null\n");
}

static void test_inherited_input(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_fd int kept = fcntl(0, F_DUPFD_CLOEXEC, 3);
    cleanup_fd int in = text_fd("our own input");
    cleanup_free char *text = NULL;
    dup2(in, 0);
    int r = run_capture(&(struct run){.argv = RUN_ARGV("cat"), .in = RUN_INHERIT}, 100, &text, NULL, &err);
    kept >= 0 ? dup2(kept, 0) : close(0);
    assert_int_equal(r, 0);
    assert_string_equal(text, "our own input");
}

static void test_environment(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *given = NULL, *inherited = NULL, *empty = NULL;
    const char *const env[] = {"WEBOPS_TEST=a b=c", "LANG=C", NULL}, *const nothing[] = {NULL};
    setenv("WEBOPS_TEST", "ours", 1);
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("env"), .env = env}, 1000, &given, NULL, &err), 0);
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("printenv", "WEBOPS_TEST")}, 1000, &inherited, NULL, &err), 0);
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("env"), .env = nothing}, 1000, &empty, NULL, &err), 0);
    unsetenv("WEBOPS_TEST");
    assert_string_equal(given, "WEBOPS_TEST=a b=c\nLANG=C\n");
    assert_string_equal(inherited, "ours\n");
    assert_string_equal(empty, "");
}

// By default the child's output joins our standard error: standard output is for what our own verbs print.
static void test_default_streams(void **state) {
    (void)state;
    struct err err = {0};
    struct redirect redirect;
    cleanup_free char *out = NULL, *error = NULL;
    redirect_begin(&redirect);
    int r = run(&(struct run){.argv = SH("echo to-out; echo to-error >&2")}, &err);
    redirect_end(&redirect, &out, &error);
    assert_int_equal(r, 0);
    assert_string_equal(out, "");
    assert_string_equal(error, "to-out\nto-error\n");
}

static void test_chosen_streams(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_fd int a = text_fd(""), b = text_fd("");
    assert_int_equal(run(&(struct run){.argv = SH("echo to-out; echo to-error >&2"), .out = a, .error = b}, &err), 0);
    assert_fd_text(a, "to-out\n");
    assert_fd_text(b, "to-error\n");
}

// Our own 1 as the child's 2, and our own 2 as its 1, although one is replaced before the other.
static void test_crossed_streams(void **state) {
    (void)state;
    static const struct {
        int out, error;
        const char *on_out, *on_error;
    } cases[] = {
        {RUN_INHERIT, RUN_INHERIT, "to-out\n", "to-error\n"},
        {RUN_INHERIT, 1, "to-out\nto-error\n", ""},
        {1, 2, "to-out\n", "to-error\n"},
        {2, 1, "to-error\n", "to-out\n"},
        {0, 1, "to-error\n", "to-out\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        struct redirect redirect;
        cleanup_free char *out = NULL, *error = NULL;
        redirect_begin(&redirect);
        int r = run(&(struct run){.argv = SH("echo to-out; echo to-error >&2"), .out = cases[i].out, .error = cases[i].error}, &err);
        redirect_end(&redirect, &out, &error);
        assert_int_equal(r, 0);
        assert_string_equal(out, cases[i].on_out);
        assert_string_equal(error, cases[i].on_error);
    }
}

static void test_quiet(void **state) {
    (void)state;
    static const struct {
        const char *script;
        int code;
        const char *text;
    } cases[] = {
        {"echo noise; echo more >&2", 0, ""},
        {"echo noise; echo more >&2; exit 4", -EIO, "sh failed with exit status 4: noise | more"},
        {"seq 1 100000", 0, ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        struct redirect redirect;
        cleanup_free char *out = NULL, *error = NULL;
        redirect_begin(&redirect);
        int r = run_quiet(&(struct run){.argv = SH(cases[i].script)}, &err);
        redirect_end(&redirect, &out, &error);
        assert_int_equal(r, cases[i].code);
        assert_string_equal(err.text, cases[i].text);
        assert_string_equal(out, "");
        assert_string_equal(error, "");
    }
}

static void test_quiet_with_output(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_fd int out = text_fd("");
    assert_int_equal(run_quiet(&(struct run){.argv = SH("echo kept; echo why >&2; exit 1"), .out = out}, &err), -EIO);
    assert_string_equal(err.text, "sh failed with exit status 1: why");
    assert_fd_text(out, "kept\n");
}

// A secret file that happens to be open here must not be open there.
static void test_descriptors_are_closed(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_fd int secret = text_fd("secret");
    cleanup_free char *text = NULL;
    assert_int_equal(run_capture(&(struct run){.argv = SH("for i in 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do [ -e /proc/$$/fd/$i ] && "
                                                          "readlink /proc/$$/fd/$i; done; echo end"),
                                               .in = secret},
                                 1000, &text, NULL, &err),
                     0);
    assert_null(strstr(text, "pipe:"));
    assert_null(strstr(text, "/tmp"));
    assert_contains(text, "end");
}

// What we ignore or block for ourselves, the child starts with as if nothing had been. What asks programs to end is in test_run.c, and may be ignored here.
static void test_signals_are_reset(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *text = NULL;
    sigset_t blocked, old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, &old), 0);
    void (*old_pipe)(int) = signal(SIGPIPE, SIG_IGN);
    int r = run_capture(&(struct run){.argv = RUN_ARGV("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status")}, 1000, &text, NULL, &err);
    signal(SIGPIPE, old_pipe);
    sigprocmask(SIG_SETMASK, &old, NULL);
    assert_int_equal(r, 0);
    assert_contains(text, "SigBlk:\t0000000000000000\n");
    const char *ignored = strstr(text, "SigIgn:\t");
    assert_non_null(ignored);
    const unsigned long long ending = 1u << (SIGHUP - 1) | 1u << (SIGINT - 1) | 1u << (SIGQUIT - 1) | 1u << (SIGTERM - 1);
    assert_int_equal(strtoull(ignored + strlen("SigIgn:\t"), NULL, 16) & 0x7fffffff & ~ending, 0); // 32 and 33 are the C library's own
}

// Several children at a time, each waited for by its own pid.
static void test_start_and_wait(void **state) {
    (void)state;
    struct err err = {0};
    pid_t pids[3];
    static const char *const scripts[] = {"exit 0", "sleep 0.2; exit 7", "exit 9"};
    static const int codes[] = {0, -EIO, -EIO};
    for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
        assert_int_equal(run_start(&(struct run){.argv = SH(scripts[i])}, &pids[i], &err), 0);
    for (size_t i = ARRAY_SIZE(pids); i-- > 0;)
        assert_int_equal(run_wait(&(struct run){.argv = SH(scripts[i])}, pids[i], &err), codes[i]);
    assert_int_equal(run_wait(&(struct run){.argv = SH("gone")}, pids[0], &err), -ECHILD);
    assert_contains(err.text, "cannot wait for sh");
}

static void test_bad_descriptor(void **state) {
    (void)state;
    struct err err = {0};
    assert_int_equal(run(&(struct run){.argv = SH("exit 0"), .in = 9999}, &err), -EBADF);
    assert_contains(err.text, "cannot start sh");
}

static unsigned open_descriptors(void) {
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void test_nothing_leaks(void **state) {
    (void)state;
    unsigned before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        struct err err = {0};
        char *text = NULL;
        assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("no-such-program-here")}, 10, &text, NULL, &err), -ENOENT);
        assert_int_equal(run_capture(&(struct run){.argv = SH("echo too much")}, 1, &text, NULL, &err), -EFBIG);
        assert_int_equal(run_quiet(&(struct run){.argv = SH("exit 1"), .timeout_ms = 10000}, &err), -EIO);
        assert_int_equal(run(&(struct run){.argv = SH("exit 1"), .error = 1}, &err), -EIO);
    }
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); // and no zombie either
    assert_int_equal(errno, ECHILD);
}

int main(void) {
    setenv("PATH", "/usr/bin:/bin", 1); // a directory in it that may not be searched would change what "not found" is
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input),
        cmocka_unit_test(test_inherited_input),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_default_streams),
        cmocka_unit_test(test_chosen_streams),
        cmocka_unit_test(test_crossed_streams),
        cmocka_unit_test(test_quiet),
        cmocka_unit_test(test_quiet_with_output),
        cmocka_unit_test(test_descriptors_are_closed),
        cmocka_unit_test(test_signals_are_reset),
        cmocka_unit_test(test_start_and_wait),
        cmocka_unit_test(test_bad_descriptor),
        cmocka_unit_test(test_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
