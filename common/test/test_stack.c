// SPDX-License-Identifier: Apache-2.0
// A stack as JSON: round trip, the one order, and every kind of fault named with the place it is in.
#include "common/stack.h"
#include "common/test/stack_seed.h"
#include "common/test/support.h"
#include <errno.h>

static void test_round_trip(void **state) {
    (void)state;
    cleanup(stack_done) struct stack stack = {0};
    cleanup_buf struct buf json = {0}, again = {0};
    stack_seed(STACK_SEED_ETCD, &stack);
    stack_format(&stack, &json);
    cleanup(stack_done) struct stack second = {0};
    struct err err = {0};
    assert_int_equal(stack_parse(json.data, json.size, "x.json", &second, &err), 0);
    stack_format(&second, &again);
    assert_string_equal(buf_str(&json), buf_str(&again));
}

static void test_members(void **state) {
    (void)state;
    cleanup(stack_done) struct stack stack = {0};
    stack_seed(STACK_SEED_ETCD, &stack);
    assert_string_equal(stack.name, "etcd");
    assert_string_equal(stack.keys[0].schema.name, "ETCD_ENABLED");
    assert_int_equal(stack.keys[0].schema.type, SCHEMA_BOOL);
    assert_string_equal(stack.keys[0].schema.fallback, "false");
    assert_string_equal(stack.keys[1].schema.group, "Stack etcd");
    assert_true(stack.keys[1].is_required);
    assert_string_equal(stack.keys[4].schema.choices, "none basic");
    assert_int_equal(stack.files[0].mode, 0640);
    assert_int_equal(stack.files[0].format, TEMPLATE_ENV);
    assert_int_equal(stack.ports[1].protocol, STACK_UDP);
    assert_int_equal(stack.units[0].on_change, STACK_RESTART);
    assert_int_equal(stack.units[1].on_change, STACK_KEEP);
    assert_int_equal(stack.sysctls[0].value, -2);
    assert_int_equal(stack.checks[2].expect, 204);
    assert_int_equal(stack.checks[3].command.count, 3);
    assert_int_equal(stack.hooks[0].event, STACK_BEFORE_REBOOT);
    assert_true(stack.hooks[0].is_required);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip), cmocka_unit_test(test_members)};
    return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
