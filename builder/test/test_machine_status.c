// SPDX-License-Identifier: Apache-2.0
// Reports of machines, whole, old and broken.
#include "builder/machine_status.h"
#include "builder/test/support.h"

#define REPORT                                                                                                                             \
    "{\"generation\": {\"profile\": \"dev\", \"version\": \"2\", \"root_hash\": \"ab12\"}, \"slot\": \"b\","                               \
    " \"config\": {\"problems\": %s}, \"health\": {\"healthy\": %s}%s}"

static struct machine_status parse(const char *problems, const char *healthy, const char *more) {
    struct machine_status status;
    struct err err = {0};
    cleanup_free char *text = str_printf(REPORT, problems, healthy, more);
    assert_ok(machine_status_parse(text, &status, &err));
    return status;
}

static void everything_is_picked(void **state) {
    (void)state;
    struct machine_status status = parse("[]", "true", ", \"slots\": {\"a\": {\"state\": \"good\"}, \"b\": {\"state\": \"trial\"}}");
    assert_string_equal(status.profile, "dev");
    assert_string_equal(status.version, "2");
    assert_string_equal(status.root_hash, "ab12");
    assert_string_equal(status.slot, "b");
    assert_string_equal(status.states[0], "good");
    assert_string_equal(status.states[1], "trial");
    assert_true(status.is_healthy);
    assert_int_equal(status.problem_count, 0);
}

static void a_machine_without_updates_tells_no_states(void **state) {
    (void)state;
    struct machine_status status = parse("[]", "false", "");
    assert_string_equal(status.states[0], "");
    assert_string_equal(status.states[1], "");
    assert_false(status.is_healthy);
}

static void the_first_problem_is_kept(void **state) {
    (void)state;
    struct machine_status status = parse("[\"line 3: no such zone\", \"line 4\"]", "true", "");
    assert_int_equal(status.problem_count, 2);
    assert_string_equal(status.problem, "line 3: no such zone");
}

static void long_and_odd_values_are_cut(void **state) {
    (void)state;
    struct machine_status status =
        parse("[7]", "1", ", \"slots\": {\"a\": {\"state\": \"a state that is far too long for us\"}, \"b\": 5}");
    assert_string_equal(status.states[0], "a state that is");
    assert_string_equal(status.states[1], "");
    assert_false(status.is_healthy); // only true is true
    assert_int_equal(status.problem_count, 1);
    assert_string_equal(status.problem, "");
}

static void what_is_no_report_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "{}",
                                        "{\"slot\": \"a\"}",
                                        "{\"generation\": {\"root_hash\": \"ab\"}}",
                                        "{\"slot\": \"a\", \"slot\": \"b\", \"generation\": {\"root_hash\": \"ab\"}}"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct machine_status status = {.version = "kept"};
        struct err err = {0};
        assert_int_equal(machine_status_parse(texts[i], &status, &err), -EINVAL);
        assert_contains(err.text, "status");
        assert_string_equal(status.version, "kept");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_picked),         cmocka_unit_test(a_machine_without_updates_tells_no_states),
        cmocka_unit_test(the_first_problem_is_kept),    cmocka_unit_test(long_and_odd_values_are_cut),
        cmocka_unit_test(what_is_no_report_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
