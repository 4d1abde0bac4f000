// SPDX-License-Identifier: Apache-2.0
#include "builder/vendor/guest.h"
#include "builder/places.h"
#include "builder/qemu.h"
#include "builder/tool_log.h"
#include "builder/vendor/report.h"
#include "common/file.h"
#include "common/log.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define PROGRAM "webops-guestfs"
#define INSPECT_TIMEOUT_MS 900000

void guest_argv_done(char ***argv) {
    for (char **item = *argv; item && *item; item++)
        free(*item);
    free(*argv);
    *argv = NULL;
}

static void add(struct strings *list, const char *option, const char *value) {
    cleanup_free char *word = value ? str_printf("%s%s", option, value) : NULL;
    if (word)
        strings_add(list, word);
}

// An ordinary user has no rights to lose, and needs a user namespace to lose the network. Root keeps the rights to read images that belong to somebody else, and to unpack the
// appliance with its owners. --pdeathsig: it dies with us, and the appliance with it.
static void add_cage(struct strings *list, enum guest_cage cage) {
    static const char *const words[][12] = {
        [GUEST_USER] = {"unshare", "--map-current-user", "--net", "--", "setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"},
        [GUEST_ROOT] = {"unshare", "--net", "--", "setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--inh-caps=-all",
                        "--bounding-set=-all,+chown,+dac_read_search,+fowner", "--"},
        [GUEST_OPEN] = {"setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--"},
    };
    for (const char *const *word = words[cage]; *word; word++)
        strings_add(list, *word);
}

static enum guest_cage choose_cage(void) {
    const struct run probe = {.argv = RUN_ARGV("unshare", "--map-current-user", "--net", "--", "true")};
    struct err err;
    if (geteuid() == 0)
        return GUEST_ROOT;
    if (run_quiet(&probe, &err) >= 0)
        return GUEST_USER;
    log_warn(PROGRAM " keeps the network while it reads a foreign disk: this machine gives users no namespaces (%s)", err.text);
    return GUEST_OPEN;
}

char **guest_plan(const struct guest_request *request, const char *program, enum guest_cage cage, bool software) {
    struct strings list = {0};
    add_cage(&list, cage);
    strings_add(&list, program);
    strings_add(&list, request->verb);
    add(&list, "--format=", request->format);
    if (software)
        strings_add(&list, "--software");
    add(&list, "--status=", request->status);
    add(&list, "--database=", request->database);
    add(&list, "--exclude-from=", request->exclude);
    strings_add(&list, "--");
    strings_add(&list, request->disk);
    list.items = mem_resize(list.items, list.count + 1, sizeof(*list.items));
    list.items[list.count] = NULL;
    return list.items;
}

static int find_program(char **ret_path, struct err *err) {
    struct places places = {0};
    int r = places_find(&places, err);
    if (r < 0)
        return r;
    cleanup_free char *path = str_printf("%s/" PROGRAM, places.programs_dir);
    places_done(&places);
    if (access(path, X_OK) < 0)
        return err_set(err, -ENOENT, "disks of others are read by " PROGRAM ", and there is none at %s; build it (make) or install it",
                       path);
    *ret_path = take_ptr(path);
    return 0;
}

struct guest_run {
    char **argv, **env;
};

static void run_done(struct guest_run *run) {
    guest_argv_done(&run->argv);
    tool_env_free(&run->env);
}
#define cleanup_run cleanup(run_done)

static int prepare(const struct guest_request *request, struct guest_run *ret_run, struct err *err) {
    cleanup_free char *program = NULL, *why = NULL, *temporary = str_printf("LIBGUESTFS_TMPDIR=%s", request->dir);
    int r = find_program(&program, err);
    if (r < 0)
        return r;
    // Where /dev/kvm is there and does not run guests, libguestfs would wait for its appliance for ever.
    const bool software = qemu_probe(request->dir, &why)->trusted;
    ret_run->argv = guest_plan(request, program, choose_cage(), software);
    ret_run->env = tool_env((const char *const[]){temporary, NULL});
    return 0;
}

int guest_inspect(const struct guest_request *request, char **ret_text, size_t *ret_size, struct err *err) {
    cleanup_run struct guest_run with = {0};
    int r = prepare(request, &with, err);
    struct run run = {.argv = (const char *const *)with.argv, .env = (const char *const *)with.env, .timeout_ms = INSPECT_TIMEOUT_MS};
    return r < 0 ? r : run_capture(&run, VENDOR_REPORT_MAX_BYTES, ret_text, ret_size, err);
}

int guest_start(const struct guest_request *request, struct sandbox *ret_sandbox, struct err *err) {
    cleanup_run struct guest_run with = {0};
    int pipes[2], r = prepare(request, &with, err);
    if (r < 0)
        return r;
    cleanup_fd int log = tool_log_open(err);
    if (log < 0)
        return log;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    cleanup_fd int out = pipes[0], in = pipes[1];
    (void)fcntl(out, F_SETPIPE_SZ, 1 << 20);
    struct sandbox sandbox = {.what = PROGRAM};
    struct run run = {.argv = (const char *const *)with.argv, .env = (const char *const *)with.env, .out = in, .error = log};
    r = run_start(&run, &sandbox.pid, err);
    if (r < 0)
        return r;
    sandbox.out_fd = take_fd(&out);
    sandbox.log_fd = take_fd(&log);
    *ret_sandbox = sandbox;
    return 0;
}
