// SPDX-License-Identifier: Apache-2.0
// Order: limits, then identity, then the lock on both. A step that fails ends the program: it must not go on with more rights than said.
#include "firstboot/sandbox.h"
#include <errno.h>
#include <grp.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_MEMORY_BYTES (512u << 20) // libcurl with TLS and a resolver thread reserves about 100 MiB of address space
#define MAX_DESCRIPTORS 64

static int set_limits(unsigned timeout_seconds, struct err *err) {
    const struct {
        __rlimit_resource_t resource;
        rlim_t limit;
        const char *name;
    } limits[] = {
        {RLIMIT_AS, MAX_MEMORY_BYTES, "memory"},
        {RLIMIT_FSIZE, 0, "file size"}, // standard output is a pipe, which this does not concern
        {RLIMIT_CORE, 0, "core dump"},
        {RLIMIT_NOFILE, MAX_DESCRIPTORS, "descriptor"},
        {RLIMIT_CPU, timeout_seconds + 1, "CPU time"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        struct rlimit limit = {limits[i].limit, limits[i].limit};
        if (setrlimit(limits[i].resource, &limit) < 0)
            return err_sys(err, -errno, "cannot set the %s limit", limits[i].name);
    }
    signal(SIGXFSZ, SIG_IGN); // then writing to a file fails instead
    return 0;
}

static int become_nobody(struct err *err) {
    if (geteuid() != 0)
        return 0;
    if (setgroups(0, NULL) < 0 || setresgid(SANDBOX_NOBODY, SANDBOX_NOBODY, SANDBOX_NOBODY) < 0 ||
        setresuid(SANDBOX_NOBODY, SANDBOX_NOBODY, SANDBOX_NOBODY) < 0)
        return err_sys(err, -errno, "cannot become nobody");
    if (setuid(0) == 0)
        return err_set(err, -EPERM, "root could be had back");
    return 0;
}

int sandbox_enter(unsigned timeout_seconds, struct err *err) {
    int r = set_limits(timeout_seconds, err);
    if (r == 0)
        r = become_nobody(err);
    if (r == 0 && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0))
        r = err_sys(err, -errno, "cannot give up gaining rights");
    return r;
}

static int load_filter(uint32_t otherwise, const struct sandbox_call *calls, size_t count, struct err *err) {
    scmp_filter_ctx filter = seccomp_init(otherwise);
    if (!filter)
        return err_set(err, -ENOMEM, "cannot make a filter of system calls");
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct scmp_arg_cmp fits = {
            .arg = calls[i].argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = calls[i].mask, .datum_b = calls[i].value};
        r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, calls[i].number, calls[i].mask ? 1 : 0, &fits);
    }
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r < 0 ? err_sys(err, r, "cannot set the filter of system calls") : 0;
}

int sandbox_filter(const struct sandbox_call *calls, size_t count, struct err *err) {
    return load_filter(SCMP_ACT_KILL_PROCESS, calls, count, err);
}

int sandbox_filter_refusing(const struct sandbox_call *calls, size_t count, struct err *err) {
    return load_filter(SCMP_ACT_ERRNO(ENOSYS), calls, count, err);
}

int sandbox_compute(unsigned timeout_seconds, struct err *err) {
    static const struct sandbox_call calls[] = {
        {SCMP_SYS(read), 0, UINT32_MAX, STDIN_FILENO},
        {SCMP_SYS(write), 0, UINT32_MAX, STDOUT_FILENO},
        {SCMP_SYS(write), 0, UINT32_MAX, STDERR_FILENO},
        {SCMP_SYS(mmap), 2, PROT_EXEC, 0},
        {.number = SCMP_SYS(munmap)},
        {.number = SCMP_SYS(mremap)},
        {.number = SCMP_SYS(brk)},
        {.number = SCMP_SYS(madvise)},
        {.number = SCMP_SYS(futex)},
        {.number = SCMP_SYS(clock_gettime)},
        {.number = SCMP_SYS(gettimeofday)},
        {.number = SCMP_SYS(getrandom)},
        {.number = SCMP_SYS(getpid)}, // OpenSSL asks whether it was forked
        {.number = SCMP_SYS(rt_sigreturn)},
        {.number = SCMP_SYS(exit)},
        {.number = SCMP_SYS(exit_group)},
    };
    int r = sandbox_enter(timeout_seconds, err);
    return r < 0 ? r : sandbox_filter(calls, ARRAY_SIZE(calls), err);
}
