// SPDX-License-Identifier: Apache-2.0
// The filter of system calls: what is listed works, everything else ends the process at once.
#include "common/test/support.h"
#include "firstboot/sandbox.h"
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static const struct sandbox_call calls[] = {
    {SCMP_SYS(write), 0, UINT32_MAX, STDERR_FILENO},
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {.number = SCMP_SYS(exit_group)},
};

// Bare system calls: neither libc nor the sanitizers may come in between.
struct attempt {
    bool is_allowed;
    long number, arguments[6];
};

static void make_attempt(void *data) {
    const struct attempt *attempt = data;
    const long *a = attempt->arguments;
    struct err err;
    if (sandbox_filter(calls, ARRAY_SIZE(calls), &err) < 0) // not sandbox_enter(): AddressSanitizer needs more memory
        _exit(99);
    syscall(attempt->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    syscall(SYS_exit_group, 7);
}

static void test_filter(void **state) {
    (void)state;
    static const struct attempt attempts[] = {
        {true, SYS_exit_group, {7}},
        {true, SYS_write, {STDERR_FILENO, 0, 0}},
        {false, SYS_write, {STDOUT_FILENO, 0, 0}},
        {true, SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {false, SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
        {false, SYS_read, {STDIN_FILENO, 0, 0}},
        {false, SYS_openat, {AT_FDCWD, 0, O_RDONLY}},
        {false, SYS_socket, {2, 1, 0}},
        {false, SYS_execve, {0, 0, 0}},
        {false, SYS_fork, {0}},
        {false, SYS_personality, {0xffffffff}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        struct attempt attempt = attempts[i];
        int status = in_child(make_attempt, &attempt);
        if (attempt.is_allowed && (!WIFEXITED(status) || WEXITSTATUS(status) != 7))
            fail_msg("attempt %zu: status %x, it is allowed", i, status);
        if (!attempt.is_allowed && (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS))
            fail_msg("attempt %zu: status %x, it should have ended the process", i, status);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_filter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
