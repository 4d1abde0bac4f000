// SPDX-License-Identifier: Apache-2.0
// What is remembered of stacks and what people are told of it; their checks beside those of the machine.
#include "firstboot/stack/test/machine.h"
#include "firstboot/report.h"
#include "firstboot/stack/checks.h"
#include "firstboot/stack/status.h"
#include <errno.h>

#define REPORT                                                                                                                             \
    "{\"last\": \"late\", \"late\": {\"stacks\": [{\"name\": \"store\", \"enabled\": true, \"uninstalled\": false},"                       \
    " {\"name\": \"base\", \"enabled\": true, \"uninstalled\": false, \"problem\": \"its value\"}]}}"
#define HEALTH(time)                                                                                                                       \
    "{\"healthy\": false, \"time\": \"" time "\", \"checks\": [{\"name\": \"sshd\", \"state\": \"failed\", \"why\": \"x\"},"               \
    " {\"name\": \"store/unit\", \"state\": \"passed\"}, {\"name\": \"store/quorum\", \"state\": \"failed\", \"why\": \"no leader\"},"     \
    " {\"name\": \"storehouse/unit\", \"state\": \"failed\", \"why\": \"y\"}]}"

static const json_t *member(const json_t *stacks, size_t index, const char *name) {
    return json_object_get(json_array_get(stacks, index), name);
}

static void records(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    struct err err;
    cleanup_stack_record struct stack_record none = {0};
    stack_record_load(root.fd, "store", &none);
    assert_int_equal(none.state, STACK_STOPPED);
    assert_string_equal(none.since, "");
    support_write(&root, STACK_RUN_DIR "/store.json", "{\"state\": \"running\", \"why\": \"\", \"since\": \"2026-01-01T00:00:00Z\"}");
    assert_int_equal(stack_record_save(root.fd, "store", STACK_RUNNING, "now with a reason", &err), 0);
    cleanup_stack_record struct stack_record same = {0}, other = {0};
    stack_record_load(root.fd, "store", &same);
    assert_string_equal(same.since, "2026-01-01T00:00:00Z"); // the state is as old as it was
    assert_string_equal(same.why, "now with a reason");
    assert_int_equal(stack_record_save(root.fd, "store", STACK_FAILED, "", &err), 0);
    stack_record_load(root.fd, "store", &other);
    assert_string_not_equal(other.since, same.since);
    support_write(&root, STACK_RUN_DIR "/store.json", "damaged");
    cleanup_stack_record struct stack_record damaged = {0};
    stack_record_load(root.fd, "store", &damaged);
    assert_int_equal(damaged.state, STACK_STOPPED);
}

static void digests_are_nobodys_business(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    struct err err;
    struct stat st;
    assert_null(stack_digest_load(root.fd, "store", "planned"));
    assert_int_equal(stack_digest_save(root.fd, "store", "planned", "abc", &err), 0);
    cleanup_free char *digest = stack_digest_load(root.fd, "store", "planned");
    assert_string_equal(digest, "abc");
    assert_int_equal(fstatat(root.fd, STACK_RUN_DIR "/store.planned", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stack_digest_save(root.fd, "store", "planned", NULL, &err), 0);
    assert_int_equal(stack_digest_save(root.fd, "store", "planned", NULL, &err), 0);
    assert_null(stack_digest_load(root.fd, "store", "planned"));
}

static void the_configuration_in_force(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    cleanup_stacks struct stacks before = {0}, after = {0};
    cleanup_config struct config config = {0};
    struct err err = {0};
    assert_int_equal(stacks_load(root.fd, &before, &err), 0);
    cleanup_free char *none = stacks_active_names(&before);
    assert_string_equal(none, "");
    config_set(&config, "STORE_ENABLED", "true", 1);
    config_set(&config, "SOLO_ENABLED", "true", 2);
    config_set(&config, "STORE_TEXT", "it's \\ $HOME", 3);
    assert_int_equal(stack_config_save(root.fd, &config, &err), -EINVAL); // no quoting of config.env carries this
    config_set(&config, "STORE_TEXT", "a 'b c", 3);
    assert_int_equal(stack_config_save(root.fd, &config, &err), 0);
    assert_int_equal(stack_state_set_uninstalled(root.fd, "solo", true, &err), 1);
    assert_int_equal(stack_state_set_uninstalled(root.fd, "solo", true, &err), 0);
    assert_int_equal(stacks_load(root.fd, &after, &err), 0);
    cleanup_free char *names = stacks_active_names(&after);
    assert_string_equal(names, "store");
    assert_string_equal(schema_text(&after.set.schema, &after.config, "STORE_TEXT"), "a 'b c");
    struct stat st;
    assert_int_equal(fstatat(root.fd, STACK_CONFIG_PATH, &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void status_and_list(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    struct err err;
    support_write(&root, REPORT_PATH, REPORT);
    support_write(&root, HEALTH_PATH, HEALTH("2026-11-26T15:00:00Z"));
    support_write(&root, STACK_RUN_DIR "/store.json", "{\"state\": \"running\", \"why\": \"\", \"since\": \"2026-11-26T14:00:00Z\"}");
    support_write(&root, STACK_RUN_DIR "/base.json",
                  "{\"state\": \"failed\", \"why\": \"its value\", \"since\": \"2026-11-26T14:00:00Z\"}");
    assert_int_equal(stack_state_set_uninstalled(root.fd, "solo", true, &err), 1);
    cleanup_json json_t *stacks = stack_status(root.fd);
    assert_int_equal(json_array_size(stacks), 3);
    size_t store = strcmp(json_string_value(member(stacks, 0, "name")), "store") == 0 ? 0 : 1; // solo needs nothing and may come first
    assert_string_equal(json_string_value(member(stacks, store, "version")), "3.4-1");
    assert_string_equal(json_string_value(member(stacks, store, "health")), "unhealthy");
    assert_int_equal(json_array_size(member(stacks, store, "failed")), 1); // not storehouse's
    cleanup_buf struct buf text = {0}, list = {0};
    stack_status_format(stacks, &text);
    assert_non_null(
        strstr(buf_str(&text), "store 3.4-1: running since 2026-11-26T14:00:00Z, unhealthy\n                quorum: no leader\n")
            ?: strstr(buf_str(&text), "quorum: no leader\n"));
    assert_non_null(strstr(buf_str(&text), "base: failed since"));
    assert_non_null(strstr(buf_str(&text), "its value\n"));
    assert_non_null(strstr(buf_str(&text), "solo: uninstalled\n"));
    stack_list_format(stacks, &list);
    assert_non_null(strstr(buf_str(&list), "keeps values\n"));
    // A check older than the state it would speak of says nothing.
    support_write(&root, HEALTH_PATH, HEALTH("2026-11-26T13:00:00Z"));
    cleanup_json json_t *later = stack_status(root.fd);
    assert_true(json_is_null(member(later, store, "health")));
}

static void an_image_without_stacks(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_json json_t *stacks = stack_status(root.fd);
    cleanup_buf struct buf list = {0}, text = {0};
    assert_int_equal(json_array_size(stacks), 0);
    stack_status_format(stacks, &text);
    assert_string_equal(buf_str(&text), "");
    stack_list_format(stacks, &list);
    assert_string_equal(buf_str(&list), "this image has no stacks\n");
}

static void load_checks(const struct support_root *root, struct stack_checks *ret_checks) {
    cleanup_config struct config config = {0};
    struct err err;
    config_set(&config, "STORE_ENABLED", "true", 1);
    config_set(&config, "STORE_PORT", "4001", 2);
    config_set(&config, "BASE_ENABLED", "true", 3);
    assert_int_equal(stack_config_save(root->fd, &config, &err), 0);
    stack_checks_load(root->fd, ret_checks);
}

static void checks_join_those_of_the_machine(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    cleanup_stack_checks struct stack_checks checks = {0};
    cleanup_health struct health health = {0}, sick = {0};
    const struct health_context context = {.root_fd = root.fd};
    support_write(&root, REPORT_PATH, REPORT);
    load_checks(&root, &checks);
    assert_int_equal(checks.count, checks.base_count + 3);
    assert_string_equal(checks.items[0].name, health_base_checks[0].name);
    assert_string_equal(checks.items[checks.base_count].name, "store/unit");
    assert_null(checks.items[checks.count].name);
    support_write(&root, "fake/state/store.service", "active\n");
    health_run(checks.items + checks.base_count, &context, 0, &health);
    assert_null(health.failed);
    assert_int_equal(health.results[2].code, 1); // base has a problem of its configuration: not expected to run
    cleanup_free char *log = machine_log(&root);
    assert_non_null(strstr(log, " /usr/bin/storectl --port=4001"));
    support_write(&root, "fake/state/store.service", "failed\n");
    support_write(&root, "fake/run-fails", "storectl");
    health_run(checks.items + checks.base_count, &context, 0, &sick);
    assert_string_equal(sick.results[0].why.text, "store.service has failed: first line | last words");
    assert_string_equal(sick.results[1].why.text, "/usr/bin/storectl failed: told to fail");
}

static void who_waits_says_for_whom(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    cleanup_stack_checks struct stack_checks checks = {0};
    cleanup_health struct health health = {0};
    const struct health_context context = {.root_fd = root.fd};
    struct err err;
    load_checks(&root, &checks);
    assert_int_equal(stack_record_save(root.fd, "base", STACK_WAITING, "waits for store", &err), 0);
    health_run(checks.items + checks.base_count, &context, 0, &health);
    assert_string_equal(health.results[2].why.text, "waits for store");
}

static void stacks_that_cannot_be_read_are_a_failure(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    cleanup_stack_checks struct stack_checks checks = {0};
    const struct health_context context = {.root_fd = root.fd};
    struct err err = {0};
    support_write(&root, STACK_DIR "/store.json", "{");
    stack_checks_load(root.fd, &checks);
    assert_int_equal(checks.count, checks.base_count + 1);
    assert_true(checks.items[checks.base_count].run(&context, &err) < 0);
    assert_non_null(strstr(err.text, "store.json"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records),
        cmocka_unit_test(digests_are_nobodys_business),
        cmocka_unit_test(the_configuration_in_force),
        cmocka_unit_test(status_and_list),
        cmocka_unit_test(an_image_without_stacks),
        cmocka_unit_test(checks_join_those_of_the_machine),
        cmocka_unit_test(who_waits_says_for_whom),
        cmocka_unit_test(stacks_that_cannot_be_read_are_a_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
