// SPDX-License-Identifier: Apache-2.0
// A signal handler has to find the directories, so they are kept at file scope. It may call next to nothing, so it has rm(1) remove them. Where signals are
// blocked and read instead (builder/signals.h) it never runs, and the directories go the usual way.
#include "builder/tempdir.h"
#include "builder/tool_log.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#define MAX_DIRS 32
#define RANDOM "XXXXXX"
#define SETTLED_SECONDS 60 // a younger one may not have its lock yet

static char *dirs[MAX_DIRS]; // changed with signals blocked
static int locks[MAX_DIRS]; // of these directories, as long as we live
static pid_t owner; // a fork of us removes nothing

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static void remove_all(void) {
    for (size_t i = 0; i < MAX_DIRS; i++) {
        pid_t child = dirs[i] ? _Fork() : -1;
        if (child == 0) {
            execl("/bin/rm", "rm", "-rf", "--", dirs[i], NULL);
            _exit(127);
        }
        while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
}

// All signals are blocked here, and in rm(1). This one is raised anew, and ends us when we return.
static void end(int number) {
    if (getpid() == owner)
        remove_all();
    signal(number, SIG_DFL);
    raise(number);
}

// What is ignored (nohup, a job in the background) stays so.
static void watch_signals(void) {
    for (size_t i = 0; i < ARRAY_SIZE(ending); i++) {
        struct sigaction action = {.sa_handler = end}, old;
        sigfillset(&action.sa_mask);
        if (sigaction(ending[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(ending[i], &action, NULL);
    }
    owner = getpid();
}

static size_t find(const char *path) {
    size_t i = 0;
    while (i < MAX_DIRS && dirs[i] != path)
        i++;
    assert(i < MAX_DIRS);
    return i;
}

static void remove_left(int parent_fd, const char *parent, const char *name) {
    struct stat info;
    struct err err;
    cleanup_fd int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0 || info.st_uid != geteuid() || time(NULL) - info.st_mtime < SETTLED_SECONDS ||
        flock(fd, LOCK_EX | LOCK_NB) < 0)
        return;
    log_info("removing %s/%s, which a run that was killed has left", parent, name);
    if (file_remove_tree(parent_fd, name, &err) < 0)
        log_warn("%s", err.text);
}

// SIGKILL and power cuts leave directories with secrets in them: the next run in the same place removes those whose lock nobody holds.
static void sweep(const char *path) {
    const char *name = strrchr(path, '/') + 1;
    const size_t length = strlen(name), known = length - strlen(RANDOM);
    cleanup_free char *parent = str_printf("%.*s", (int)(name - 1 - path), path);
    cleanup_dir DIR *dir = opendir(*parent ? parent : "/");
    for (const struct dirent *entry; dir && (entry = readdir(dir));)
        if (strlen(entry->d_name) == length && strncmp(entry->d_name, name, known) == 0)
            remove_left(dirfd(dir), parent, entry->d_name);
}

static int make(char *path, char **ret_path, struct err *err) {
    sigset_t all, kept;
    sweep(path);
    watch_signals();
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &kept);
    int r = mkdtemp(path) ? 0 : -errno;
    if (r == 0) {
        const size_t place = find(NULL);
        locks[place] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)!flock(locks[place], LOCK_EX | LOCK_NB); // where there are no locks, nobody will get one to remove it
        *ret_path = dirs[place] = path;
    }
    sigprocmask(SIG_SETMASK, &kept, NULL);
    if (r < 0) {
        err_sys(err, r, "private directory %s", path);
        free(path);
    }
    return r;
}

int tempdir_make(const char *what, char **ret_path, struct err *err) {
    const char *parent = getenv("TMPDIR");
    cleanup_free char *path = str_printf("%s/webops-%s-" RANDOM, parent && *parent ? parent : "/var/tmp", what);
    return make(tool_path(path), ret_path, err); // tools work in it
}

int tempdir_make_beside(const char *base, char **ret_path, struct err *err) {
    const char *slash = strrchr(base, '/'), *name = slash ? slash + 1 : base;
    cleanup_free char *parent = slash ? str_printf("%.*s", (int)(slash - base), base) : str_dup(".");
    cleanup_free char *path = str_printf("%s/.%s.webops-" RANDOM, parent, name);
    return make(tool_path(path), ret_path, err);
}

void tempdir_done(char **path) {
    struct err err = {0};
    sigset_t all, kept;
    if (!*path)
        return;
    if (file_remove_tree(AT_FDCWD, *path, &err) < 0)
        log_warn("%s", err.text);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &kept);
    const size_t place = find(*path);
    dirs[place] = NULL;
    close(locks[place]);
    sigprocmask(SIG_SETMASK, &kept, NULL);
    free(*path);
    *path = NULL;
}
