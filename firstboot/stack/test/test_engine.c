// SPDX-License-Identifier: Apache-2.0
// The engine from config.env to units, on a root whose systemd is made of shell scripts.
#include "firstboot/stack/test/machine.h"
#include "common/log.h"
#include "common/opt.h"
#include "firstboot/stack/engine.h"
#include "firstboot/stack/hooks.h"
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define ALL "STORE_ENABLED=true\nSTORE_TEXT='a b'\nBASE_ENABLED=true\nBASE_PASSWORD_FILE=/webops/secrets/base.secret\nSOLO_ENABLED=true\n"

// What the verbs print is not of interest here, except where a test catches it.
static int quietly(int (*call)(const struct stack_engine_options *, struct err *), const struct stack_engine_options *options,
                   char **ret_text, struct err *err) {
    char path[] = "/tmp/webops-test-out-XXXXXX";
    fflush(stdout);
    int kept = dup(STDOUT_FILENO), out = mkstemp(path);
    assert_true(kept >= 0 && out >= 0 && dup2(out, STDOUT_FILENO) >= 0);
    int r = call(options, err);
    fflush(stdout);
    dup2(kept, STDOUT_FILENO);
    close(kept);
    close(out);
    struct err ignored;
    char *text = NULL;
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &text, NULL, &ignored), 0);
    unlink(path);
    if (ret_text)
        *ret_text = text;
    else
        free(text);
    return r;
}

static int install(const struct support_root *root, const char *name, struct err *err) {
    const struct stack_engine_options options = {.root = root->path, .name = name, .is_live = true};
    return quietly(stack_engine_install, &options, NULL, err);
}

static int install_all(const struct support_root *root) {
    struct err err = {0};
    return install(root, NULL, &err);
}

static int uninstall(const struct support_root *root, const char *name, bool is_purge, struct err *err) {
    const struct stack_engine_options options = {.root = root->path, .name = name, .is_live = true, .is_purge = is_purge};
    return quietly(stack_engine_uninstall, &options, NULL, err);
}

static int count_of(const char *text, const char *what) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

static void everything_comes_up_in_order(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    assert_int_equal(install_all(&root), EXIT_OK);
    assert_int_equal(machine_state(&root, "store"), STACK_RUNNING);
    assert_int_equal(machine_state(&root, "base"), STACK_RUNNING);
    assert_int_equal(machine_state(&root, "solo"), STACK_RUNNING);
    cleanup_free char *log = machine_log(&root), *env = support_read(&root, "etc/default/store"),
                      *secret = support_read(&root, "run/base/password");
    const char *store = strstr(log, "--no-block start -- store.service"), *timer = strstr(log, "--no-block start -- store-backup.timer"),
               *join = strstr(log, "/usr/bin/store-join"), *base = strstr(log, "--no-block start -- base.service");
    assert_true(store && timer && join && base);
    assert_true(store < timer && timer < join && join < base); // units in order, hooks after health, then who needs it
    assert_null(strstr(log, "start -- store-extra")); // its condition does not hold
    assert_string_equal(env, "PORT=2379\nTEXT=\"a b\"\n");
    assert_string_equal(secret, "s3cret canary\n");
    assert_true(file_exists(root.fd, "var/lib/store"));
    assert_true(file_exists(root.fd, "var/lib/base/data"));
    cleanup_free char *kept = support_read(&root, "var/lib/webops/persist/etc/store-kept/settings");
    assert_string_equal(kept, "from the image\n");
    assert_non_null(strstr(log, "start -- etc-store\\x2dkept.mount"));
}

static void a_second_run_changes_nothing(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    assert_int_equal(install_all(&root), EXIT_OK);
    cleanup_free char *before = support_read(&root, STACK_RUN_DIR "/store.json");
    machine_forget(&root);
    assert_int_equal(install_all(&root), EXIT_OK);
    cleanup_free char *log = machine_log(&root), *after = support_read(&root, STACK_RUN_DIR "/store.json");
    assert_string_equal(before, after);
    assert_null(strstr(log, "--no-block")); // no unit was touched
    assert_null(strstr(log, "store-join")); // and no hook run
    assert_non_null(strstr(log, "/usr/bin/storectl --port=2379")); // health was asked
}

static void a_changed_file_restarts_its_stack(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    assert_int_equal(install_all(&root), EXIT_OK);
    machine_forget(&root);
    support_write(&root, "webops/config.env", ALL "STORE_PORT=4001\n");
    assert_int_equal(install_all(&root), EXIT_OK);
    cleanup_free char *log = machine_log(&root);
    assert_int_equal(count_of(log, "--no-block"), 1);
    assert_non_null(strstr(log, "--no-block restart -- store.service")); // the timer keeps
    assert_non_null(strstr(log, "--port=4001"));
}

static void a_failing_stack_stops_only_those_that_need_it(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    support_write(&root, "fake/fail/store.service", "");
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *log = machine_log(&root), *why = machine_why(&root, "store"), *waits = machine_why(&root, "base");
    assert_int_equal(machine_state(&root, "store"), STACK_FAILED);
    assert_string_equal(why, "store.service failed (exit-code): first line | last words");
    assert_int_equal(machine_state(&root, "base"), STACK_WAITING);
    assert_string_equal(waits, "waits for store");
    assert_null(strstr(log, "start -- base.service"));
    assert_int_equal(machine_state(&root, "solo"), STACK_RUNNING);
    assert_non_null(strstr(log, "systemctl restart -- webops-stacks-retry.timer"));
    // Mended: the next run, which the timer makes, brings up the rest.
    unlinkat(root.fd, "fake/fail/store.service", 0);
    struct err err = {0};
    const struct stack_engine_options boot = {.root = root.path, .is_live = true, .is_boot = true};
    machine_forget(&root);
    assert_int_equal(stack_engine_install(&boot, &err), EXIT_OK);
    assert_int_equal(machine_state(&root, "base"), STACK_RUNNING);
    cleanup_free char *again = machine_log(&root);
    assert_non_null(strstr(again, "systemctl stop -- webops-stacks-retry.timer"));
}

static void a_check_that_fails_is_named(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\n");
    support_write(&root, "fake/run-fails", "storectl");
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *why = machine_why(&root, "store"), *log = machine_log(&root);
    assert_non_null(strstr(why, "store/quorum: /usr/bin/storectl failed"));
    assert_non_null(strstr(why, "told to fail; store.service: first line | last words"));
    assert_null(strstr(log, "store-join"));
    assert_non_null(strstr(log, "user=sshd /usr/bin/storectl --port=2379"));
}

// The check of a unit tells its last lines already.
static void what_a_unit_said_is_told_once(void **state) {
    static const char solo[] = "{\"format\": 1, \"name\": \"solo\", \"summary\": \"alone\", \"enable\": \"SOLO_ENABLED\","
                               " \"start_timeout\": 1, \"units\": [{\"unit\": \"solo.service\"}],"
                               " \"health\": [{\"name\": \"other\", \"kind\": \"unit\", \"unit\": \"other.service\"}]}";
    (void)state;
    cleanup_root struct support_root root = machine_make("SOLO_ENABLED=true\n");
    support_write(&root, STACK_DIR "/solo.json", solo);
    support_write(&root, "fake/state/other.service", "failed\n");
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *why = machine_why(&root, "solo");
    assert_int_equal(count_of(why, "first line | last words"), 1);
}

static void a_unit_that_hangs_ends_with_its_time(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\n");
    support_write(&root, "fake/slow/store.service", "");
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *why = machine_why(&root, "store");
    assert_string_equal(why, "store.service did not start in time: first line | last words");
}

// A check that knows what the unit waits for says more than the unit does.
static void a_unit_that_waits_is_explained(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\n");
    support_write(&root, "fake/slow/store.service", "");
    support_write(&root, "fake/run-fails", "storectl");
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *why = machine_why(&root, "store");
    assert_non_null(strstr(why, "store.service did not start in time: store/quorum: "));
    assert_non_null(strstr(why, "/usr/bin/storectl failed: told to fail"));
    assert_null(strstr(why, "first line"));
}

static void a_boot_never_fails_its_unit(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    struct err err = {0};
    const struct stack_engine_options boot = {.root = root.path, .is_live = true, .is_boot = true};
    assert_int_equal(stack_engine_install(&boot, &err), EXIT_OK); // nothing was applied yet: nothing is enabled
    cleanup_free char *none = machine_log(&root);
    assert_string_equal(none, "");
    support_write(&root, "fake/fail/store.service", "");
    assert_int_equal(install(&root, NULL, &err), EXIT_PERMANENT);
    assert_int_equal(stack_engine_install(&boot, &err), EXIT_OK);
    assert_int_equal(machine_state(&root, "store"), STACK_FAILED);
}

// On a root with a stack whose check never passes: a run by itself holds the lock until an operator's comes.
static pid_t start_boot(const struct support_root *root) {
    const struct stack_engine_options boot = {.root = root->path, .is_live = true, .is_boot = true};
    struct err err;
    pid_t pid = fork();
    if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
        _exit(stack_engine_install(&boot, &err) == EXIT_OK ? 0 : 1);
    return pid;
}

static void wait_for_check(const struct support_root *root) {
    for (bool is_run = false; !is_run; usleep(50000)) { // as long as alarm() lets us
        cleanup_free char *log = machine_log(root);
        is_run = strstr(log, "/usr/bin/storectl");
    }
}

static void an_operator_takes_over_from_a_run_by_itself(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\n");
    support_write(&root, "fake/run-fails", "storectl");
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    // Far longer than this test may take, so that only the operator's run can end it.
    cleanup_free char *json = support_read(&root, STACK_DIR "/store.json");
    char *at = strstr(json, "\"start_timeout\": ");
    assert_non_null(at);
    cleanup_free char *patient = str_printf("%.*s\"start_timeout\": 900%s", (int)(at - json), json, at + strcspn(at, ","));
    support_write(&root, STACK_DIR "/store.json", patient);
    machine_forget(&root);
    pid_t boot = start_boot(&root);
    assert_true(boot > 0);
    alarm(300);
    wait_for_check(&root);
    support_write(&root, "webops/config.env", "SOLO_ENABLED=true\n");
    assert_int_equal(install_all(&root), EXIT_OK);
    int status = -1;
    assert_true(waitpid(boot, &status, 0) == boot && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    alarm(0);
    assert_int_equal(machine_state(&root, "store"), STACK_STOPPED);
    assert_int_equal(machine_state(&root, "solo"), STACK_RUNNING);
}

static void what_is_disabled_stops_with_its_files_in_place(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    assert_int_equal(install_all(&root), EXIT_OK);
    machine_forget(&root);
    support_write(&root, "webops/config.env", "SOLO_ENABLED=true\n");
    // The script that stops looks whether the file is there.
    cleanup_free char *script =
        str_printf("#!/bin/sh\ntest \"$1\" = stop && ls %s/etc/default/store >>%s/fake/seen\nexec %s/fake/bin/real \"$@\"\n", root.path,
                   root.path, root.path);
    machine_program(&root, "real", machine_systemctl);
    machine_program(&root, "systemctl", script);
    assert_int_equal(install_all(&root), EXIT_OK);
    assert_true(file_exists(root.fd, "fake/seen"));
    cleanup_free char *seen = support_read(&root, "fake/seen"), *log = machine_log(&root);
    assert_non_null(strstr(seen, "etc/default/store"));
    assert_false(file_exists(root.fd, "etc/default/store"));
    assert_false(file_exists(root.fd, "run/base/password"));
    assert_false(machine_is_active(&root, "store.service"));
    assert_true(machine_is_active(&root, "solo.service"));
    const char *base = strstr(log, "stop -- base.service"), *store = strstr(log, "stop -- store.service");
    assert_true(base && store && base < store); // who needs it goes first
    assert_true(file_exists(root.fd, "var/lib/store")); // data stays
    assert_int_equal(machine_state(&root, "store"), STACK_STOPPED);
}

static void uninstall_is_refused_while_somebody_needs_it(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    struct err err = {0};
    assert_int_equal(install_all(&root), EXIT_OK);
    machine_forget(&root);
    assert_int_equal(uninstall(&root, "store", true, &err), -EPERM);
    assert_non_null(strstr(err.text, "base is enabled and needs store"));
    cleanup_free char *log = machine_log(&root);
    assert_null(strstr(log, "stop"));
    assert_true(file_exists(root.fd, "var/lib/store"));
    assert_true(file_exists(root.fd, "etc/default/store"));
    assert_int_equal(uninstall(&root, "stor", false, &err), -ENOENT);
    assert_non_null(strstr(err.text, "did you mean store?"));
}

static void uninstall_stays_until_apply_brings_it_back(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    struct err err = {0};
    assert_int_equal(install_all(&root), EXIT_OK);
    assert_int_equal(uninstall(&root, "base", false, &err), EXIT_OK);
    assert_false(machine_is_active(&root, "base.service"));
    assert_false(file_exists(root.fd, "run/base/password"));
    assert_true(file_exists(root.fd, "var/lib/base/data"));
    assert_int_equal(uninstall(&root, "store", false, &err), EXIT_OK); // nobody needs it any more
    assert_int_equal(install_all(&root), EXIT_OK); // whatever the configuration says
    assert_false(machine_is_active(&root, "store.service"));
    assert_false(machine_is_active(&root, "base.service"));
    assert_int_equal(install(&root, "base", &err), EXIT_TEMPORARY);
    cleanup_free char *why = machine_why(&root, "base");
    assert_string_equal(why, "waits for store, which is uninstalled");
    assert_int_equal(install(&root, "store", &err), EXIT_OK);
    assert_int_equal(install(&root, "base", &err), EXIT_OK);
    assert_true(machine_is_active(&root, "base.service"));
    assert_true(file_exists(root.fd, "run/base/password"));
}

static void purge_deletes_what_it_named_and_nothing_else(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\nSOLO_ENABLED=true\n");
    struct err err = {0};
    assert_int_equal(install_all(&root), EXIT_OK);
    support_write(&root, "var/lib/store/deep/file", "x");
    support_write(&root, "var/lib/store-other/file", "x");
    support_write(&root, "var/lib/file", "x");
    assert_int_equal(symlinkat("../store-other", root.fd, "var/lib/store/link"), 0);
    const struct stack_engine_options dry = {.root = root.path, .name = "store", .is_live = true, .is_purge = true, .is_dry_run = true};
    cleanup_free char *plan = NULL;
    assert_int_equal(quietly(stack_engine_uninstall, &dry, &plan, &err), EXIT_OK);
    assert_non_null(strstr(plan, "remove /etc/default/store\n"));
    assert_non_null(strstr(plan, "store: stop store.service: its stack is off\n"));
    assert_non_null(strstr(plan, "delete /var/lib/store\ndelete /var/lib/webops/persist/etc/store-kept\n"));
    assert_true(file_exists(root.fd, "var/lib/store/deep/file"));
    assert_true(machine_is_active(&root, "store.service"));
    assert_int_equal(uninstall(&root, "store", true, &err), EXIT_OK);
    assert_false(file_exists(root.fd, "var/lib/store"));
    assert_false(file_exists(root.fd, "var/lib/webops/persist/etc/store-kept"));
    assert_true(file_exists(root.fd, "var/lib/store-other/file"));
    assert_true(file_exists(root.fd, "var/lib/file"));
    assert_true(file_exists(root.fd, "etc/store-kept/settings"));
    assert_true(machine_is_active(&root, "solo.service"));
}

static void purge_leaves_what_an_active_stack_uses(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    struct err err = {0};
    assert_int_equal(install_all(&root), EXIT_OK);
    assert_int_equal(uninstall(&root, "base", true, &err), -EPERM); // solo's directory lies above base's
    assert_non_null(strstr(err.text, "/var/lib/base/data of base is used by solo"));
    assert_true(file_exists(root.fd, "var/lib/base/data"));
    assert_true(machine_is_active(&root, "base.service"));
}

static void nothing_is_deleted_when_a_unit_does_not_stop(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\n");
    struct err err = {0};
    assert_int_equal(install_all(&root), EXIT_OK);
    support_write(&root, "fake/stuck/store.service", "");
    assert_true(uninstall(&root, "store", true, &err) < 0);
    assert_non_null(strstr(err.text, "store.service is stuck"));
    assert_true(file_exists(root.fd, "var/lib/store"));
    assert_true(file_exists(root.fd, "etc/default/store"));
    assert_false(stack_state_is_uninstalled(root.fd, "store"));
}

static void what_does_not_stop_holds_up_nobody_else(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\n");
    assert_int_equal(install_all(&root), EXIT_OK);
    support_write(&root, "fake/stuck/store.service", "");
    support_write(&root, "webops/config.env", "SOLO_ENABLED=true\n");
    machine_forget(&root);
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *why = machine_why(&root, "store"), *log = machine_log(&root);
    assert_int_equal(machine_state(&root, "store"), STACK_FAILED);
    assert_non_null(strstr(why, "cannot be stopped: "));
    assert_non_null(strstr(why, "store.service is stuck"));
    assert_int_equal(machine_state(&root, "solo"), STACK_RUNNING);
    assert_null(strstr(log, "retry.timer")); // it starts, and would stop nothing
    // It ends by itself: there is nothing left to say.
    support_write(&root, "fake/state/store.service", "inactive\n");
    support_write(&root, "fake/state/store-backup.timer", "inactive\n");
    assert_int_equal(install_all(&root), EXIT_OK);
    assert_int_equal(machine_state(&root, "store"), STACK_STOPPED);
}

static void what_conflicts_waits_until_the_other_has_stopped(void **state) {
    static const char rival[] = "{\"format\": 1, \"name\": \"solo\", \"summary\": \"alone\", \"enable\": \"SOLO_ENABLED\","
                                " \"conflicts\": [\"STORE_ENABLED\"], \"units\": [{\"unit\": \"solo.service\"}]}";
    (void)state;
    cleanup_root struct support_root root = machine_make("STORE_ENABLED=true\n");
    support_write(&root, STACK_DIR "/solo.json", rival);
    assert_int_equal(install_all(&root), EXIT_OK);
    support_write(&root, "fake/stuck/store.service", "");
    support_write(&root, "webops/config.env", "SOLO_ENABLED=true\n");
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *why = machine_why(&root, "solo");
    assert_int_equal(machine_state(&root, "solo"), STACK_WAITING);
    assert_string_equal(why, "waits for store, which is off and still runs");
    assert_false(machine_is_active(&root, "solo.service"));
    unlinkat(root.fd, "fake/stuck/store.service", 0);
    assert_int_equal(install_all(&root), EXIT_OK);
    assert_int_equal(machine_state(&root, "store"), STACK_STOPPED);
    assert_int_equal(machine_state(&root, "solo"), STACK_RUNNING);
}

static void a_dry_run_changes_nothing(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL "STORE_FROM=192.0.2.0/24\n");
    const struct stack_engine_options dry = {.root = root.path, .is_live = true, .is_dry_run = true};
    cleanup_free char *plan = NULL;
    struct err err = {0};
    assert_int_equal(quietly(stack_engine_install, &dry, &plan, &err), EXIT_OK);
    assert_non_null(strstr(plan, "write /etc/default/store\n"));
    assert_non_null(strstr(plan, "store: port 2379/tcp open from 192.0.2.0/24\n"));
    assert_non_null(strstr(plan, "store: start store.service: it does not run\n"));
    assert_null(strstr(plan, "canary"));
    cleanup_free char *log = machine_log(&root);
    assert_int_equal(count_of(log, "\n"), 1); // one question
    assert_false(file_exists(root.fd, "etc/default/store"));
    assert_false(file_exists(root.fd, "var/lib/webops"));
    assert_false(file_exists(root.fd, "run/webops/stacks"));
    assert_int_equal(install_all(&root), EXIT_OK);
    cleanup_free char *again = NULL;
    assert_int_equal(quietly(stack_engine_install, &dry, &again, &err), EXIT_OK);
    assert_null(strstr(again, "write"));
    assert_null(strstr(again, "start"));
}

static void apply_wants_an_enabled_stack(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("SOLO_ENABLED=true\n");
    struct err err = {0};
    assert_int_equal(install(&root, "store", &err), -EPERM);
    assert_non_null(strstr(err.text, "set STORE_ENABLED=true"));
    assert_int_equal(install(&root, "nothing", &err), -ENOENT);
    assert_int_equal(install(&root, "solo", &err), EXIT_OK);
    assert_true(machine_is_active(&root, "solo.service"));
}

static void a_value_that_does_not_fit_costs_its_stack_only(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    assert_int_equal(install_all(&root), EXIT_OK);
    cleanup_free char *before = support_read(&root, "etc/default/store");
    support_write(&root, STACK_DIR "/store/store.env", "PORT={{word STORE_TEXT}}\n"); // 'a b' is no word
    machine_forget(&root);
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *after = support_read(&root, "etc/default/store"), *why = machine_why(&root, "store"), *log = machine_log(&root);
    assert_string_equal(before, after); // its files stay as they were
    assert_non_null(strstr(why, "STORE_TEXT"));
    assert_null(strstr(why, "a b"));
    assert_true(machine_is_active(&root, "store.service")); // and it goes on with them
    assert_null(strstr(log, "--no-block"));
    assert_int_equal(machine_state(&root, "solo"), STACK_RUNNING);
    // A machine that never had them does not start it.
    cleanup_root struct support_root fresh = machine_make(ALL);
    support_write(&fresh, STACK_DIR "/store/store.env", "PORT={{word STORE_TEXT}}\n");
    assert_int_equal(install_all(&fresh), EXIT_PERMANENT);
    assert_false(file_exists(fresh.fd, "etc/default/store"));
    assert_false(machine_is_active(&fresh, "store.service"));
    assert_int_equal(machine_state(&fresh, "base"), STACK_WAITING);
    assert_true(machine_is_active(&fresh, "solo.service"));
}

static void a_missing_secret_costs_its_stack_only(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    assert_int_equal(install_all(&root), EXIT_OK); // now it is the last good one, which is used without looking at secrets
    unlinkat(root.fd, "webops/secrets/base.secret", 0);
    unlinkat(root.fd, "run/base/password", 0);
    assert_int_equal(install_all(&root), EXIT_PERMANENT);
    cleanup_free char *why = machine_why(&root, "base");
    assert_non_null(strstr(why, "base.secret does not exist"));
    assert_int_equal(machine_state(&root, "store"), STACK_RUNNING);
}

static void hooks_before_a_restart(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make(ALL);
    struct err err = {0};
    const struct stack_hooks hooks = {.root_fd = root.fd, .is_live = true};
    assert_int_equal(stack_hooks_before_reboot(&hooks, &err), 0); // nothing is in force
    stack_hooks_forget(&hooks);
    assert_int_equal(install_all(&root), EXIT_OK);
    machine_forget(&root);
    assert_int_equal(stack_hooks_before_reboot(&hooks, &err), 0);
    assert_true(file_exists(root.fd, STACK_HOOKS_DONE_PATH));
    stack_hooks_forget(&hooks);
    cleanup_free char *log = machine_log(&root);
    const char *base = strstr(log, "base-switchover"), *store = strstr(log, "user=sshd /usr/bin/store-leave");
    assert_true(base && store && base < store);
    assert_non_null(strstr(log, "seconds=7 user=sshd /usr/bin/store-leave"));
    assert_null(strstr(log, "store-backup")); // of another event
    support_write(&root, "fake/run-fails", "base-switchover");
    machine_forget(&root);
    assert_int_equal(stack_hooks_before_reboot(&hooks, &err), -EAGAIN);
    assert_non_null(strstr(err.text, "hook base/before-reboot: /usr/bin/base-switchover failed"));
    assert_false(file_exists(root.fd, STACK_HOOKS_DONE_PATH));
    cleanup_free char *refused = machine_log(&root);
    assert_null(strstr(refused, "store-leave")); // nothing after the refusal
    const struct stack_hooks forced = {.root_fd = root.fd, .is_live = true, .is_forced = true};
    assert_int_equal(stack_hooks_before_reboot(&forced, &err), 0);
    support_write(&root, "fake/run-fails", "store-leave"); // not required
    assert_int_equal(stack_hooks_before_reboot(&hooks, &err), 0);
    const struct stack_hooks elsewhere = {.root_fd = root.fd};
    machine_forget(&root);
    assert_int_equal(stack_hooks_all(&elsewhere, STACK_BEFORE_UPDATE, &err), 0);
    cleanup_free char *none = machine_log(&root);
    assert_string_equal(none, "");
}

int main(void) {
    log_init("test", LOG_LEVEL_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_comes_up_in_order),
        cmocka_unit_test(a_second_run_changes_nothing),
        cmocka_unit_test(a_changed_file_restarts_its_stack),
        cmocka_unit_test(a_failing_stack_stops_only_those_that_need_it),
        cmocka_unit_test(a_check_that_fails_is_named),
        cmocka_unit_test(what_a_unit_said_is_told_once),
        cmocka_unit_test(a_unit_that_hangs_ends_with_its_time),
        cmocka_unit_test(a_unit_that_waits_is_explained),
        cmocka_unit_test(a_boot_never_fails_its_unit),
        cmocka_unit_test(an_operator_takes_over_from_a_run_by_itself),
        cmocka_unit_test(what_is_disabled_stops_with_its_files_in_place),
        cmocka_unit_test(uninstall_is_refused_while_somebody_needs_it),
        cmocka_unit_test(uninstall_stays_until_apply_brings_it_back),
        cmocka_unit_test(purge_deletes_what_it_named_and_nothing_else),
        cmocka_unit_test(purge_leaves_what_an_active_stack_uses),
        cmocka_unit_test(nothing_is_deleted_when_a_unit_does_not_stop),
        cmocka_unit_test(what_does_not_stop_holds_up_nobody_else),
        cmocka_unit_test(what_conflicts_waits_until_the_other_has_stopped),
        cmocka_unit_test(a_dry_run_changes_nothing),
        cmocka_unit_test(apply_wants_an_enabled_stack),
        cmocka_unit_test(a_value_that_does_not_fit_costs_its_stack_only),
        cmocka_unit_test(a_missing_secret_costs_its_stack_only),
        cmocka_unit_test(hooks_before_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
