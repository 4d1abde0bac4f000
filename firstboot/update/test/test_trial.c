// SPDX-License-Identifier: Apache-2.0
// Trials on a tree that stands for a machine: attempts, commit, failure, what the old generation finds out, rollback, and an ESP or a
// state that take no writes.
#include "firstboot/update/test/tree.h"
#include "firstboot/update/efivar.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/grubenv_file.h"
#include "firstboot/update/postmortem.h"
#include "firstboot/update/slots.h"
#include "firstboot/update/trial.h"
#include <errno.h>
#include <sys/syscall.h>

static const char *program;

// In place of libc's: the ESP's writes end with these, the state's do not (file.c uses fsync()).
static bool is_esp_read_only;
int syncfs(int fd) {
    if (!is_esp_read_only)
        return (int)syscall(SYS_syncfs, fd);
    errno = EROFS;
    return -1;
}
int fdatasync(int fd) {
    if (!is_esp_read_only)
        return (int)syscall(SYS_fdatasync, fd);
    errno = EROFS;
    return -1;
}

struct scene {
    struct tree_generation old, new;
    struct tree tree;
    char *bundle;
};

// Generation 2 is published in slot B.
static void scene_make(struct scene *scene) {
    is_esp_read_only = false;
    tree_generation_make(&scene->old, "1", 1, 2);
    tree_generation_make(&scene->new, "2", 2, 3);
    scene->tree = tree_make(program, &scene->old);
    scene->bundle = tree_bundle(&scene->tree, &scene->new, "new.bundle");
    assert_ok(tree_update(&scene->tree, &(struct update_options){.location = scene->bundle}));
}
static void scene_done(struct scene *scene) {
    is_esp_read_only = false;
    tree_generation_done(&scene->old);
    tree_generation_done(&scene->new);
    tree_done(&scene->tree);
    free(scene->bundle);
}
#define cleanup_scene cleanup(scene_done)

// What the boot loader does when it spends tries: `left` remain.
static void spend(const struct scene *scene, unsigned left) {
    cleanup_free char *name = str_printf("loader/entries/b+%u-%u.conf", left, 2 - left);
    cleanup_fd int esp = openat(scene->tree.root.fd, "esp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(renameat(esp, "loader/entries/b+2.conf", esp, name), 0);
}

static void boot_new(const struct scene *scene) {
    tree_boot(&scene->tree, &scene->new, BOOT_SLOT_B);
}
static void boot_old(const struct scene *scene) {
    tree_boot(&scene->tree, &scene->old, BOOT_SLOT_A);
}

static int call(const struct scene *scene, int (*function)(const struct machine *, struct err *)) {
    cleanup_machine struct machine machine = tree_machine(&scene->tree);
    return function(&machine, &tree_failure);
}

static struct journal journal_of(const struct scene *scene) {
    struct journal journal;
    assert_ok(journal_load(scene->tree.root.fd, &journal, &tree_failure));
    return journal;
}

static struct rejection last(const struct scene *scene) {
    struct rejection rejection = {0};
    int r = ledger_last(scene->tree.root.fd, &rejection, &tree_failure);
    assert_ok(r);
    assert_int_equal(r, 1);
    assert_memory_equal(rejection.root_hash, scene->new.manifest.boot.root_hash, 32);
    assert_string_equal(rejection.version, "2");
    return rejection;
}

static void assert_rejected(const struct scene *scene, const char *stage, const char *part) {
    cleanup_rejection struct rejection rejection = last(scene);
    assert_string_equal(rejection.stage, stage);
    if (!strstr(rejection.reason, part))
        fail_msg("'%s' is not in '%s'", part, rejection.reason);
    for (size_t i = 0; boot_backends[i]; i++) {
        assert_int_equal(tree_entry(&scene->tree, i, BOOT_SLOT_A).state, BOOT_GOOD);
        assert_int_equal(tree_entry(&scene->tree, i, BOOT_SLOT_B).state, BOOT_BAD);
    }
    assert_int_equal(journal_of(scene).state, JOURNAL_REJECTED);
    assert_false(file_exists(scene->tree.root.fd, TRIAL_MARK_PATH));
    assert_false(file_exists(scene->tree.root.fd, ATTEMPTS_PATH));
}

static const char unhealthy[] = "{\"healthy\": false, \"failed\": \"sshd\", \"checks\": [{\"name\": \"units\", \"state\": \"failed\", "
                                "\"why\": \"ssh.service has failed\"}, "
                                "{\"name\": \"sshd\", \"state\": \"failed\", \"why\": \"cannot connect to port 22\"}]}";

static int fail_health(const struct machine *machine, struct err *err) {
    return trial_fail(machine, "health", NULL, NULL, err);
}
static int fail_deadline(const struct machine *machine, struct err *err) {
    return trial_fail(machine, "start", "deadline", "no word in time", err);
}

static void failed_health_rejects(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    support_write(&scene.tree.root, "run/webops/health.json", unhealthy);
    assert_int_equal(call(&scene, trial_start), TRIAL_GOES_ON);
    assert_int_equal(call(&scene, fail_health), TRIAL_RESTART);
    assert_rejected(&scene, "health", "cannot connect to port 22");
    cleanup_rejection struct rejection rejection = last(&scene);
    assert_string_equal(rejection.check, "sshd");
    // The old one runs again: nothing is left to do, and this generation is refused from now on.
    boot_old(&scene);
    assert_int_equal(call(&scene, trial_review), TRIAL_NOTHING);
    assert_int_equal(tree_update(&scene.tree, &(struct update_options){.location = scene.bundle}), -EPERM);
    assert_non_null(strstr(tree_failure.text, "health: sshd"));
    assert_int_equal(tree_update(&scene.tree, &(struct update_options){.location = scene.bundle, .is_forced = true}), UPDATE_PUBLISHED);
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_TRIAL);
    assert_int_equal(ledger_find(scene.tree.root.fd, scene.new.manifest.boot.root_hash, &(struct rejection){0}, &tree_failure), 0);
}

static void a_deadline_rejects(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    assert_int_equal(call(&scene, fail_deadline), TRIAL_RESTART);
    assert_rejected(&scene, "start", "no word in time");
    assert_int_equal(trial_deadline(300, -1), 300 + TRIAL_MARGIN_SECONDS);
    assert_int_equal(trial_deadline(300, 50), 350 + TRIAL_MARGIN_SECONDS);
}

static void a_commit_that_fails_rejects(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    support_write(&scene.tree.root, "run/webops/health.json", "{\"healthy\": true, \"checks\": []}");
    is_esp_read_only = true;
    assert_int_equal(call(&scene, trial_commit), -EROFS);
    assert_int_equal(journal_of(&scene).state, JOURNAL_TRIAL);
    is_esp_read_only = false;
    assert_int_equal(call(&scene, fail_health), TRIAL_RESTART);
    assert_rejected(&scene, "health", "could not be written down");
}

// A committed generation that becomes unhealthy is not a trial.
static void no_trial_is_left_alone(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    assert_int_equal(call(&scene, trial_start), TRIAL_NOTHING);
    assert_int_equal(call(&scene, fail_health), TRIAL_NOTHING);
    boot_new(&scene);
    assert_int_equal(call(&scene, trial_commit), TRIAL_DONE);
    assert_int_equal(call(&scene, fail_health), TRIAL_NOTHING);
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_GOOD);
}

// State was lost: no journal, but the boot loader counts what runs. Health decides all the same.
static void a_trial_without_journal_is_committed(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    assert_ok(file_remove_tree(scene.tree.root.fd, "var/lib/webops/update", &tree_failure));
    assert_int_equal(tree_update(&scene.tree, &(struct update_options){.location = scene.bundle}), -EBUSY);
    assert_int_equal(call(&scene, trial_commit), TRIAL_DONE);
    for (size_t i = 0; boot_backends[i]; i++)
        assert_int_equal(tree_entry(&scene.tree, i, BOOT_SLOT_B).state, BOOT_GOOD);
}

static void a_trial_with_tries_waits(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    assert_int_equal(call(&scene, trial_review), TRIAL_GOES_ON);
    spend(&scene, 1);
    assert_int_equal(call(&scene, trial_review), TRIAL_GOES_ON);
    assert_int_equal(journal_of(&scene).state, JOURNAL_TRIAL);
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).tries_left, 1);
}

static void an_unpublished_one_waits(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    cleanup_free char *path = str_printf("%s/esp/loader/entries/b+2.conf", scene.tree.root.path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(call(&scene, trial_review), TRIAL_NOTHING);
    assert_int_equal(tree_update(&scene.tree, &(struct update_options){0}), UPDATE_PUBLISHED); // by the journal's location
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_TRIAL);
}

static void attempts(const struct scene *scene, unsigned init, unsigned early) {
    const uint8_t *hash = scene->new.manifest.boot.root_hash;
    for (unsigned i = 0; i < init; i++)
        assert_ok(attempts_add(scene->tree.root.fd, hash, "init", &tree_failure));
    for (unsigned i = 0; i < early; i++)
        assert_ok(attempts_add(scene->tree.root.fd, hash, "early", &tree_failure));
}

static void kernel_that_says_nothing(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "kernel", "started 2 times");
}

// The timer may come before the review: what failed is not installed again.
static void an_update_reviews_first(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    assert_int_equal(tree_update(&scene.tree, &(struct update_options){.location = scene.bundle}), -EPERM);
    assert_non_null(strstr(tree_failure.text, "rejected here before (kernel)"));
    assert_rejected(&scene, "kernel", "started 2 times");
}

static void damaged_boot_file(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    cleanup_free char *path = str_printf("%s/esp/EFI/webops/b.efi", scene.tree.root.path);
    assert_int_equal(truncate(path, TREE_UKI_BYTES - 1), 0);
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "boot loader", "EFI/webops/b.efi");
}

// Where the kernel image does not hold the command line, what says it is a boot file like the others.
static void damaged_command_line_on_bios(void **state) {
    (void)state;
    for (int is_damaged = 0; is_damaged <= 1; is_damaged++) {
        cleanup_scene struct scene scene;
        scene_make(&scene);
        assert_ok(file_remove_tree(scene.tree.root.fd, "sys/firmware/efi", &tree_failure));
        cleanup_fd int esp = openat(scene.tree.root.fd, "esp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_ok(grubenv_file_save(esp, &(struct grubenv){.number = 9, .good = 'a', .trial = 'b', .tries_done = 2}, &tree_failure));
        if (is_damaged)
            support_write(&scene.tree.root, "esp/webops/b.cfg", "set webops_cmdline=\"another one\"\n");
        assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
        assert_rejected(&scene, is_damaged ? "boot loader" : "kernel", is_damaged ? "webops/b.cfg" : "left no sign");
    }
}

static void init_that_leaves_a_note(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    attempts(&scene, 2, 0);
    char hex[65];
    hex_format(scene.new.manifest.boot.root_hash, 32, hex);
    cleanup_free char *note = str_printf("%s verity: cannot set up\n\x01 dm-verity\n", hex);
    support_write(&scene.tree.root, INIT_FAILURE_PATH, note);
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "init", "verity: cannot set up   dm-verity");
    assert_false(file_exists(scene.tree.root.fd, INIT_FAILURE_PATH));
}

// Left from an earlier trial of something else: it says nothing about this one.
static void somebody_else_s_note(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    support_write(&scene.tree.root, INIT_FAILURE_PATH,
                  "0000000000000000000000000000000000000000000000000000000000000000 verity: cannot set up\n");
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "kernel", "left no sign");
}

static void damaged_slot(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    attempts(&scene, 2, 0);
    cleanup_fd int fd = openat(scene.tree.root.fd, "dev/vda4", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 100000), 1);
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "init", "the slot is damaged");
}

static void init_that_hands_over_to_nobody(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    attempts(&scene, 2, 0);
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "start", "never came as far as webops");
}

static void start_that_hangs(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    spend(&scene, 0);
    attempts(&scene, 2, 2);
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "start", "hung until the watchdog");
}

// The boot loader cannot count: after as many starts as there were tries, state says enough.
static void write_protected_esp(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    assert_int_equal(call(&scene, trial_start), TRIAL_GOES_ON);
    assert_int_equal(call(&scene, trial_start), TRIAL_GOES_ON);
    is_esp_read_only = true;
    assert_int_equal(call(&scene, trial_start), TRIAL_RESTART);
    cleanup_free char *value = NULL;
    size_t size;
    assert_ok(file_read(scene.tree.root.fd, EFIVAR_ONE_SHOT, 256, &value, &size, &tree_failure));
    assert_int_equal(size, 4 + 2 * sizeof("a.conf"));
    assert_memory_equal(value, "\7\0\0\0a\0.\0c\0o\0n\0f\0\0", size);
    cleanup_rejection struct rejection rejection = last(&scene);
    assert_string_equal(rejection.stage, "boot loader");
    assert_non_null(strstr(rejection.reason, "write-protected"));
}

static void write_protected_esp_on_bios(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    assert_ok(file_remove_tree(scene.tree.root.fd, "sys/firmware/efi", &tree_failure));
    attempts(&scene, 0, 2);
    is_esp_read_only = true;
    assert_int_equal(call(&scene, trial_start), -EROFS);
}

// What the failed generation cannot write to state travels on the ESP.
static void unwritable_state(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    support_write(&scene.tree.root, "run/webops/health.json", unhealthy);
    support_write(&scene.tree.root, "var/lib/webops/update/rejected", "in the way");
    assert_int_equal(call(&scene, fail_health), TRIAL_RESTART);
    assert_true(file_exists(scene.tree.root.fd, "esp/webops/b.why"));
    assert_int_equal(journal_of(&scene).state, JOURNAL_TRIAL);
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_BAD);
    assert_ok(file_remove_tree(scene.tree.root.fd, "var/lib/webops/update/rejected", &tree_failure));
    boot_old(&scene);
    assert_int_equal(call(&scene, trial_review), TRIAL_DONE);
    assert_rejected(&scene, "health", "cannot connect to port 22");
    assert_false(file_exists(scene.tree.root.fd, "esp/webops/b.why"));
}

static void rollback_needs_a_good_one(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    assert_int_equal(call(&scene, trial_rollback), -ENOENT);
    assert_non_null(strstr(tree_failure.text, "not proved itself"));
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_A).state, BOOT_GOOD);
}

static void rollback_goes_back_once(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    assert_int_equal(call(&scene, trial_commit), TRIAL_DONE);
    assert_int_equal(call(&scene, trial_rollback), TRIAL_RESTART);
    assert_rejected(&scene, "operator", "webops rollback");
    assert_int_equal(call(&scene, trial_commit), TRIAL_NOTHING); // before the restart: what was rejected stays so
    assert_int_equal(tree_entry(&scene.tree, 0, BOOT_SLOT_B).state, BOOT_BAD);
    boot_old(&scene);
    assert_int_equal(call(&scene, trial_rollback), -ENOENT);
    assert_non_null(strstr(tree_failure.text, "bad, not good"));
    assert_int_equal(tree_update(&scene.tree, &(struct update_options){.location = scene.bundle}), -EPERM);
}

// Also out of a trial that the operator does not like.
static void rollback_of_a_trial(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    boot_new(&scene);
    assert_int_equal(call(&scene, trial_start), TRIAL_GOES_ON);
    assert_int_equal(call(&scene, trial_rollback), TRIAL_RESTART);
    assert_rejected(&scene, "operator", "operator");
}

static const char *slot_text(const struct scene *scene, const char *slot, const char *name) {
    static char text[512];
    json_t *status = update_status(scene->tree.root.fd);
    const json_t *value = json_object_get(json_object_get(json_object_get(status, "slots"), slot), name);
    snprintf(text, sizeof(text), "%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : json_string_value(value) ?: "-");
    json_decref(status);
    return text;
}

// Written, booted and committed are three things.
static void status_tells_them_apart(void **state) {
    (void)state;
    cleanup_scene struct scene scene;
    scene_make(&scene);
    assert_string_equal(slot_text(&scene, "a", "state"), "good");
    assert_string_equal(slot_text(&scene, "a", "running"), "true");
    assert_string_equal(slot_text(&scene, "b", "state"), "trial");
    assert_string_equal(slot_text(&scene, "b", "version"), "2");
    assert_string_equal(slot_text(&scene, "b", "written"), "true");
    assert_string_equal(slot_text(&scene, "b", "booted"), "false");
    assert_string_equal(slot_text(&scene, "b", "committed"), "false");
    boot_new(&scene);
    assert_int_equal(call(&scene, trial_start), TRIAL_GOES_ON);
    assert_string_equal(slot_text(&scene, "b", "booted"), "true");
    assert_string_equal(slot_text(&scene, "b", "committed"), "false");
    assert_int_equal(call(&scene, trial_commit), TRIAL_DONE);
    assert_string_equal(slot_text(&scene, "b", "state"), "good");
    assert_string_equal(slot_text(&scene, "b", "committed"), "true");
    assert_int_equal(call(&scene, trial_rollback), TRIAL_RESTART);
    boot_old(&scene);
    assert_string_equal(slot_text(&scene, "b", "state"), "bad");
    assert_string_equal(slot_text(&scene, "b", "why"), "operator: the operator asked for the other generation (webops rollback)");
    cleanup_buf struct buf text = {0};
    json_t *status = update_status(scene.tree.root.fd);
    update_status_format(status, json_object_get(status, "slots"), &text);
    json_decref(status);
    assert_non_null(strstr(buf_str(&text), "slot a       edge 1: good, runs\nslot b       edge 2: bad: operator: "));
    assert_non_null(strstr(buf_str(&text), "development keys"));
}

int main(int argc, char **argv) {
    (void)argc;
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_health_rejects),
        cmocka_unit_test(a_deadline_rejects),
        cmocka_unit_test(a_commit_that_fails_rejects),
        cmocka_unit_test(no_trial_is_left_alone),
        cmocka_unit_test(a_trial_without_journal_is_committed),
        cmocka_unit_test(a_trial_with_tries_waits),
        cmocka_unit_test(an_unpublished_one_waits),
        cmocka_unit_test(kernel_that_says_nothing),
        cmocka_unit_test(an_update_reviews_first),
        cmocka_unit_test(damaged_boot_file),
        cmocka_unit_test(damaged_command_line_on_bios),
        cmocka_unit_test(init_that_leaves_a_note),
        cmocka_unit_test(somebody_else_s_note),
        cmocka_unit_test(damaged_slot),
        cmocka_unit_test(init_that_hands_over_to_nobody),
        cmocka_unit_test(start_that_hangs),
        cmocka_unit_test(write_protected_esp),
        cmocka_unit_test(write_protected_esp_on_bios),
        cmocka_unit_test(unwritable_state),
        cmocka_unit_test(rollback_needs_a_good_one),
        cmocka_unit_test(rollback_goes_back_once),
        cmocka_unit_test(rollback_of_a_trial),
        cmocka_unit_test(status_tells_them_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
