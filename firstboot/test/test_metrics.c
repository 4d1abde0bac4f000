// SPDX-License-Identifier: Apache-2.0
// Metrics: the whole text for a healthy and an unhealthy machine, labels that would break the format, what is not known.
#include "firstboot/test/support.h"
#include "firstboot/health.h"
#include "firstboot/metrics.h"
#include "firstboot/report.h"

static const char *const record_pairs[][2] = {{"PROFILE", "quickstart"}, {"VERSION", "1.0"}, {"SLOT", "a"}, {"ROOT_HASH", "0123"}};

static void fill(struct config *record) {
    for (size_t i = 0; i < ARRAY_SIZE(record_pairs); i++)
        config_set(record, record_pairs[i][0], record_pairs[i][1], 1);
}

// The sample lines without the comments; the caller frees.
static char *samples(const char *text) {
    cleanup_buf struct buf buf = {0};
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (*line != '#')
            buf_add(&buf, line, strcspn(line, "\n") + 1);
    return buf_take(&buf);
}

static void a_healthy_machine(void **state) {
    (void)state;
    cleanup_config struct config record = {0};
    cleanup_buf struct buf text = {0};
    fill(&record);
    cleanup_json json_t *health = json_pack("{s:b, s:[{s:s, s:s}, {s:s, s:s}]}", "healthy", 1, "checks", "name", "sshd", "state", "passed",
                                            "name", "watchdog", "state", "not applicable");
    cleanup_json json_t *applied = json_pack("{s:[s, s]}", "problems", "a", "b");
    metrics_format(&(struct metrics_input){.health = health, .record = &record, .applied = applied, .now = 1763717400, .drift_files = 3},
                   &text);
    cleanup_free char *found = samples(text.data);
    assert_string_equal(found, "webops_healthy 1\nwebops_health_timestamp_seconds 1763717400\nwebops_trial 0\nwebops_last_update_failed 0\n"
                               "webops_config_problems 2\nwebops_drift_files 3\nwebops_check_passed{check=\"sshd\"} 1\n"
                               "webops_generation_info{profile=\"quickstart\",version=\"1.0\",slot=\"a\",root_hash=\"0123\"} 1\n");
    assert_non_null(strstr(text.data, "# HELP webops_healthy "));
    assert_non_null(strstr(text.data, "\n# TYPE webops_check_passed gauge\n"));
}

static void an_unhealthy_trial(void **state) {
    (void)state;
    struct config record = {0};
    cleanup_buf struct buf text = {0};
    cleanup_json json_t *health = json_pack("{s:b, s:[{s:s, s:s, s:s}]}", "healthy", 0, "checks", "name", "etcd/a\"b\\c\nwebops_healthy 1",
                                            "state", "failed", "why", "s3cret");
    metrics_format(
        &(struct metrics_input){.health = health, .record = &record, .drift_files = -1, .is_trial = true, .has_failed_update = true},
        &text);
    cleanup_free char *found = samples(text.data);
    assert_string_equal(found, "webops_healthy 0\nwebops_health_timestamp_seconds 0\nwebops_trial 1\nwebops_last_update_failed 1\n"
                               "webops_check_passed{check=\"etcd/a\\\"b\\\\c\\nwebops_healthy 1\"} 0\n"
                               "webops_generation_info{profile=\"\",version=\"\",slot=\"\",root_hash=\"\"} 1\n");
    assert_null(strstr(text.data, "s3cret"));
}

static void what_is_written(void **state) {
    (void)state;
    struct support_root root = support_root_make();
    struct err err;
    struct stat status;
    cleanup_config struct config record = {0};
    cleanup_free char *text = NULL;
    fill(&record);
    cleanup_json json_t *health = json_pack("{s:b}", "healthy", 1);
    cleanup_json json_t *report = json_pack("{s:s, s:{s:[s]}}", "last", "late", "late", "problems", "a");
    assert_int_equal(file_mkdirs(root.fd, "run/webops", 0755, &err), 0);
    assert_int_equal(metrics_write(root.fd, health, &record, report, false, &err), 0);
    assert_int_equal(fstatat(root.fd, METRICS_PATH, &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    assert_int_equal(file_read(root.fd, METRICS_PATH, 1 << 16, &text, NULL, &err), 0);
    assert_non_null(strstr(text, "\nwebops_config_problems 1\n"));
    assert_non_null(strstr(text, "\nwebops_trial 0\n"));
    assert_null(strstr(text, "\nwebops_drift_files"));
    support_root_done(&root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_healthy_machine),
        cmocka_unit_test(an_unhealthy_trial),
        cmocka_unit_test(what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
