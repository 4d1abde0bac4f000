// SPDX-License-Identifier: Apache-2.0
// The update engine on a tree that stands for a machine: installation, refusal, and interruption at every point.
#include "firstboot/update/test/verdict.h"
#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static const char *program;

// In place of libc's: a child of the test ends before the durable step whose turn it is. What was written before is there, as after a
// power cut that hits between two flushes.
static int steps_left = -1;
static void step(void) {
    if (steps_left >= 0 && steps_left-- == 0)
        _exit(42);
}
int fsync(int fd) {
    (void)fd; // a process that ends loses nothing of the page cache, so the real call would only take time
    step();
    return 0;
}
int fdatasync(int fd) {
    (void)fd; // a process that ends loses nothing of the page cache, so the real call would only take time
    step();
    return 0;
}
int syncfs(int fd) {
    (void)fd; // a process that ends loses nothing of the page cache, so the real call would only take time
    step();
    return 0;
}
int unlinkat(int dir_fd, const char *path, int flags) {
    step();
    return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
}
static time_t clock_says; // 0: what it is
time_t time(time_t *ret_now) {
    struct timespec now = {.tv_sec = clock_says};
    if (!clock_says)
        clock_gettime(CLOCK_REALTIME, &now);
    if (ret_now)
        *ret_now = now.tv_sec;
    return now.tv_sec;
}
int renameat(int from_fd, const char *from, int to_fd, const char *to) {
    step();
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

static void update_from_a_file(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    cleanup_tree struct tree tree = tree_make(program, &old);
    cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
    const struct update_options plan = {.location = bundle, .is_plan = true}, options = {.location = bundle};
    assert_ok(tree_update(&tree, &plan));
    assert_false(file_exists(tree.root.fd, UPDATE_LOCK_PATH));
    assert_int_equal(tree_entry(&tree, 0, BOOT_SLOT_B).state, BOOT_EMPTY);
    int r = tree_update(&tree, &options);
    assert_ok(r);
    assert_int_equal(r, UPDATE_PUBLISHED);
    assert_published(&tree, &old, &new);
    assert_int_equal(tree_update(&tree, &options), UPDATE_NOTHING);
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = bundle, .wants_reboot = true}), UPDATE_REBOOT);
    assert_published(&tree, &old, &new);
}

static void child_update(const struct tree *tree, const char *bundle, int steps) {
    steps_left = steps;
    int r = tree_update(tree, &(struct update_options){.location = bundle});
    _exit(r == UPDATE_PUBLISHED || r == UPDATE_NOTHING ? 0 : 1);
}

// The child's exit status.
static int interrupted_update(const struct tree *tree, const char *bundle, int steps) {
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child_update(tree, bundle, steps);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

// Interrupted before each durable step, then at another point of the second attempt, then let through.
static void interruption_anywhere(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    int steps = 0;
    for (int r = 42; r != 0; steps++) {
        cleanup_tree struct tree tree = tree_make(program, &old);
        cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
        r = interrupted_update(&tree, bundle, steps);
        assert_true(r == 0 || r == 42);
        assert_old_or_new(&tree, &old, &new);
        if (r == 0)
            break;
        r = interrupted_update(&tree, bundle, (steps * 7 + 3) % 40);
        assert_true(r == 0 || r == 42);
        assert_old_or_new(&tree, &old, &new);
        assert_ok(tree_update(&tree, &(struct update_options){.location = bundle}));
        assert_published(&tree, &old, &new);
        assert_false(file_exists(tree.root.fd, "var/lib/webops/update/uki.part"));
        r = 42;
    }
    assert_true(steps > 25); // else nothing was interrupted
}

// Without an argument the interrupted one goes on.
static void interrupted_update_goes_on(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    cleanup_tree struct tree tree = tree_make(program, &old);
    cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
    assert_int_equal(tree_update(&tree, &(struct update_options){0}), -ENOENT);
    assert_non_null(strstr(tree_failure.text, "UPDATE_URL"));
    assert_int_equal(interrupted_update(&tree, bundle, 18), 42);
    assert_int_equal(journal_of(&tree).state, JOURNAL_INSTALLING);
    assert_ok(tree_update(&tree, &(struct update_options){0}));
    assert_published(&tree, &old, &new);
}

// Commit as the trial boot does it, then back, and again: nothing grows.
static void there_and_back(void **state) {
    (void)state;
    struct tree_generation generations[2];
    tree_generation_make(&generations[0], "1", 1, 2);
    cleanup_tree struct tree tree = tree_make(program, &generations[0]);
    for (unsigned i = 1; i <= 5; i++) {
        enum boot_slot slot = i % 2 ? BOOT_SLOT_B : BOOT_SLOT_A;
        struct tree_generation *new = &generations[i % 2];
        if (i > 1)
            tree_generation_done(new);
        cleanup_free char *version = str_printf("%u", i + 1);
        tree_generation_make(new, version, i + 1, 2 + i);
        cleanup_free char *bundle = tree_bundle(&tree, new, "new.bundle");
        assert_ok(tree_update(&tree, &(struct update_options){.location = bundle}));
        tree_boot(&tree, new, slot);
        cleanup_machine struct machine machine = tree_machine(&tree);
        assert_int_equal(tree_update(&tree, &(struct update_options){.location = bundle}), -EBUSY);
        assert_non_null(strstr(tree_failure.text, "on trial"));
        assert_int_equal(trial_start(&machine, &tree_failure), TRIAL_GOES_ON);
        int r = trial_commit(&machine, &tree_failure);
        assert_ok(r);
        assert_int_equal(r, TRIAL_DONE);
        for (size_t b = 0; boot_backends[b]; b++) {
            assert_int_equal(tree_entry(&tree, b, slot).state, BOOT_GOOD);
            assert_true(tree_entry(&tree, b, slot).order > tree_entry(&tree, b, boot_slot_other(slot)).order);
        }
        assert_int_equal(journal_of(&tree).state, JOURNAL_COMMITTED);
        assert_false(file_exists(tree.root.fd, TRIAL_MARK_PATH));
        assert_false(file_exists(tree.root.fd, ATTEMPTS_PATH));
        assert_int_equal(tree_update(&tree, &(struct update_options){.location = bundle}), UPDATE_NOTHING);
        assert_int_equal(trial_commit(&machine, &tree_failure), TRIAL_NOTHING);
        struct floors floors;
        assert_ok(floors_load(tree.root.fd, &floors, &tree_failure));
        assert_int_equal(floors.sequence, i + 1);
    }
    tree_generation_done(&generations[0]);
    tree_generation_done(&generations[1]);
}

// In a child that ends before the durable step with this number; its exit status.
static int interrupted(const struct tree *tree, int steps, int (*run)(const struct machine *, struct err *)) {
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct machine machine = tree_machine(tree);
        steps_left = steps;
        _exit(run(&machine, &tree_failure) < 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_whole(const struct tree *tree, int (*run)(const struct machine *, struct err *)) {
    cleanup_machine struct machine machine = tree_machine(tree);
    int r = run(&machine, &tree_failure);
    assert_ok(r);
    return r;
}

// Cut off while it was committed: the next start of the same generation goes on.
static void commit_interrupted_anywhere(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    int steps = 0;
    for (int r = 42; r == 42; steps++) {
        cleanup_tree struct tree tree = tree_make(program, &old);
        cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
        assert_ok(tree_update(&tree, &(struct update_options){.location = bundle}));
        tree_boot(&tree, &new, BOOT_SLOT_B);
        r = interrupted(&tree, steps, trial_commit);
        run_whole(&tree, trial_start);
        run_whole(&tree, trial_commit);
        for (size_t i = 0; boot_backends[i]; i++) {
            assert_int_equal(tree_entry(&tree, i, BOOT_SLOT_A).state, BOOT_GOOD);
            assert_int_equal(tree_entry(&tree, i, BOOT_SLOT_B).state, BOOT_GOOD);
        }
        assert_int_equal(journal_of(&tree).state, JOURNAL_COMMITTED);
        assert_false(file_exists(tree.root.fd, TRIAL_MARK_PATH));
        struct floors floors;
        assert_ok(floors_load(tree.root.fd, &floors, &tree_failure));
        assert_int_equal(floors.sequence, 2);
    }
    assert_true(steps > 8);
}

static int fail_health(const struct machine *machine, struct err *err) {
    return trial_fail(machine, "health", "sshd", "nobody answers", err);
}

// Cut off while it was rejected: whichever generation starts next ends it, and the reason is not lost.
static void rejection_interrupted_anywhere(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    int steps = 0;
    for (int r = 42; r == 42; steps++) {
        cleanup_tree struct tree tree = tree_make(program, &old);
        cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
        cleanup_rejection struct rejection rejection = {0};
        assert_ok(tree_update(&tree, &(struct update_options){.location = bundle}));
        tree_boot(&tree, &new, BOOT_SLOT_B);
        run_whole(&tree, trial_start);
        r = interrupted(&tree, steps, fail_health);
        if (tree_entry(&tree, 0, BOOT_SLOT_B).state == BOOT_TRIAL)
            run_whole(&tree, fail_health);
        assert_int_equal(tree_entry(&tree, 0, BOOT_SLOT_B).state, BOOT_BAD);
        tree_boot(&tree, &old, BOOT_SLOT_A);
        run_whole(&tree, trial_review);
        assert_int_equal(journal_of(&tree).state, JOURNAL_REJECTED);
        assert_int_equal(ledger_last(tree.root.fd, &rejection, &tree_failure), 1);
        assert_string_equal(rejection.stage, "health");
        assert_string_equal(rejection.reason, "nobody answers");
        assert_false(file_exists(tree.root.fd, TRIAL_MARK_PATH));
        for (size_t i = 0; boot_backends[i]; i++) {
            assert_int_equal(tree_entry(&tree, i, BOOT_SLOT_A).state, BOOT_GOOD);
            assert_int_equal(tree_entry(&tree, i, BOOT_SLOT_B).state, BOOT_BAD);
        }
    }
    assert_true(steps > 8);
}

static void second_updater_is_told(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old;
    tree_generation_make(&old, "1", 1, 2);
    cleanup_tree struct tree tree = tree_make(program, &old);
    cleanup_fd int lock = update_lock(tree.root.fd, &tree_failure);
    assert_true(lock >= 0);
    cleanup_free char *pid = str_printf("process %d", getpid());
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = "/nowhere"}), -EBUSY);
    assert_non_null(strstr(tree_failure.text, pid));
}

static void wrong_bundles_change_nothing(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 5, 2);
    tree_generation_make(&new, "2", 6, 3);
    cleanup_tree struct tree tree = tree_make(program, &old);
    cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle"), *data = NULL;
    size_t size;
    assert_ok(file_read(AT_FDCWD, bundle, 8 << 20, &data, &size, &tree_failure));
    data[100] ^= 1; // in the manifest
    assert_ok(file_publish(AT_FDCWD, bundle, data, size, 0644, &tree_failure));
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = bundle}), -EKEYREJECTED);
    assert_int_equal(journal_of(&tree).state, JOURNAL_NONE);
    data[100] ^= 1;
    data[size - 5000] ^= 1; // in a layer: found when it is read
    assert_ok(file_publish(AT_FDCWD, bundle, data, size, 0644, &tree_failure));
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = bundle}), -EBADMSG);
    assert_old_or_new(&tree, &old, &new);
    assert_int_equal(tree_entry(&tree, 0, BOOT_SLOT_B).state, BOOT_EMPTY);
    tree_generation_done(&new);
    tree_generation_make(&new, "0", 4, 3);
    cleanup_free char *older = tree_bundle(&tree, &new, "old.bundle");
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = older}), -EPERM);
    assert_non_null(strstr(tree_failure.text, "--force"));
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = older, .is_forced = true}), UPDATE_PUBLISHED);
    assert_published(&tree, &old, &new);
}

static void published_directory(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 5, 2);
    tree_generation_make(&new, "2", 6, 3);
    cleanup_tree struct tree tree = tree_make(program, &old);
    cleanup_buf struct buf head = {0};
    assert_ok(file_mkdirs(tree.root.fd, "www", 0755, &tree_failure));
    cleanup_free char *bundle = tree_bundle(&tree, &new, "www/edge-2.bundle"), *www = str_printf("%s/www", tree.root.path);
    tree_head(&tree, &new, &head);
    tree_write(&tree, "www/stable.channel", head.data, head.size);
    tree_write(&tree, "www/beta.channel", head.data, head.size);
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = www, .channel = "beta"}), -EPERM);
    assert_non_null(strstr(tree_failure.text, "channel"));
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = www}), UPDATE_PUBLISHED);
    assert_published(&tree, &old, &new);
}

static struct floors floors_of(const struct tree *tree) {
    struct floors floors;
    assert_ok(floors_load(tree->root.fd, &floors, &tree_failure));
    return floors;
}

static int update_at(const struct tree *tree, const char *bundle, time_t now) {
    clock_says = now;
    int r = tree_update(tree, &(struct update_options){.location = bundle});
    clock_says = 0;
    return r;
}

// What was seen once has been: the time floor stands in for a clock that lost it. A clock that is ahead stops updates, and leaves no trace
// that would outlast it.
static void wrong_clocks(void **state) {
    (void)state;
    enum { IN_1970 = 1000, IN_2099 = 4073932800 };
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    old.manifest.created = new.manifest.valid_from = ZOO_NOW;
    new.manifest.valid_until = ZOO_NOW + 10 * 365 * ZOO_DAY;
    cleanup_tree struct tree tree = tree_make(program, &old);
    cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
    const struct floors before = floors_of(&tree);
    assert_int_equal(update_at(&tree, bundle, IN_2099), -EPERM);
    assert_non_null(strstr(tree_failure.text, "it was valid until"));
    const struct floors after = floors_of(&tree);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(tree_entry(&tree, 0, BOOT_SLOT_B).state, BOOT_EMPTY);
    assert_int_equal(update_at(&tree, bundle, IN_1970), UPDATE_PUBLISHED);
    assert_published(&tree, &old, &new);
    assert_int_equal(update_at(&tree, bundle, ZOO_NOW + ZOO_DAY), UPDATE_NOTHING);
}

// The right clock after a wrong one; and a generation that is from the future to a machine that never saw a later time.
static void a_clock_that_is_set_right(void **state) {
    (void)state;
    enum { IN_1970 = 1000, IN_2099 = 4073932800 };
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    old.manifest.created = ZOO_NOW;
    new.manifest.valid_from = ZOO_NOW + ZOO_DAY;
    new.manifest.valid_until = ZOO_NOW + 10 * 365 * ZOO_DAY;
    cleanup_tree struct tree tree = tree_make(program, &old);
    cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
    assert_int_equal(update_at(&tree, bundle, IN_1970), -EPERM);
    assert_non_null(strstr(tree_failure.text, "is the clock right?"));
    assert_int_equal(update_at(&tree, bundle, IN_2099), -EPERM);
    assert_int_equal(update_at(&tree, bundle, ZOO_NOW + 2 * ZOO_DAY), UPDATE_PUBLISHED);
    assert_published(&tree, &old, &new);
    assert_int_equal(floors_of(&tree).time, ZOO_NOW + ZOO_DAY);
}

int main(int argc, char **argv) {
    (void)argc;
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(update_from_a_file),          cmocka_unit_test(interruption_anywhere),
        cmocka_unit_test(interrupted_update_goes_on),  cmocka_unit_test(there_and_back),
        cmocka_unit_test(commit_interrupted_anywhere), cmocka_unit_test(rejection_interrupted_anywhere),
        cmocka_unit_test(second_updater_is_told),      cmocka_unit_test(wrong_bundles_change_nothing),
        cmocka_unit_test(published_directory),         cmocka_unit_test(wrong_clocks),
        cmocka_unit_test(a_clock_that_is_set_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
