// SPDX-License-Identifier: Apache-2.0
// A signal handler has to find the directories, so they are kept at file scope. It may call next to nothing, so it has rm(1) remove them. Where signals are
// blocked and read instead (builder/upload/stop.h, builder/vm.h) it never runs, and the directories go the usual way.
#include "builder/tempdir.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define MAX_DIRS 32

static char *dirs[MAX_DIRS]; // changed with signals blocked
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

static int make(char *path, char **ret_path, struct err *err) {
    sigset_t all, kept;
    watch_signals();
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &kept);
    int r = mkdtemp(path) ? 0 : -errno;
    if (r == 0)
        *ret_path = dirs[find(NULL)] = path;
    sigprocmask(SIG_SETMASK, &kept, NULL);
    if (r < 0) {
        err_sys(err, r, "private directory %s", path);
        free(path);
    }
    return r;
}

int tempdir_make(const char *what, char **ret_path, struct err *err) {
    const char *parent = getenv("TMPDIR");
    return make(str_printf("%s/webops-%s-XXXXXX", parent && *parent ? parent : "/var/tmp", what), ret_path, err);
}

int tempdir_make_beside(const char *base, char **ret_path, struct err *err) {
    return make(str_printf("%s.XXXXXX", base), ret_path, err);
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
    dirs[find(*path)] = NULL;
    sigprocmask(SIG_SETMASK, &kept, NULL);
    free(*path);
    *path = NULL;
}
