// SPDX-License-Identifier: Apache-2.0
// syscall_faults [EVERY]: lets each system call that `webops update` and its children make fail once, one run per call, and judges what is
// left: the old generation, or the new one whole, never neither; and the next run must get there. The failing is strace's. Every EVERYth
// fault is tried (1: all). Takes minutes, so it is no unit test; qemu-tests/test_syscalls.py runs it.
#include "firstboot/update/test/tree.h"
#include "common/run.h"
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
    char *program, *bundle, *template, *log;
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

static void try_fault(struct faults *faults, const struct call *call, unsigned n, const char *error) {
    cleanup_free char *inject = str_printf("inject=%s:error=%s:when=%u", call->name, error, n);
    struct err err = {.text = ""}, again = {.text = ""};
    bool is_new = false;
    restore(faults);
    faults->tried++;
    int r = update(faults, inject, "/dev/null", &err);
    const char *why = judge(faults, &is_new);
    if (!why && r == 0 && !is_new)
        why = "success was reported, and the old generation starts";
    if (!why && r == -ETIMEDOUT)
        why = "the update hangs";
    if (why) {
        report(faults, inject, why, err.text);
        return;
    }
    is_new ? faults->became_new++ : faults->remained_old++;
    const bool was_new = is_new;
    if (update(faults, "trace=none", "/dev/null", &again) < 0)
        report(faults, inject, "the next run fails", again.text);
    else if ((why = judge(faults, &is_new)) || !is_new)
        report(faults, inject, why ? why : "the next run does not install", was_new ? "was new" : "was old");
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
    // The first four do not return; the kernel closes a descriptor whatever close() returns, but a call that strace lets fail is not made.
    static const char *const without[] = {"exit_group", "exit", "rt_sigreturn", "restart_syscall", "close"};
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

static void try_all(struct faults *faults, unsigned every) {
    unsigned turn = 0;
    for (size_t i = 0; i < faults->call_count; i++) {
        for (unsigned n = 1; n <= faults->calls[i].count; n++)
            if (turn++ % every == 0)
                try_fault(faults, &faults->calls[i], n, errors[turn % ARRAY_SIZE(errors)]);
        fprintf(stderr, "%s: %u calls, %u faults so far, %u broken\n", faults->calls[i].name, faults->calls[i].count, faults->tried,
                faults->broken);
    }
}

static void prepare(struct faults *faults, const char *argv0) {
    const char *build = strstr(argv0, "firstboot/");
    cleanup_free char *program = str_printf("%.*swebops", build ? (int)(build - argv0) : 0, argv0);
    struct err err;
    faults->program = realpath(program, NULL);
    faults->bundle = tree_bundle(faults->tree, faults->new, "new.bundle");
    faults->template = str_printf("%s.template", faults->tree->root.path);
    faults->log = str_printf("%s.log", faults->tree->root.path);
    const struct run copy = {.argv = RUN_ARGV("cp", "-a", faults->tree->root.path, faults->template), .timeout_ms = RUN_MS};
    bool is_new = false;
    if (!faults->program)
        fail_msg("%s: no such program; run `make programs`", program);
    if (run_quiet(&copy, &err) < 0 || update(faults, "trace=all", faults->log, &err) < 0)
        fail_msg("without any fault: %s", err.text);
    const char *why = judge(faults, &is_new);
    if (why || !is_new)
        fail_msg("without any fault: %s", why ? why : "the new generation is not started");
    count_calls(faults);
}

static void faults_done(struct faults *faults) {
    struct err err;
    if (file_remove_tree(AT_FDCWD, faults->template, &err) < 0)
        fprintf(stderr, "%s\n", err.text);
    unlink(faults->log);
    free(faults->program);
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
    cleanup(faults_done) struct faults faults = {.tree = &tree, .old = &old, .new = &new};
    prepare(&faults, argv[0]);
    try_all(&faults, every ? every : 1);
    printf("syscall faults: %u tried, %u old, %u new, %u broken\n", faults.tried, faults.remained_old, faults.became_new, faults.broken);
    return faults.broken || faults.tried == 0 ? 1 : 0;
}
