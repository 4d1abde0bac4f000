// SPDX-License-Identifier: Apache-2.0
// One at a time, until the descriptor is closed or the process is gone.
#include "builder/test/support.h"
#include "builder/upload/lock.h"
#include <signal.h>

static char *name(const char *what) {
    return str_printf("test %d %s", (int)getpid(), what);
}

static void one_at_a_time(void **state) {
    struct err err = {0};
    cleanup_free char
        *first = name("https://pve.example.org:8006/api2/json a-rather-long-name-of-an-image-that-no-socket's-name-would-have-room-for-1"),
        *second = name("https://pve.example.org:8006/api2/json a-rather-long-name-of-an-image-that-no-socket's-name-would-have-room-for-2");
    (void)state;
    int fd = lock_take(first, &err), other = lock_take(second, &err);
    assert_true(fd >= 0 && other >= 0);
    assert_int_equal(lock_take(first, &err), -EBUSY);
    assert_contains(err.text, "is being uploaded already");
    close(fd);
    fd = lock_take(first, &err);
    assert_true(fd >= 0);
    close(fd);
    close(other);
}

static void hold(void *data) {
    struct err err = {0};
    const int *pipe_fds = data;
    cleanup_free char *lock = str_printf("test %d", (int)getppid());
    assert_true(lock_take(lock, &err) >= 0);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    pause();
}

// A child that a killed one leaves behind does not count: the descriptor is closed when another program is started.
static void killed(void **state) {
    struct err err = {0};
    int pipe_fds[2];
    char byte;
    (void)state;
    cleanup_free char *lock = str_printf("test %d", (int)getpid());
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        hold(pipe_fds);
        _exit(0);
    }
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    assert_int_equal(lock_take(lock, &err), -EBUSY);
    kill(pid, SIGKILL);
    int fd = lock_wait(lock, &err); // as soon as it is gone
    assert_true(fd >= 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    close(fd);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_at_a_time), cmocka_unit_test(killed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
