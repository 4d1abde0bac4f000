// SPDX-License-Identifier: Apache-2.0
// The list is wide enough for libcurl, OpenSSL and the name services (NSS) of the distributions: a resolver module may come as a library and
// talk to a daemon. What it leaves out is what somebody who took over the program would want.
#include "firstboot/fetch/filter.h"
#include "firstboot/sandbox.h"
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define SET_VMA 0x53564d41 // PR_SET_VMA: glibc names its mappings

#define ANY(name)                                                                                                                          \
    { .number = SCMP_SYS(name) }
#define ONLY(name, argument, value)                                                                                                        \
    { SCMP_SYS(name), (argument), UINT32_MAX, (uint32_t)(value) }

static const struct sandbox_call calls[] = {
    // Files: reading only.
    {SCMP_SYS(openat), 2, O_ACCMODE | O_CREAT | O_TRUNC, O_RDONLY},
    ANY(read),
    ANY(readv),
    ANY(pread64),
    ANY(lseek),
    ANY(close),
    ANY(close_range),
    ANY(fstat),
    ANY(newfstatat),
    ANY(statx),
    ANY(fstatfs),
    ANY(getdents64),
    ANY(readlink),
    ANY(readlinkat),
    ANY(access),
    ANY(faccessat),
    ANY(faccessat2),
    ANY(fadvise64),
    ANY(getcwd),
    // Pipes, sockets, waiting.
    ANY(write),
    ANY(writev),
    ANY(pipe2),
    ANY(eventfd2),
    ANY(poll),
    ANY(ppoll),
    ANY(select),
    ANY(pselect6),
    ANY(epoll_create1),
    ANY(epoll_ctl),
    ANY(epoll_wait),
    ANY(epoll_pwait),
    ANY(timerfd_create),
    ANY(timerfd_settime),
    ANY(dup),
    ANY(fcntl),
    ONLY(ioctl, 1, FIONBIO),
    ONLY(ioctl, 1, FIONREAD),
    ONLY(ioctl, 1, TCGETS),
    ONLY(socket, 0, AF_INET),
    ONLY(socket, 0, AF_INET6),
    ONLY(socket, 0, AF_UNIX),
    ONLY(socket, 0, AF_NETLINK),
    ANY(socketpair),
    ANY(connect),
    ANY(bind),
    ANY(shutdown),
    ANY(getsockopt),
    ANY(setsockopt),
    ANY(getsockname),
    ANY(getpeername),
    ANY(sendto),
    ANY(sendmsg),
    ANY(sendmmsg),
    ANY(recvfrom),
    ANY(recvmsg),
    ANY(recvmmsg),
    // Memory: nothing that can be written and run at once.
    {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
    {SCMP_SYS(mmap), 2, PROT_WRITE, 0},
    {SCMP_SYS(mprotect), 2, PROT_EXEC, 0},
    {SCMP_SYS(mprotect), 2, PROT_WRITE, 0},
    ANY(munmap),
    ANY(mremap),
    ANY(brk),
    ANY(madvise),
    // Threads: the resolver's.
    {SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD},
    ANY(futex),
    ANY(set_robust_list),
    ANY(rseq),
    ANY(set_tid_address),
    ANY(sched_yield),
    ANY(sched_getaffinity),
    ANY(rt_sigaction),
    ANY(rt_sigprocmask),
    ANY(rt_sigreturn),
    ANY(sigaltstack),
    ANY(restart_syscall),
    ANY(exit),
    ANY(exit_group),
    ONLY(prctl, 0, PR_SET_NAME),
    ONLY(prctl, 0, PR_GET_NAME),
    ONLY(prctl, 0, SET_VMA),
    {SCMP_SYS(prlimit64), 2, UINT64_MAX, 0}, // asking, not setting
    // What time it is, who we are.
    ANY(clock_gettime),
    ANY(clock_getres),
    ANY(clock_nanosleep),
    ANY(nanosleep),
    ANY(gettimeofday),
    ANY(time),
    ANY(getrandom),
    ANY(uname),
    ANY(sysinfo),
    ANY(getpid),
    ANY(gettid),
    ANY(getuid),
    ANY(geteuid),
    ANY(getgid),
    ANY(getegid),
    ANY(getresuid),
    ANY(getresgid),
};

int filter_enter(struct err *err) {
    return sandbox_filter_refusing(calls, ARRAY_SIZE(calls), err);
}
