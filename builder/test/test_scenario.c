// SPDX-License-Identifier: Apache-2.0
// What a request is made of, before and up to the machine: plan, contradictions, access, files of the machine. Machines that really boot are
// in qemu-tests/test_image_test.py.
#include "builder/scenario.h"
#include "builder/scenario_machine.h"
#include "builder/seed.h"
#include "builder/test/support.h"

#define KEY_LINE "SSH_AUTHORIZED_KEYS_FILE=/webops/secrets/ssh.secret\n"

static struct scenario_request request_of(const char *update, bool rollback) {
    return (struct scenario_request){.machine = {.image = "x.raw", .memory_mib = 512, .cpus = 1, .bios = true},
                                     .update = update,
                                     .wants_rollback = rollback,
                                     .timeout_s = 60};
}

static char *names_of(const struct scenario_request *request) {
    cleanup_scenario_outcomes struct scenario_outcomes outcomes = {0};
    struct buf names = {0};
    scenario_plan(request, &outcomes);
    for (size_t i = 0; i < outcomes.count; i++) {
        buf_printf(&names, "%s%s", i ? " " : "", outcomes.items[i].step->name);
        assert_int_equal(outcomes.items[i].result, SCENARIO_NOT_RUN);
    }
    return buf_take(&names);
}

static void steps_follow_the_request(void **state) {
    (void)state;
    const struct scenario_request boot = request_of(NULL, false), update = request_of("x.bundle", false),
                                  both = request_of("x.bundle", true);
    cleanup_free char *first = names_of(&boot), *second = names_of(&update), *third = names_of(&both);
    assert_string_equal(first, "boot");
    assert_string_equal(second, "boot install break trial");
    assert_string_equal(third, "boot install break trial rollback");
}

static void contradictions_are_refused(void **state) {
    (void)state;
    struct err err = {0};
    struct scenario_request request = request_of("x.bundle", true);
    assert_ok(scenario_check(&request, &err));
    request.machine.config = "config.env";
    assert_int_equal(scenario_check(&request, &err), -EINVAL);
    assert_contains(err.text, "--update with --config needs --ssh-key");
    request.ssh_key = "id";
    assert_ok(scenario_check(&request, &err));
    request.machine.config = NULL;
    assert_int_equal(scenario_check(&request, &err), -EINVAL);
    assert_contains(err.text, "--ssh-key needs --config");
    request = request_of(NULL, true);
    assert_int_equal(scenario_check(&request, &err), -EINVAL);
    assert_contains(err.text, "--rollback needs --update");
    request = request_of(NULL, false);
    request.timeout_s = 0;
    assert_int_equal(scenario_check(&request, &err), -EINVAL);
    request = request_of(NULL, false);
    request.machine.cpus = 0;
    assert_int_equal(scenario_check(&request, &err), -EINVAL);
    request = request_of(NULL, false);
    request.machine.secrets = "secrets";
    assert_int_equal(scenario_check(&request, &err), -EINVAL);
    assert_contains(err.text, "--secrets needs --config");
    request = request_of(NULL, false);
    request.machine.disk_size = "1X";
    assert_int_equal(scenario_check(&request, &err), -EINVAL);
    assert_contains(err.text, "--disk-size 1X");
    // A boot with a configuration needs no way in.
    request = request_of(NULL, false);
    request.machine.config = "config.env";
    assert_ok(scenario_check(&request, &err));
}

static void inputs_are_looked_at_first(void **state) {
    cleanup_free char *bundle = scratch_file(*state, "x.bundle"), *none = scratch_file(*state, "none");
    struct err err = {0};
    struct scenario_request request = request_of(none, false);
    assert_int_equal(scenario_check_files(&request, &err), -ENOENT);
    assert_contains(err.text, "--update: ");
    put_file(bundle, "no bundle at all", 16);
    request = request_of(bundle, false);
    assert_int_equal(scenario_check_files(&request, &err), -EBADMSG);
    assert_contains(err.text, "x.bundle is no bundle");
    request = request_of(NULL, false);
    request.machine.config = none;
    assert_int_equal(scenario_check_files(&request, &err), -ENOENT);
    assert_contains(err.text, "--config: ");
    request.machine.config = NULL;
    assert_ok(scenario_check_files(&request, &err));
}

static void own_access_is_private_and_accepted_by_the_schema(void **state) {
    (void)state;
    struct scenario_access access = {0};
    struct err err = {0};
    struct stat st;
    assert_ok(scenario_access_prepare(NULL, NULL, NULL, &access, &err));
    assert_int_equal(stat(access.dir, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(access.key, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_string_equal(access.user, "ops");
    assert_ok(seed_check(&schema_base, access.config, access.secrets, &err));
    cleanup_free char *dir = str_dup(access.dir);
    scenario_access_done(&access);
    assert_false(file_exists(AT_FDCWD, dir));
    assert_null(access.key);
}

static void the_users_configuration_names_the_login(void **state) {
    cleanup_free char *config = scratch_file(*state, "config.env");
    cleanup(scenario_access_done) struct scenario_access access = {0};
    struct err err = {0};
    const char *text = "OPERATOR_USER=admin\n" KEY_LINE;
    put_file(config, text, strlen(text));
    assert_ok(scenario_access_prepare(config, "/s", "/k", &access, &err));
    assert_string_equal(access.user, "admin");
    assert_string_equal(access.key, "/k");
    assert_string_equal(access.secrets, "/s");
    assert_null(access.dir); // nothing of the user's is ever removed
}

static void a_configuration_without_operator_has_no_login(void **state) {
    cleanup_free char *config = scratch_file(*state, "config.env");
    struct err err = {0};
    put_file(config, "HOSTNAME=a\n", 11);
    {
        cleanup(scenario_access_done) struct scenario_access access = {0};
        assert_int_equal(scenario_access_prepare(config, NULL, "/k", &access, &err), -EINVAL);
        assert_contains(err.text, "OPERATOR_USER");
    }
    cleanup(scenario_access_done) struct scenario_access access = {0};
    assert_ok(scenario_access_prepare(config, NULL, NULL, &access, &err));
    assert_null(access.user);
    cleanup(scenario_access_done) struct scenario_access missing = {0};
    assert_int_equal(scenario_access_prepare("/nonexistent", NULL, "/k", &missing, &err), -ENOENT);
}

// A file that the machine takes for a disk.
static char *disk(const struct scratch *scratch) {
    char *path = scratch_file(scratch, "disk.raw");
    char bytes[65536] = {0};
    memcpy(bytes + 512, "EFI PART", 8);
    put_file(path, bytes, sizeof(bytes));
    return path;
}

static void the_bundle_becomes_a_named_disk(void **state) {
    cleanup_free char *image = disk(*state), *logs = scratch_file(*state, "logs/deep");
    struct scenario_request request = request_of("a,b.bundle", false);
    struct err err = {0};
    request.machine.image = image;
    request.log_dir = logs;
    cleanup_free char *private = NULL;
    {
        cleanup(scenario_machine_done) struct scenario scenario = {0};
        assert_ok(scenario_machine_prepare(&request, &scenario, &err));
        cleanup(qemu_argv_done) char **argv = qemu_plan(&scenario.machine.options);
        cleanup_free char *line = qemu_argv_format((const char *const *)argv);
        assert_contains(line, "readonly=on,file=a,,b.bundle");
        assert_contains(line, "virtio-blk-pci,drive=bundle,serial=bundle");
        assert_true(file_exists(AT_FDCWD, logs));
        assert_true(strlen(scenario.control) < 90);
        private = str_dup(scenario.machine.dir);
    }
    assert_false(file_exists(AT_FDCWD, private));
    assert_true(file_exists(AT_FDCWD, logs));
}

static void tell_nothing(const struct scenario_outcome *outcome) {
    (void)outcome;
}

static void an_image_that_is_none_is_an_error_before_any_step(void **state) {
    cleanup_free char *image = scratch_file(*state, "text");
    cleanup_scenario_outcomes struct scenario_outcomes outcomes = {0};
    struct scenario_request request = request_of(NULL, false);
    struct err err = {0};
    put_file(image, "no disk", 7);
    request.machine.image = image;
    scenario_plan(&request, &outcomes);
    assert_int_equal(scenario_run(&request, &outcomes, tell_nothing, &err), -EINVAL);
    assert_contains(err.text, "no disk image");
    assert_int_equal(outcomes.items[0].result, SCENARIO_NOT_RUN);
}

// SeaBIOS finds nothing to boot on this disk, so the machine runs and never gives a verdict.
static void a_machine_that_never_answers_fails_its_step(void **state) {
    cleanup_free char *image = disk(*state), *logs = scratch_file(*state, "logs");
    cleanup_scenario_outcomes struct scenario_outcomes outcomes = {0};
    struct scenario_request request = request_of("x.bundle", true);
    struct err err = {0};
    cleanup_free char *bundle = scratch_file(*state, "x.bundle");
    put_file(bundle, "bundle", 6);
    request.machine.image = image;
    request.update = bundle;
    request.log_dir = logs;
    request.timeout_s = 3;
    scenario_plan(&request, &outcomes);
    assert_ok(scenario_run(&request, &outcomes, tell_nothing, &err));
    assert_int_equal(outcomes.items[0].result, SCENARIO_FAILED);
    assert_contains(outcomes.items[0].problem.text, "no verdict within 3 s");
    assert_contains(outcomes.items[0].log_text, "FAILED");
    assert_true(file_exists(AT_FDCWD, outcomes.items[0].log));
    assert_contains(outcomes.items[0].log_text, logs); // where the console is
    for (size_t i = 1; i < outcomes.count; i++)
        assert_int_equal(outcomes.items[i].result, SCENARIO_NOT_RUN);
}

// What is thrown away is nowhere to look.
static void a_log_that_is_not_kept_is_not_named(void **state) {
    cleanup_free char *image = disk(*state);
    cleanup_scenario_outcomes struct scenario_outcomes outcomes = {0};
    struct scenario_request request = request_of(NULL, false);
    struct err err = {0};
    request.machine.image = image;
    request.timeout_s = 1;
    scenario_plan(&request, &outcomes);
    assert_ok(scenario_run(&request, &outcomes, tell_nothing, &err));
    assert_int_equal(outcomes.items[0].result, SCENARIO_FAILED);
    assert_contains(outcomes.items[0].log_text, "the end of the console:\n");
    assert_null(strstr(outcomes.items[0].log_text, "console-1.log"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_follow_the_request),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test_setup_teardown(inputs_are_looked_at_first, scratch_setup, scratch_teardown),
        cmocka_unit_test(own_access_is_private_and_accepted_by_the_schema),
        cmocka_unit_test_setup_teardown(the_users_configuration_names_the_login, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_configuration_without_operator_has_no_login, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(the_bundle_becomes_a_named_disk, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(an_image_that_is_none_is_an_error_before_any_step, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_machine_that_never_answers_fails_its_step, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_log_that_is_not_kept_is_not_named, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
