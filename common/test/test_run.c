// SPDX-License-Identifier: Apache-2.0
// The process runner: how a child may end, what it gets, and that a deadline ends all of it. `sh -c` stands here for any program.
#include "common/run.h"
#include "common/test/support.h"
#include "common/test/older_kernel.h"
#include <errno.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define SH(script) RUN_ARGV("sh", "-c", script)

static int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static long to_number(const char *text) {
    return strtol(text, NULL, 10);
}

static void test_endings(void **state) {
    (void)state;
    static const struct {
        const char *script;
        int code;
        const char *text;
    } cases[] = {
        {"exit 0", 0, ""},
        {"exit 1", -EIO, "sh failed with exit status 1"},
        {"exit 75", -EAGAIN, "sh failed with exit status 75"},
        {"exit 255", -EIO, "sh failed with exit status 255"},
        {"kill -TERM $$", -EIO, "sh was killed by signal 15 (Terminated)"},
        {"kill -KILL $$", -EIO, "sh was killed by signal 9 (Killed)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (unsigned timeout_ms = 0; timeout_ms <= 20000; timeout_ms += 20000) {
            struct err err = {0};
            assert_int_equal(run(&(struct run){.argv = SH(cases[i].script), .timeout_ms = timeout_ms}, &err), cases[i].code);
            assert_string_equal(err.text, cases[i].text);
        }
}

static void test_not_installed(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char *text = (char *)"before";
    assert_int_equal(run(&(struct run){.argv = RUN_ARGV("no-such-program-here")}, &err), -ENOENT);
    assert_string_equal(err.text, "cannot start no-such-program-here: the program is not installed");
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("no-such-program-here")}, 10, &text, NULL, &err), -ENOENT);
    assert_string_equal(text, "before");
    cleanup_free char *path = str_printf("%s/script", scratch->path);
    assert_int_equal(file_publish(AT_FDCWD, path, "exit 0\n", 7, 0644, &err), 0);
    assert_int_equal(run(&(struct run){.argv = RUN_ARGV(path)}, &err), -EACCES);
    assert_contains(err.text, "Permission denied");
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(run(&(struct run){.argv = RUN_ARGV(path)}, &err), -ENOEXEC); // never handed to a shell
}

static void test_arguments_are_no_shell(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *text = NULL;
    size_t size = 0;
    const struct run run = {.argv = RUN_ARGV("printf", "<%s>", "", "a b", "$HOME;`id`", "*", "'\"\\")};
    assert_int_equal(run_capture(&run, 1000, &text, &size, &err), 0);
    assert_string_equal(text, "<><a b><$HOME;`id`><*><'\"\\>");
    assert_int_equal(size, strlen(text));
}

// The deadline kills the grandchild as well, and does not wait for it.
static void test_timeout_kills_the_group(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *pid_path = str_printf("%s/pid", scratch->path);
    cleanup_free char *env = str_printf("P=%s", pid_path);
    const char *const environment[] = {env, "PATH=/usr/bin:/bin", NULL};
    for (int kind = 0; kind < 3; kind++) {
        struct err err = {0};
        char *text = NULL;
        const struct run command = {.argv = SH("sleep 60 & echo $! >$P; wait; sleep 60"), .env = environment, .timeout_ms = 1500};
        int64_t start = now_ms();
        int r = kind == 0 ? run(&command, &err) : kind == 1 ? run_capture(&command, 100, &text, NULL, &err) : run_quiet(&command, &err);
        assert_int_equal(r, -ETIMEDOUT);
        assert_in_range(now_ms() - start, 1450, 10000);
        assert_string_equal(err.text, "sh did not end within 1500 ms and was stopped");
        assert_null(text);
        cleanup_free char *pid_text = NULL;
        assert_int_equal(file_read(scratch->fd, "pid", 20, &pid_text, NULL, &err), 0);
        assert_true(to_number(pid_text) > 1);
        assert_true(is_gone(to_number(pid_text)));
    }
}

// One deadline for all: a child that closes its pipes early, or never stops printing, gains nothing. A second
// deadline would make 5.8 s of the first; a busy machine is late by less.
static void test_timeout_of_captures(void **state) {
    (void)state;
    static const char *const scripts[] = {"sleep 2.8; exec >/dev/null 2>&1; exec sleep 60", "while :; do echo line >&2; done",
                                          "trap '' TERM; sleep 60"};
    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
        struct err err = {0};
        char *text = NULL;
        int64_t start = now_ms();
        assert_int_equal(run_capture(&(struct run){.argv = SH(scripts[i]), .timeout_ms = 3000}, 100, &text, NULL, &err), -ETIMEDOUT);
        assert_in_range(now_ms() - start, 2950, 5500);
        assert_contains(err.text, "sh did not end within 3000 ms");
    }
}

static void on_alarm(int signal) {
    (void)signal;
}

// Signals that arrive meanwhile neither prolong the deadline nor make a read block.
static void test_timeout_under_signals(void **state) {
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm}, old;
    struct itimerval every = {{0, 20000}, {0, 20000}}, none = {0};
    assert_int_equal(sigaction(SIGALRM, &action, &old), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &every, NULL), 0);
    for (int kind = 0; kind < 2; kind++) {
        struct err err = {0};
        char *text = NULL;
        const struct run command = {.argv = SH("echo one; exec sleep 60"), .timeout_ms = 500};
        int64_t start = now_ms();
        int r = kind ? run_capture(&command, 100, &text, NULL, &err) : run_quiet(&command, &err);
        assert_int_equal(r, -ETIMEDOUT);
        assert_in_range(now_ms() - start, 450, 5000);
    }
    struct err err = {0};
    cleanup_free char *text = NULL;
    assert_int_equal(run_capture(&(struct run){.argv = SH("sleep 0.3; echo late")}, 100, &text, NULL, &err), 0);
    assert_string_equal(text, "late\n");
    setitimer(ITIMER_REAL, &none, NULL);
    sigaction(SIGALRM, &old, NULL);
}

static void timeouts(void *state) {
    test_endings(state);
    test_timeout_kills_the_group(state);
    test_timeout_under_signals(state);
}

static void test_without_pidfd(void **state) {
    on_kernel_without(SYS_pidfd_open, timeouts, state);
}

// An end is seen and waited for alike with pidfds and without, and the child is still there to be reaped.
static void sees_the_end(void *data) {
    (void)data;
    struct err err = {0};
    pid_t pid = 0;
    int gate[2];
    assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
    assert_int_equal(run_start(&(struct run){.argv = SH("read line; exit 3"), .in = gate[0]}, &pid, &err), 0);
    assert_int_equal(run_wait_end(pid, now_ms() + 50), -ETIMEDOUT);
    close(gate[0]);
    close(gate[1]);
    assert_int_equal(run_wait_end(pid, 0), 0);
    assert_int_equal(run_wait_end(pid, now_ms() + 50), 0);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_true(run_wait_end(pid, 0) < 0); // it is nobody's child any more
}

static void test_wait_end(void **state) {
    (void)state;
    on_kernel_without(0, sees_the_end, NULL);
    on_kernel_without(SYS_pidfd_open, sees_the_end, NULL);
}

// Only with a deadline is there a group of its own: without, Ctrl-C must reach the child.
static void test_process_group(void **state) {
    (void)state;
    for (unsigned timeout_ms = 0; timeout_ms <= 10000; timeout_ms += 10000) {
        struct err err = {0};
        cleanup_free char *text = NULL;
        const struct run command = {.argv = SH("read -r p c s pp group rest </proc/self/stat; echo $group"), .timeout_ms = timeout_ms};
        assert_int_equal(run_capture(&command, 100, &text, NULL, &err), 0);
        if (timeout_ms)
            assert_int_not_equal(to_number(text), getpgrp());
        else
            assert_int_equal(to_number(text), getpgrp());
    }
}

static void test_capture_bounds(void **state) {
    (void)state;
    static const struct {
        const char *count;
        size_t max;
        int code;
    } cases[] = {{"0", 0, 0}, {"1", 0, -EFBIG}, {"100", 100, 0}, {"101", 100, -EFBIG}, {"300000", 300000, 0}, {"300000", 299999, -EFBIG}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        char *text = (char *)"before";
        size_t size = 7;
        const struct run command = {.argv = RUN_ARGV("head", "-c", cases[i].count, "/dev/zero")};
        assert_int_equal(run_capture(&command, cases[i].max, &text, &size, &err), cases[i].code);
        if (cases[i].code < 0) {
            assert_contains(err.text, "head printed more than the");
            assert_string_equal(text, "before");
            assert_int_equal(size, 7);
            continue;
        }
        assert_int_equal(size, to_number(cases[i].count));
        assert_int_equal(text[size], 0);
        free(text);
    }
}

// One that never ends is stopped once it has printed too much.
static void test_endless_output(void **state) {
    (void)state;
    struct err err = {0};
    char *text = NULL;
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("cat", "/dev/zero")}, 100000, &text, NULL, &err), -EFBIG);
    assert_int_equal(run_capture(&(struct run){.argv = RUN_ARGV("cat", "/dev/zero"), .timeout_ms = 30000}, 100000, &text, NULL, &err),
                     -EFBIG);
    assert_null(text);
}

static void test_error_tail(void **state) {
    (void)state;
    static const struct {
        const char *script, *text;
    } cases[] = {
        {"exit 3", "sh failed with exit status 3"},
        {"echo only >&2; exit 3", "sh failed with exit status 3: only"},
        {"printf 'no line feed' >&2; exit 3", "sh failed with exit status 3: no line feed"},
        {"printf '1\\n2\\n3\\n' >&2; exit 3", "sh failed with exit status 3: 1 | 2 | 3"},
        {"printf '1\\n2\\n3\\n4\\n5\\n' >&2; exit 3", "sh failed with exit status 3: 3 | 4 | 5"},
        {"printf '\\n\\n2\\n\\n\\n3\\n\\n' >&2; exit 3", "sh failed with exit status 3: 2 | 3"},
        {"printf '10%%\\r20%%\\r\\nbad\\r\\n' >&2; exit 3", "sh failed with exit status 3: 10% | 20% | bad"},
        {"printf 'red\\033[31m \\007x\\000y\\n' >&2; exit 3", "sh failed with exit status 3: red [31m  x y"},
        {"printf '\\n\\n\\n' >&2; exit 3", "sh failed with exit status 3"},
        {"echo why >&2; kill -TERM $$", "sh was killed by signal 15 (Terminated): why"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        char *text = NULL;
        assert_int_equal(run_capture(&(struct run){.argv = SH(cases[i].script)}, 100, &text, NULL, &err), -EIO);
        assert_string_equal(err.text, cases[i].text);
        assert_null(text);
        assert_int_equal(run_quiet(&(struct run){.argv = SH(cases[i].script)}, &err), -EIO);
        assert_string_equal(err.text, cases[i].text);
    }
}

// Of a long complaint the end is kept, whatever the pieces it came in; the text stays within its bounds.
static void test_long_error_tail(void **state) {
    (void)state;
    static const struct {
        const char *script, *text;
    } cases[] = {
        {"seq 1 100000 >&2; exit 1", "exit status 1: 99998 | 99999 | 100000"},
        {"seq 1000 3000 >&2; sleep 0.2; echo last-but-one >&2; sleep 0.2; echo last >&2; exit 1",
         "exit status 1: 3000 | last-but-one | last"},
        {"head -c 200000 /dev/zero | tr '\\0' x >&2; printf '\\n99999\\n100000\\n' >&2; exit 1", "exit status 1: xxx"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        assert_int_equal(run_quiet(&(struct run){.argv = SH(cases[i].script)}, &err), -EIO);
        assert_true(strnlen(err.text, sizeof(err.text)) < sizeof(err.text));
        assert_contains(err.text, cases[i].text);
    }
}

// Both pipes much fuller than a pipe can be, in turns: no deadlock, nothing lost.
static void test_both_streams_large(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *text = NULL;
    size_t size = 0;
    const struct run command = {
        .argv = SH("i=0; while [ $i -lt 20 ]; do head -c 100000 /dev/zero; head -c 100000 /dev/zero >&2; i=$((i+1)); done"),
        .timeout_ms = 60000};
    assert_int_equal(run_capture(&command, 4 << 20, &text, &size, &err), 0);
    assert_int_equal(size, 2000000);
}

// As under nohup: what we start outlives the terminal, too, and is asked by other signals as usual.
static void ignoring(void *data) {
    struct err err = {0};
    (void)data;
    signal(SIGHUP, SIG_IGN);
    assert_int_equal(run(&(struct run){.argv = SH("kill -HUP $$")}, &err), 0);
    signal(SIGPIPE, SIG_IGN); // of our own making
    assert_int_equal(run(&(struct run){.argv = SH("kill -PIPE $$")}, &err), -EIO);
    signal(SIGHUP, SIG_DFL);
    assert_int_equal(run(&(struct run){.argv = SH("kill -HUP $$")}, &err), -EIO);
}

static void test_ignored_signals(void **state) {
    (void)state;
    assert_int_equal(in_child(ignoring, NULL), 0);
}

int main(void) {
    setenv("PATH", "/usr/bin:/bin", 1); // a directory in it that may not be searched would change what "not found" is
    const struct CMUnitTest tests[] = {
#define in_scratch(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        cmocka_unit_test(test_endings),
        in_scratch(test_not_installed),
        cmocka_unit_test(test_arguments_are_no_shell),
        in_scratch(test_timeout_kills_the_group),
        cmocka_unit_test(test_timeout_of_captures),
        cmocka_unit_test(test_ignored_signals),
        cmocka_unit_test(test_timeout_under_signals),
        in_scratch(test_without_pidfd),
        cmocka_unit_test(test_wait_end),
        cmocka_unit_test(test_process_group),
        cmocka_unit_test(test_capture_bounds),
        cmocka_unit_test(test_endless_output),
        cmocka_unit_test(test_error_tail),
        cmocka_unit_test(test_long_error_tail),
        cmocka_unit_test(test_both_streams_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
