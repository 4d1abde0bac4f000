// SPDX-License-Identifier: Apache-2.0
// syscall_faults [EVERY [SUBJECT]]: lets each system call that `webops update`, webops-verify and webops-fetch make fail once, one run per call, and
// judges what is left: the old generation, or the new one whole, never neither; and the next run must get there. The failing is strace's, which
// counts per process: so each program has a turn of its own. Every EVERYth fault is tried (1: all). Takes minutes, so it is no unit test;
// qemu-tests/test_syscalls.py runs it.
#include "firstboot/update/test/http.h"
#include "firstboot/update/test/tree.h"
#include "firstboot/update/source.h"
#include <errno.h>

#define MAX_NAMES 128
#define RUN_MS 60000

// What a run may do with each fault. EIO is what a dying disk says; the second one is what a full disk or a spent limit says.
static const char *const errors[] = {"EIO", "ENOSPC"};

struct call {
    char name[32];
    unsigned count; // in an undisturbed run, by the process that made most of them: strace counts per process
};
struct faults {
    struct tree *tree;
    const struct tree_generation *old, *new;
    struct http *http;
    char *program, *verify, *bundle, *damaged, *template, *log, *script;
    struct call calls[MAX_NAMES];
    size_t call_count;
    unsigned tried, remained_old, became_new, broken;
};

// The template back in place of the tree. Plain copies; the tree's descriptor stays good because only its content goes.
static void restore(const struct faults *faults) {
    struct err err;
    cleanup_free char *from = str_printf("%s/.", faults->template);
    static const char *const parts[] = {"dev", "esp", "var"};
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        assert_ok(file_remove_tree(faults->tree->root.fd, parts[i], &tree_failure));
    const struct run copy = {.argv = RUN_ARGV("cp", "-a", from, faults->tree->root.path), .timeout_ms = RUN_MS};
    if (run_quiet(&copy, &err) < 0)
        fail_msg("%s", err.text);
}

// 0: the update says it is installed; -EIO: it says it failed.
static int update(const struct faults *faults, const char *inject, const char *log, struct err *err) {
    cleanup_free char *root = str_printf("--root=%s", faults->tree->root.path);
    const struct run traced = {
        .argv = RUN_ARGV("strace", "-f", "-qq", "-o", log, "-e", inject, faults->program, "update", root, faults->bundle),
        .timeout_ms = RUN_MS};
    return run_quiet(&traced, err);
}

// The tree's webops-verify, or webops-fetch, as a script that has strace start the real one.
static void put_script(const char *path, const char *program, const char *inject, const char *log) {
    cleanup_free char *text = str_printf("#!/bin/sh\nexec /usr/bin/strace -f -qq -o %s -e %s %s \"$@\"\n", log, inject, program);
    assert_ok(file_publish(AT_FDCWD, path, text, strlen(text), 0755, &tree_failure));
}

static int update_plainly(const struct faults *faults, const char *bundle, struct err *err) {
    cleanup_free char *root = str_printf("--root=%s", faults->tree->root.path);
    const struct run run = {.argv = RUN_ARGV(faults->program, "update", root, bundle), .timeout_ms = RUN_MS};
    return run_quiet(&run, err);
}

static bool holds(const struct faults *faults, const char *path, const struct buf *wanted, size_t max_bytes) {
    struct err err;
    cleanup_free char *data = NULL;
    size_t size = 0;
    return file_read(faults->tree->root.fd, path, max_bytes, &data, &size, &err) == 0 && size >= wanted->size &&
           memcmp(data, wanted->data, wanted->size) == 0;
}

// What each backend needs to start slot B.
static bool has_boot_files(const struct faults *faults, size_t backend) {
    static const char *const files[][3] = {{"esp/EFI/webops/b.efi"}, {"esp/webops/b.linux", "esp/webops/b.initrd", "esp/webops/b.cfg"}};
    for (size_t i = 0; i < ARRAY_SIZE(files[backend]) && files[backend][i]; i++)
        if (!file_exists(faults->tree->root.fd, files[backend][i]))
            return false;
    return holds(faults, "esp/EFI/webops/b.efi", &faults->new->uki, TREE_SLOT_BYTES);
}

// NULL when the state is sound; *ret_is_new tells which.
static const char *judge(const struct faults *faults, bool *ret_is_new) {
    if (!holds(faults, "dev/vda3", &faults->old->slot, TREE_SLOT_BYTES) ||
        !holds(faults, "esp/EFI/webops/a.efi", &faults->old->uki, TREE_SLOT_BYTES))
        return "the running generation was touched";
    *ret_is_new = false;
    for (size_t i = 0; boot_backends[i]; i++) {
        if (tree_entry(faults->tree, i, BOOT_SLOT_A).state != BOOT_GOOD)
            return "the running generation cannot be started any more";
        if (tree_entry(faults->tree, i, BOOT_SLOT_B).state != BOOT_TRIAL)
            continue;
        if (!holds(faults, "dev/vda4", &faults->new->slot, TREE_SLOT_BYTES) || !has_boot_files(faults, i))
            return "an entry was published for a generation that is not whole";
        *ret_is_new = true;
    }
    return NULL;
}

static void report(struct faults *faults, const char *inject, const char *why, const char *text) {
    faults->broken++;
    printf("%s: %s (%s)\n", inject, why, text);
}

// After a run that ended with `r`: what it left, and that an undisturbed one gets there from it.
static void judge_run(struct faults *faults, const char *inject, int r, const char *text) {
    struct err again = {.text = ""};
    bool is_new = false;
    const char *why = judge(faults, &is_new);
    if (!why && r == 0 && !is_new)
        why = "success was reported, and the old generation starts";
    if (!why && r == -ETIMEDOUT)
        why = "the update hangs";
    if (why) {
        report(faults, inject, why, text);
        return;
    }
    is_new ? faults->became_new++ : faults->remained_old++;
    const bool was_new = is_new;
    if (update_plainly(faults, faults->bundle, &again) < 0)
        report(faults, inject, "the next run fails", again.text);
    else if ((why = judge(faults, &is_new)) || !is_new)
        report(faults, inject, why ? why : "the next run does not install", was_new ? "was new" : "was old");
}

static void try_update(struct faults *faults, const char *inject) {
    struct err err = {.text = ""};
    restore(faults);
    int r = update(faults, inject, "/dev/null", &err);
    judge_run(faults, inject, r, err.text);
}

// What reads bytes from outside must end when it cannot become nobody or may gain rights again.
static bool gives_up_rights(const char *inject) {
    static const char *const calls[] = {"setgroups", "setresgid", "setresuid", "prctl"};
    const char *name = inject + strlen("inject=");
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        if (strncmp(name, calls[i], strlen(calls[i])) == 0 && name[strlen(calls[i])] == ':')
            return true;
    return false;
}

// A fault must not make it take a bundle whose signature is wrong, either.
static void try_verify(struct faults *faults, const char *inject) {
    struct err err = {.text = ""};
    bool is_new = false;
    restore(faults);
    put_script(faults->script, faults->verify, inject, "/dev/null");
    if (update_plainly(faults, faults->damaged, &err) >= 0 || judge(faults, &is_new) || is_new)
        report(faults, inject, "a bundle with a wrong signature was taken", err.text);
    int r = update_plainly(faults, faults->bundle, &err);
    unlink(faults->script);
    assert_int_equal(symlink(faults->verify, faults->script), 0);
    if (r >= 0 && gives_up_rights(inject))
        report(faults, inject, "it went on with its rights", "");
    judge_run(faults, inject, r, err.text);
}

struct fetched {
    const struct http *http;
    const struct source_range *ranges;
    uint64_t done[2];
    bool is_wrong;
};

static int take(void *context, size_t range, const void *data, size_t size, struct err *err) {
    struct fetched *fetched = context;
    (void)err;
    const struct source_range *wanted = &fetched->ranges[range];
    if (size > wanted->bytes - fetched->done[range] || memcmp(data, fetched->http->data + wanted->offset + fetched->done[range], size) != 0)
        fetched->is_wrong = true;
    fetched->done[range] += size;
    return 0;
}

// Two ranges through the script in webops-fetch's place: 0 = all of them and right, else the error; *ret_why: what is unsound.
static int fetch(const struct faults *faults, const char **ret_why, struct err *err) {
    static const struct source_range ranges[2] = {{100, 300000}, {1000000, 7}};
    static const char *const arguments[] = {"--tries=3", "--backoff-ms=1", "--longest-wait-ms=5", "--slow-bytes=1024", NULL};
    const struct source_options options = {.program = faults->script, .arguments = arguments};
    struct fetched fetched = {.http = faults->http, .ranges = ranges};
    cleanup_source struct source *source = NULL;
    cleanup_free char *url = http_url(faults->http, "/good");
    int r = source_open_with(url, &options, &source, err);
    if (r >= 0)
        r = source_stream(source, ranges, ARRAY_SIZE(ranges), take, &fetched, err);
    bool is_whole = fetched.done[0] == ranges[0].bytes && fetched.done[1] == ranges[1].bytes;
    *ret_why = fetched.is_wrong ? "wrong bytes" : r >= 0 && !is_whole ? "success was reported for less than all" : NULL;
    return r;
}

// One that hangs is ended by the alarm, and so is all of this.
static void try_fetch(struct faults *faults, const char *inject) {
    struct err err = {.text = ""};
    const char *why;
    put_script(faults->script, faults->http->program, inject, "/dev/null");
    alarm(RUN_MS / 1000);
    int r = fetch(faults, &why, &err);
    alarm(0);
    if (r >= 0 && gives_up_rights(inject))
        why = "it went on with its rights";
    if (why)
        report(faults, inject, why, err.text);
    else
        r < 0 ? faults->remained_old++ : faults->became_new++;
}

static struct call *find_call(struct faults *faults, const char *name, size_t size) {
    for (size_t i = 0; i < faults->call_count; i++)
        if (strlen(faults->calls[i].name) == size && memcmp(faults->calls[i].name, name, size) == 0)
            return &faults->calls[i];
    if (size >= sizeof(faults->calls[0].name) || faults->call_count == MAX_NAMES)
        return NULL;
    struct call *call = &faults->calls[faults->call_count++];
    *call = (struct call){.count = 0};
    memcpy(call->name, name, size);
    return call;
}

// One line per call: "<pid> <name>(…". Counted per process; the largest count of one process is what `when` can reach.
static void count_calls(struct faults *faults) {
    // The first four do not return; the kernel closes a descriptor whatever close() returns, and loses no wake-up of a thread, but a call that
    // strace lets fail is not made.
    static const char *const without[] = {"exit_group", "exit", "rt_sigreturn", "restart_syscall", "close", "futex"};
    struct {
        long pid;
        unsigned counts[MAX_NAMES];
    } processes[16] = {0};
    cleanup_free char *text = NULL;
    struct err err;
    if (file_read(AT_FDCWD, faults->log, 64 << 20, &text, NULL, &err) < 0)
        fail_msg("%s", err.text);
    for (char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        char *name = NULL;
        long pid = strtol(line, &name, 10);
        name += strspn(name, " ");
        size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"), p = 0;
        struct call *call = name[size] == '(' ? find_call(faults, name, size) : NULL;
        for (size_t i = 0; call && i < ARRAY_SIZE(without); i++)
            if (strcmp(call->name, without[i]) == 0)
                call = NULL;
        while (p < ARRAY_SIZE(processes) && processes[p].pid && processes[p].pid != pid)
            p++;
        if (!call || p == ARRAY_SIZE(processes))
            continue;
        processes[p].pid = pid;
        unsigned count = ++processes[p].counts[call - faults->calls];
        call->count = count > call->count ? count : call->count;
    }
}

static void try_all(struct faults *faults, unsigned every, void (*try)(struct faults *faults, const char *inject)) {
    unsigned turn = 0;
    for (size_t i = 0; i < faults->call_count; i++) {
        for (unsigned n = 1; n <= faults->calls[i].count; n++) {
            if (turn++ % every != 0)
                continue;
            cleanup_free char *inject =
                str_printf("inject=%s:error=%s:when=%u", faults->calls[i].name, errors[turn % ARRAY_SIZE(errors)], n);
            faults->tried++;
            try(faults, inject);
        }
        fprintf(stderr, "%s: %u calls, %u faults so far, %u broken\n", faults->calls[i].name, faults->calls[i].count, faults->tried,
                faults->broken);
    }
}

static char *find_program(const char *argv0, const char *name) {
    const char *build = strstr(argv0, "firstboot/");
    cleanup_free char *program = str_printf("%.*s%s", build ? (int)(build - argv0) : 0, argv0, name);
    char *path = realpath(program, NULL);
    if (!path)
        fail_msg("%s: no such program; run `make programs`", program);
    return path;
}

// The same bundle with one bit of its signature turned over.
static char *make_damaged(const struct tree *tree, const struct tree_generation *generation) {
    char *path = tree_bundle(tree, generation, "damaged.bundle");
    struct bundle_head lengths;
    cleanup_free char *data = NULL;
    size_t size;
    assert_ok(file_read(AT_FDCWD, path, TREE_SLOT_BYTES * 2, &data, &size, &tree_failure));
    assert_ok(bundle_head_parse((const uint8_t *)data, &lengths, &tree_failure));
    data[bundle_head_bytes(&lengths) - 1] ^= 1;
    assert_ok(file_publish(AT_FDCWD, path, data, size, 0644, &tree_failure));
    return path;
}

static void prepare(struct faults *faults, const char *argv0) {
    struct err err;
    faults->program = find_program(argv0, "webops");
    faults->verify = find_program(argv0, "webops-verify");
    faults->bundle = tree_bundle(faults->tree, faults->new, "new.bundle");
    faults->damaged = make_damaged(faults->tree, faults->new);
    faults->template = str_printf("%s.template", faults->tree->root.path);
    faults->log = str_printf("%s.log", faults->tree->root.path);
    const struct run copy = {.argv = RUN_ARGV("cp", "-a", faults->tree->root.path, faults->template), .timeout_ms = RUN_MS};
    if (run_quiet(&copy, &err) < 0)
        fail_msg("%s", err.text);
}

// An undisturbed run, of which the calls are counted.
static void watch_update(struct faults *faults) {
    struct err err;
    bool is_new = false;
    faults->script = str_dup("");
    if (update(faults, "trace=all", faults->log, &err) < 0)
        fail_msg("without any fault: %s", err.text);
    const char *why = judge(faults, &is_new);
    if (why || !is_new)
        fail_msg("without any fault: %s", why ? why : "the new generation is not started");
}

static void watch_verify(struct faults *faults) {
    struct err err;
    faults->script = str_printf("%s/usr/lib/webops/webops-verify", faults->tree->root.path);
    restore(faults);
    put_script(faults->script, faults->verify, "trace=all", faults->log);
    if (update_plainly(faults, faults->bundle, &err) < 0)
        fail_msg("without any fault: %s", err.text);
}

static void watch_fetch(struct faults *faults) {
    struct err err;
    const char *why;
    faults->script = str_printf("%s/fetch", faults->tree->root.path);
    put_script(faults->script, faults->http->program, "trace=all", faults->log);
    if (fetch(faults, &why, &err) < 0 || why)
        fail_msg("without any fault: %s", why ? why : err.text);
}

static const struct subject {
    const char *name;
    void (*watch)(struct faults *faults);
    void (*try)(struct faults *faults, const char *inject);
    const char *without, *with; // success
} subjects[] = {
    {"syscall", watch_update, try_update, "old", "new"},
    {"verify", watch_verify, try_verify, "old", "new"},
    {"fetch", watch_fetch, try_fetch, "failed", "right"},
};

// How many were broken.
static unsigned run_subject(const struct faults *prepared, const struct subject *subject, unsigned every) {
    struct faults faults = *prepared;
    subject->watch(&faults);
    count_calls(&faults);
    try_all(&faults, every, subject->try);
    printf("%s faults: %u tried, %u %s, %u %s, %u broken\n", subject->name, faults.tried, faults.remained_old, subject->without,
           faults.became_new, subject->with, faults.broken);
    fflush(stdout);
    free(faults.script);
    return faults.tried ? faults.broken : 1;
}

static void faults_done(struct faults *faults) {
    struct err err;
    if (file_remove_tree(AT_FDCWD, faults->template, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    unlink(faults->log);
    http_stop(faults->http);
    free(faults->program);
    free(faults->verify);
    free(faults->damaged);
    free(faults->bundle);
    free(faults->template);
    free(faults->log);
}

int main(int argc, char **argv) {
    unsigned every = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    cleanup_tree struct tree tree = tree_make(argv[0], &old);
    cleanup(faults_done) struct faults faults = {.tree = &tree, .old = &old, .new = &new, .http = http_start(argv[0], NULL)};
    unsigned broken = 0;
    prepare(&faults, argv[0]);
    for (size_t i = 0; i < ARRAY_SIZE(subjects); i++)
        if (argc <= 2 || strcmp(argv[2], subjects[i].name) == 0)
            broken += run_subject(&faults, &subjects[i], every ? every : 1);
    return broken ? 1 : 0;
}
