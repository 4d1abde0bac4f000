// SPDX-License-Identifier: Apache-2.0
#include "firstboot/test/support.h"
#include "firstboot/health.h"
#include "firstboot/report.h"
#include "firstboot/units.h"
#include "firstboot/verity.h"
#include "common/buf.h"
#include "common/clock.h"
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HASH "abababababababababababababababababababababababababababababababab"

static int calls, others;

static int passes(const struct health_context *context, struct err *err) {
    (void)context, (void)err;
    calls++;
    return 0;
}
static int not_here(const struct health_context *context, struct err *err) {
    (void)context, (void)err;
    return 1;
}
static int fails(const struct health_context *context, struct err *err) {
    (void)context;
    calls++;
    return err_set(err, -EIO, "it is broken");
}
static int fails_too(const struct health_context *context, struct err *err) {
    (void)context;
    others++;
    return err_set(err, -EIO, "it is broken, too");
}
static int passes_the_second_time(const struct health_context *context, struct err *err) {
    (void)context;
    return calls++ == 0 ? err_set(err, -EAGAIN, "not yet") : 0;
}

static const struct health_context context;

static struct config record(void) {
    struct config config;
    cleanup_config_problems struct config_problems problems = {0};
    static const char text[] = "PROFILE=quickstart\nVERSION=1.0\nSLOT=a\n";
    assert_int_equal(config_parse(text, sizeof(text) - 1, &config, &problems), 0);
    return config;
}

static void all_pass(void **state) {
    (void)state;
    static const struct health_check checks[] = {{"one", passes, HEALTH_CURABLE, NULL}, {"two", not_here, HEALTH_CURABLE, NULL}, {0}};
    cleanup_health struct health health = {0};
    cleanup_config struct config boot = record();
    health_run(checks, &context, 0, &health);
    assert_null(health.failed);
    cleanup_free char *line = health_line(&health, &boot);
    assert_string_equal(line, "healthy: quickstart 1.0 slot a, 2 checks");
    cleanup_json json_t *json = health_json(&health, &boot);
    assert_true(json_is_true(json_object_get(json, "healthy")));
    assert_null(json_object_get(json, "failed"));
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(json, "checks"), 1), "state")), "not applicable");
}

// "units" and "patroni/service": of one cause the second says more, whichever comes first.
static void a_vague_failure_is_named_when_there_is_no_other(void **state) {
    (void)state;
    static const struct health_check alone[] = {{"units", fails, HEALTH_VAGUE, NULL}, {"two", passes, HEALTH_CURABLE, NULL}, {0}};
    static const struct health_check other[] = {
        {"units", fails, HEALTH_VAGUE, NULL}, {"two", fails_too, HEALTH_CURABLE, NULL}, {"three", fails, HEALTH_CURABLE, NULL}, {0}};
    static const struct health_check behind[] = {{"two", fails_too, HEALTH_CURABLE, NULL}, {"units", fails, HEALTH_VAGUE, NULL}, {0}};
    const struct {
        const struct health_check *checks;
        const char *name;
    } cases[] = {{alone, "units"}, {other, "two"}, {behind, "two"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_health struct health health = {0};
        health_run(cases[i].checks, &context, 0, &health);
        assert_string_equal(health.failed->name, cases[i].name);
    }
}

static void the_first_failure_is_named(void **state) {
    (void)state;
    static const struct health_check checks[] = {
        {"one", passes, HEALTH_CURABLE, NULL}, {"two", fails, HEALTH_CURABLE, NULL}, {"three", fails, HEALTH_CURABLE, NULL}, {0}};
    cleanup_health struct health health = {0};
    cleanup_config struct config boot = record();
    health_run(checks, &context, 0, &health);
    cleanup_free char *line = health_line(&health, &boot);
    assert_string_equal(line, "unhealthy: two: it is broken");
    cleanup_json json_t *json = health_json(&health, &boot);
    assert_true(json_is_false(json_object_get(json, "healthy")));
    assert_string_equal(json_string_value(json_object_get(json, "failed")), "two");
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(json, "checks"), 1), "why")), "it is broken");
}

static void what_waits_for_all_asks_no_further_than_the_first_failure(void **state) {
    (void)state;
    static const struct health_check checks[] = {
        {"fine", passes, HEALTH_CURABLE, NULL}, {"two", fails, HEALTH_CURABLE, NULL}, {"three", fails, HEALTH_CURABLE, NULL}, {0}};
    struct health_context own = context;
    cleanup_health struct health health = {0};
    own.stops_at_failure = true;
    calls = 0;
    health_run(checks, &own, 0, &health);
    assert_string_equal(health.failed->name, "two");
    assert_int_equal(calls, 2);
    assert_true(health.results[2].code < 0);
}

static void looking_takes_a_fifth_of_the_time(void **state) {
    (void)state;
    static const int64_t turn_and_rest[][2] = {{0, 500}, {125, 500}, {126, 504}, {2000, 8000}, {7500, 30000}, {60000, 30000}};
    for (size_t i = 0; i < ARRAY_SIZE(turn_and_rest); i++)
        assert_int_equal(clock_rest_ms(turn_and_rest[i][0], 500), turn_and_rest[i][1]);
}

static void between_the_first_and_the_last_round_only_the_first_failure_is_asked(void **state) {
    (void)state;
    static const struct health_check checks[] = {{"one", fails, HEALTH_CURABLE, NULL}, {"two", fails_too, HEALTH_CURABLE, NULL}, {0}};
    cleanup_health struct health health = {0};
    calls = others = 0;
    health_run(checks, &context, 2, &health);
    assert_string_equal(health.failed->name, "one");
    assert_int_equal(others, 2);
    assert_true(calls >= 2);
}

static void waiting_helps(void **state) {
    (void)state;
    static const struct health_check checks[] = {{"slow", passes_the_second_time, HEALTH_CURABLE, NULL}, {0}};
    cleanup_health struct health health = {0};
    calls = 0;
    health_run(checks, &context, 5, &health);
    assert_null(health.failed);
    assert_int_equal(calls, 2);
}

static void passed_checks_are_not_repeated(void **state) {
    (void)state;
    static const struct health_check checks[] = {
        {"slow", passes_the_second_time, HEALTH_CURABLE, NULL}, {"fine", passes, HEALTH_CURABLE, NULL}, {0}};
    cleanup_health struct health health = {0};
    calls = 0;
    health_run(checks, &context, 5, &health);
    assert_int_equal(calls, 3); // slow, fine, slow
}

static void a_final_failure_does_not_wait(void **state) {
    (void)state;
    static const struct health_check checks[] = {{"verity", fails, HEALTH_FINAL, NULL}, {0}};
    cleanup_health struct health health = {0};
    calls = 0;
    health_run(checks, &context, 600, &health);
    assert_int_equal(calls, 1);
    assert_string_equal(health.failed->name, "verity");
}

static void time_runs_out(void **state) {
    (void)state;
    static const struct health_check checks[] = {{"never", fails, HEALTH_CURABLE, NULL}, {0}};
    cleanup_health struct health health = {0};
    calls = 0;
    health_run(checks, &context, 1, &health);
    assert_non_null(health.failed);
    assert_in_range(calls, 2, 3);
}

static void units_are_judged(void **state) {
    (void)state;
    struct err err;
    assert_int_equal(units_judge("", "webops-health.service", &err), 0);
    assert_int_equal(units_judge("webops-health.service loaded activating start start webops: health\n", "webops-health.service", &err), 0);
    assert_int_equal(units_judge("  x.service loaded activating auto-restart X\n", "webops-health.service", &err), -EAGAIN);
    assert_string_equal(err.text, "x.service is still starting");
    assert_int_equal(units_judge("a.service loaded activating start A\nb.service loaded failed failed B\n", "webops-health.service", &err),
                     -EIO);
    assert_string_equal(err.text, "b.service has failed");
    assert_int_equal(units_judge("webops-monitor.service loaded activating start start M\n", "webops-health.service", &err), 0);
    assert_int_equal(units_judge("webops-update.service loaded failed failed U\n", "webops-health.service", &err), 0);
    assert_int_equal(units_judge("webops-update.timer loaded failed failed U\n", "webops-health.service", &err), -EIO);
    assert_int_equal(units_judge("c.service not-found inactive dead C\n", "webops-health.service", &err), 0);
}

static void settings_come_from_the_report(void **state) {
    (void)state;
    cleanup_json json_t *report = json_loads("{\"last\":\"late\",\"early\":{\"settings\":{\"ssh_port\":1}},"
                                             "\"late\":{\"settings\":{\"ssh_port\":2222,\"firewall\":false}}}",
                                             0, NULL);
    const struct health_context with = {.report = report};
    assert_int_equal(health_setting(&with, "ssh_port", 22), 2222);
    assert_int_equal(health_setting(&with, "firewall", 1), 0);
    assert_int_equal(health_setting(&with, "watchdog", 7), 7);
    assert_int_equal(health_setting(&context, "ssh_port", 22), 22);
}

// By name from the table of every machine, on a root of our own.
static int run_check(const char *name, const struct support_root *root, const char *report_text, struct err *err) {
    cleanup_json json_t *report = report_text ? json_loads(report_text, 0, NULL) : NULL;
    cleanup_config struct config boot = record();
    const struct health_context on = {.root_fd = root->fd, .record = &boot, .report = report};
    for (const struct health_check *check = health_base_checks; check->name; check++)
        if (strcmp(check->name, name) == 0)
            return check->run(&on, err);
    fail_msg("no check %s", name);
    return 0;
}

static void configuration_check(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(run_check("configuration", &root, NULL, &err), -ENOENT);
    assert_int_equal(run_check("configuration", &root, "{\"last\":\"early\",\"early\":{\"errors\":[]}}", &err), 0);
    assert_int_equal(run_check("configuration", &root, "{\"last\":\"late\",\"early\":{},\"late\":{\"errors\":[\"swap: full\"]}}", &err),
                     -EIO);
    assert_string_equal(err.text, "swap: full");
    // A refused configuration is no bad generation.
    assert_int_equal(run_check("configuration", &root, "{\"last\":\"early\",\"early\":{\"errors\":[],\"problems\":[\"x\"]}}", &err), 0);
}

static void root_and_state_checks(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(run_check("root", &root, NULL, &err), -EPERM); // /tmp is writable
    assert_true(run_check("state", &root, NULL, &err) < 0);
    assert_int_equal(file_mkdirs(root.fd, "var/lib/webops", 0755, &err), 0);
    assert_int_equal(run_check("state", &root, NULL, &err), 0);
    assert_false(file_exists(root.fd, "var/lib/webops/.health"));
}

// In place of libc's: a device with a block that cannot be read, as dm-verity shows a damaged one.
static off_t bad_offset = -1;
ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    if (bad_offset >= 0 && offset <= bad_offset && bad_offset < offset + (off_t)size) {
        errno = EIO;
        return -1;
    }
    return syscall(SYS_pread64, fd, data, size, offset);
}

// The whole slot is read when, and only when, what runs is on trial.
static void slot_check_on_a_trial(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    static const char text[] = "PROFILE=p\nVERSION=1\nSLOT=b\nVERITY_DEVICE=/dev/dm-0\nROOT_HASH=" HASH "\n";
    cleanup_config struct config boot = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(config_parse(text, sizeof(text) - 1, &boot, &problems), 0);
    const struct health_context on = {.root_fd = root.fd, .record = &boot};
    const struct health_check *check = &health_base_checks[0];
    assert_string_equal(check->name, "slot-integrity");
    assert_true(check->failure == HEALTH_FINAL);
    assert_int_equal(check->run(&on, &err), 1);
    support_write(&root, "var/lib/webops/update/trial", "0000000000000000000000000000000000000000000000000000000000000000\n");
    assert_int_equal(check->run(&on, &err), 1); // another one is
    support_write(&root, "var/lib/webops/update/trial", HASH "\n");
    assert_true(check->run(&on, &err) < 0); // no device
    support_write(&root, "dev/dm-0", "");
    cleanup_free char *path = str_printf("%s/dev/dm-0", root.path);
    assert_int_equal(truncate(path, 5 << 20), 0);
    assert_int_equal(check->run(&on, &err), 0);
    bad_offset = (5 << 20) - 1;
    assert_int_equal(check->run(&on, &err), -EIO);
    bad_offset = -1;
    assert_non_null(strstr(err.text, "slot b cannot be read near byte 4194304 of /dev/dm-0"));
}

static void watchdog_check(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(run_check("watchdog", &root, NULL, &err), -ENODEV);
    support_write(&root, "sys/class/watchdog/watchdog0/state", "inactive\n");
    assert_int_equal(run_check("watchdog", &root, NULL, &err), -ENODEV);
    support_write(&root, "sys/class/watchdog/watchdog0/identity", "Software Watchdog\n");
    assert_int_equal(run_check("watchdog", &root, NULL, &err), -ENODEV);
    assert_non_null(strstr(err.text, "does not feed /dev/watchdog0 (Software Watchdog)"));
    support_write(&root, "sys/class/watchdog/watchdog1/state", "active\n"); // another one than the one that is meant
    assert_int_equal(run_check("watchdog", &root, NULL, &err), -ENODEV);
    assert_int_equal(run_check("watchdog", &root, "{\"last\":\"x\",\"x\":{\"settings\":{\"watchdog_device\":1}}}", &err), 0);
    assert_int_equal(run_check("watchdog", &root, "{\"last\":\"x\",\"x\":{\"settings\":{\"watchdog\":false}}}", &err), 1);
}

static void checks_that_do_not_apply(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct err err;
    assert_int_equal(run_check("firewall", &root, "{\"last\":\"x\",\"x\":{\"settings\":{\"firewall\":false}}}", &err), 1);
    assert_int_equal(run_check("verity", &root, NULL, &err), 1); // no device in the record
    assert_int_equal(verity_check("/dev/null", &err), -ENODEV);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_pass),
        cmocka_unit_test(the_first_failure_is_named),
        cmocka_unit_test(a_vague_failure_is_named_when_there_is_no_other),
        cmocka_unit_test(what_waits_for_all_asks_no_further_than_the_first_failure),
        cmocka_unit_test(looking_takes_a_fifth_of_the_time),
        cmocka_unit_test(between_the_first_and_the_last_round_only_the_first_failure_is_asked),
        cmocka_unit_test(waiting_helps),
        cmocka_unit_test(passed_checks_are_not_repeated),
        cmocka_unit_test(a_final_failure_does_not_wait),
        cmocka_unit_test(time_runs_out),
        cmocka_unit_test(units_are_judged),
        cmocka_unit_test(settings_come_from_the_report),
        cmocka_unit_test(configuration_check),
        cmocka_unit_test(root_and_state_checks),
        cmocka_unit_test(slot_check_on_a_trial),
        cmocka_unit_test(watchdog_check),
        cmocka_unit_test(checks_that_do_not_apply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
