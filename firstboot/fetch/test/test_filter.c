// SPDX-License-Identifier: Apache-2.0
// What webops-fetch can still do, tried with bare system calls in children of their own; that the whole program works under the filter
// is what the other tests show.
#include "common/test/support.h"
#include "firstboot/fetch/filter.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

struct attempt {
    const char *name;
    long number, arguments[6];
};

enum { REFUSED = 3, NOT_REFUSED = 4 };

static void make_attempt(void *data) {
    const struct attempt *attempt = data;
    const long *a = attempt->arguments;
    struct err err;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_enter(&err) < 0)
        _exit(99);
    errno = 0;
    long r = syscall(attempt->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    syscall(SYS_exit_group, r < 0 && errno == ENOSYS ? REFUSED : NOT_REFUSED);
}

static void try_all(const struct attempt *attempts, size_t count, int expected) {
    for (size_t i = 0; i < count; i++) {
        struct attempt attempt = attempts[i];
        int status = in_child(make_attempt, &attempt);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
            fail_msg("%s: status %x", attempts[i].name, status);
    }
}

#define CALL(name, ...)                                                                                                                    \
    {                                                                                                                                      \
#name, SYS_##name, {                                                                                                               \
            __VA_ARGS__                                                                                                                    \
        }                                                                                                                                  \
    }

static void refused(void **state) {
    (void)state;
    static char path[] = "/tmp";
    static const struct attempt attempts[] = {
        CALL(execve, (long)path, 0, 0),
        CALL(execveat, -1, (long)path, 0, 0, 0),
        CALL(fork, 0),
        CALL(vfork, 0),
        CALL(clone, 17, 0, 0, 0, 0), // SIGCHLD: a process
        CALL(clone3, 0, 0),
        CALL(openat, AT_FDCWD, (long)path, O_WRONLY),
        CALL(openat, AT_FDCWD, (long)path, O_RDWR),
        CALL(openat, AT_FDCWD, (long)path, O_RDONLY | O_CREAT, 0600),
        CALL(openat, AT_FDCWD, (long)path, O_RDWR | O_TMPFILE, 0600),
        CALL(open, (long)path, O_RDONLY),
        CALL(openat2, AT_FDCWD, (long)path, 0, 0),
        CALL(unlinkat, AT_FDCWD, (long)"", 0),
        CALL(renameat2, AT_FDCWD, (long)"", AT_FDCWD, (long)"", 0),
        CALL(linkat, AT_FDCWD, (long)"", AT_FDCWD, (long)"", 0),
        CALL(mkdirat, AT_FDCWD, (long)"", 0),
        CALL(ftruncate, -1, 0),
        CALL(fchmod, -1, 0),
        CALL(mount, 0, 0, 0, 0, 0),
        CALL(unshare, CLONE_NEWUSER),
        CALL(setns, -1, 0),
        CALL(ptrace, 0, 0, 0, 0),
        CALL(process_vm_readv, 1, 0, 0, 0, 0, 0),
        CALL(kill, 1, 0),
        CALL(tgkill, 1, 1, 0),
        CALL(setuid, 0),
        CALL(bpf, 0, 0, 0),
        CALL(io_uring_setup, 0, 0),
        CALL(userfaultfd, 0),
        CALL(perf_event_open, 0, 0, 0, 0, 0),
        CALL(keyctl, 0, 0, 0, 0, 0),
        CALL(memfd_create, (long)"", 0),
        CALL(listen, -1, 1),
        CALL(accept4, -1, 0, 0, 0),
        CALL(socket, AF_PACKET, SOCK_RAW, 0),
        CALL(socket, AF_VSOCK, SOCK_STREAM, 0),
        CALL(socket, AF_ALG, SOCK_SEQPACKET, 0),
        CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        CALL(mprotect, 0, 0, PROT_WRITE | PROT_EXEC),
        CALL(ioctl, 0, TIOCSTI, 0),
        CALL(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0),
        CALL(prlimit64, 0, RLIMIT_NOFILE, (long)path, 0),
        CALL(reboot, 0, 0, 0, 0),
        CALL(personality, 0xffffffff),
    };
    try_all(attempts, ARRAY_SIZE(attempts), REFUSED);
}

static void not_refused(void **state) {
    (void)state;
    static char path[] = "/etc/passwd";
    static const struct attempt attempts[] = {
        CALL(openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC),
        CALL(read, STDIN_FILENO, 0, 0),
        CALL(writev, STDOUT_FILENO, 0, 0),
        CALL(socket, AF_INET, SOCK_STREAM, 0),
        CALL(socket, AF_INET6, SOCK_DGRAM, 0),
        CALL(socket, AF_UNIX, SOCK_STREAM, 0),
        CALL(socket, AF_NETLINK, SOCK_RAW, 0),
        CALL(mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        CALL(mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        CALL(prlimit64, 0, RLIMIT_NOFILE, 0, 0),
        CALL(clone, CLONE_THREAD, 0, 0, 0, 0), // without CLONE_SIGHAND: the kernel says EINVAL
        CALL(getrandom, 0, 0, 0),
    };
    try_all(attempts, ARRAY_SIZE(attempts), NOT_REFUSED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(not_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
