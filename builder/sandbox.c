// SPDX-License-Identifier: Apache-2.0
// The outer half: starts our binary inside new namespaces and collects what comes out. What happens inside is in sandbox_jobs.c.
#include "builder/sandbox.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define MEMORY_RESERVE_BYTES (UINT64_C(1) << 30) // left for mksquashfs and everybody else

static uint64_t available_memory(void) {
    cleanup_file FILE *file = fopen("/proc/meminfo", "re");
    char line[256];
    static const char field[] = "MemAvailable:";
    uint64_t kib = 0;
    while (file && !kib && fgets(line, sizeof(line), file))
        if (strncmp(line, field, strlen(field)) == 0)
            kib = strtoull(line + strlen(field), NULL, 10);
    return kib << 10;
}

static bool has_sub_ids(const char *path, const char *user, uid_t uid) {
    cleanup_file FILE *file = fopen(path, "re");
    char line[512], number[32];
    snprintf(number, sizeof(number), "%u", uid);
    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, ":")] = 0;
        if (strcmp(line, user) == 0 || strcmp(line, number) == 0)
            return true;
    }
    return false;
}

// Says what is missing before a tool says it in its own words.
static int check_unprivileged(struct err *err) {
    const struct passwd *user = getpwuid(getuid());
    const char *name = user ? user->pw_name : "?";
    cleanup_free char *limit = NULL;
    struct err ignored;
    if (file_read(AT_FDCWD, "/proc/sys/user/max_user_namespaces", 64, &limit, NULL, &ignored) >= 0 && strtoul(limit, NULL, 10) == 0)
        return err_set(err, -EPERM,
                       "building packages without root needs user namespaces, and this machine allows none "
                       "(user.max_user_namespaces is 0): run as root, or set it");
    if (access("/usr/bin/newuidmap", X_OK) < 0 || access("/usr/bin/newgidmap", X_OK) < 0)
        return err_set(err, -EPERM,
                       "building packages without root needs newuidmap and newgidmap: install the package uidmap, or run as root");
    static const char *const files[] = {"/etc/subuid", "/etc/subgid"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (!has_sub_ids(files[i], name, getuid()))
            return err_set(err, -EPERM,
                           "building packages without root needs a range of ids for user %s in %s: add a line \"%s:100000:65536\", "
                           "or run as root",
                           name, files[i], name);
    return 0;
}

static const char **outer_argv(const char *self, const char *work, const char *memory, const char *const *argv) {
    // setpriv: when we are killed, unshare goes, and with it its child, process 1 of the namespace, and so everything.
    static const char *const start[] = {"setpriv", "--pdeathsig", "KILL",         "unshare",       "--mount", "--pid",
                                        "--ipc",   "--fork",      "--kill-child", "--propagation", "private"};
    static const char *const mapped[] = {"--map-root-user", "--map-auto"};
    size_t count = 0, more = 0;
    while (argv[more])
        more++;
    const char **all = mem_array(ARRAY_SIZE(start) + ARRAY_SIZE(mapped) + more + 6, sizeof(*all));
    for (size_t i = 0; i < ARRAY_SIZE(start); i++)
        all[count++] = start[i];
    for (size_t i = 0; geteuid() != 0 && i < ARRAY_SIZE(mapped); i++)
        all[count++] = mapped[i];
    all[count++] = "--";
    all[count++] = self;
    all[count++] = SANDBOX_VERB;
    all[count++] = work;
    all[count++] = memory;
    for (size_t i = 0; i < more; i++)
        all[count++] = argv[i];
    return all;
}

static void done(struct sandbox *s) {
    if (s->out_fd >= 0)
        close(s->out_fd);
    if (s->log_fd >= 0)
        close(s->log_fd);
    *s = (struct sandbox){.pid = -1, .out_fd = -1, .log_fd = -1};
}

static int start(struct sandbox *s, const char *work, uint64_t memory_bytes, const char *const *argv, int read_fd, int write_fd,
                 struct err *err) {
    char self[4096];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (size < 0)
        return err_sys(err, -errno, "cannot find our own program");
    self[size] = 0;
    bool in_memory = memory_bytes && available_memory() > memory_bytes + MEMORY_RESERVE_BYTES;
    cleanup_free char *memory = str_printf("%llu", in_memory ? (unsigned long long)memory_bytes : 0ULL);
    cleanup_free const char **all = outer_argv(self, work, memory, argv);
    cleanup_tool_env char **env = tool_env((const char *const[]){NULL});
    struct run run = {.argv = all, .env = (const char *const *)env, .in = read_fd, .out = write_fd, .error = s->log_fd};
    return run_start(&run, &s->pid, err);
}

// read_fd: 0 = nothing to read.
static int start_reading(int read_fd, const char *work, uint64_t memory_bytes, const char *const *argv, struct sandbox *ret_sandbox,
                         struct err *err) {
    int pipes[2];
    int r = geteuid() != 0 ? check_unprivileged(err) : 0;
    if (r < 0)
        return r;
    struct sandbox s = {.pid = -1, .out_fd = -1, .log_fd = tool_log_open(err)};
    if (s.log_fd < 0)
        return s.log_fd;
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        r = err_sys(err, -errno, "cannot make a pipe");
        done(&s);
        return r;
    }
    s.out_fd = pipes[0];
    cleanup_fd int write_fd = pipes[1];
    (void)fcntl(s.out_fd, F_SETPIPE_SZ, 1 << 20);
    r = start(&s, work, memory_bytes, argv, read_fd, write_fd, err);
    if (r < 0)
        done(&s);
    else
        *ret_sandbox = s;
    return r;
}

int sandbox_start(const char *work, uint64_t memory_bytes, const char *const *argv, struct sandbox *ret_sandbox, struct err *err) {
    return start_reading(0, work, memory_bytes, argv, ret_sandbox, err);
}

int sandbox_start_behind(struct sandbox *source, const char *work, uint64_t memory_bytes, const char *const *argv,
                         struct sandbox *ret_sandbox, struct err *err) {
    int r = start_reading(source->out_fd, work, memory_bytes, argv, ret_sandbox, err);
    if (r < 0) {
        sandbox_abort(source);
        return r;
    }
    close(source->out_fd); // the reader alone has it: when it ends, the source notices
    source->out_fd = -1;
    ret_sandbox->source = mem_array(1, sizeof(*source));
    *ret_sandbox->source = *source;
    *source = (struct sandbox){.pid = -1, .out_fd = -1, .log_fd = -1};
    return 0;
}

static int wait_one(struct sandbox *s, struct err *err) {
    struct run run = {.argv = RUN_ARGV(s->what ? s->what : "package installation")};
    int r = run_wait(&run, s->pid, err);
    s->pid = -1;
    if (r < 0)
        tool_log_append(s->log_fd, err);
    done(s);
    return r;
}

// Whoever wrote when nobody read any more: says so, or ended by SIGPIPE, which unshare(1) passes on as a shell does.
static bool is_broken_pipe(const struct err *err) {
    return strstr(err->text, strerror(EPIPE)) || strstr(err->text, "exit status 141");
}

// Each of the two sees the other one's failure as a stream that breaks off: who only tells that is not the reason.
static int wait_source(struct sandbox *source, int r, struct err *err) {
    struct err reason = {0};
    int before = wait_one(source, &reason);
    if (before >= 0 || (r < 0 && is_broken_pipe(&reason)))
        return r;
    *err = reason;
    return before;
}

int sandbox_wait(struct sandbox *s, struct err *err) {
    cleanup_free struct sandbox *source = take_ptr(s->source);
    int r = wait_one(s, err);
    return source ? wait_source(source, r, err) : r;
}

void sandbox_abort(struct sandbox *s) {
    cleanup_free struct sandbox *source = take_ptr(s->source);
    if (source)
        sandbox_abort(source);
    if (s->pid > 0) {
        kill(s->pid, SIGKILL); // unshare --kill-child takes the namespace's init along, and that everything in it
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    done(s);
}

int sandbox_remove_work(const char *work, struct err *err) {
    if (geteuid() == 0)
        return file_remove_tree(AT_FDCWD, work, err);
    struct run run = {.argv = RUN_ARGV("unshare", "--map-root-user", "--map-auto", "--", "rm", "-rf", "--one-file-system", "--", work)};
    return run_quiet(&run, err);
}
