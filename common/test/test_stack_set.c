// SPDX-License-Identifier: Apache-2.0
// Several stacks as one: start order, what cannot be together, loading from a root, and the rules over their keys.
#include "common/stack.h"
#include "common/test/stack_seed.h"
#include "common/test/support.h"
#include <errno.h>

#define HEAD(name, upper) "{\"format\": 1, \"name\": \"" name "\", \"summary\": \"test\", \"enable\": \"" upper "_ENABLED\""
#define PORT_KEY(name, value)                                                                                                              \
    "{\"name\": \"" name "\", \"type\": \"integer\", \"default\": \"" value "\", \"min\": 1, \"max\": 65535, \"help\": \"P.\"}"
#define TEXT_KEY(name, more) "{\"name\": \"" name "\", \"type\": \"text\", " more "\"help\": \"T.\"}"

static const char alone[] = HEAD("alone", "ALONE") "}";
static const char store[] = HEAD("store", "STORE") ", \"keys\": [" PORT_KEY("STORE_PORT", "2379") ", " TEXT_KEY(
    "STORE_NAME", "\"required\": true, \"pattern\": \"[a-z]+\", ") "], \"ports\": [{\"port\": \"STORE_PORT\", \"from\": \"any\"},"
                                                                   " {\"port\": \"9000-9010\", \"from\": \"local\"}],"
                                                                   " \"sysctls\": [{\"name\": \"vm.overcommit_memory\", \"value\": 1}]}";
static const char base[] = HEAD("base", "BASE") ", \"keys\": [" PORT_KEY("BASE_PORT", "5432") ", " TEXT_KEY(
    "BASE_STORES", "") "], \"requires\": [\"STORE_ENABLED or BASE_STORES\"], \"conflicts\": [\"ALONE_ENABLED\"],"
                       " \"ports\": [{\"port\": \"BASE_PORT\", \"from\": \"any\"}],"
                       " \"sysctls\": [{\"name\": \"vm.overcommit_memory\", \"value\": 2}]}";

static int make(const char *const *jsons, struct stack_set *ret_set, struct err *err) {
    struct stack **stacks = mem_array(8, sizeof(*stacks));
    size_t count = 0;
    for (; jsons[count]; count++) {
        stacks[count] = mem_array(1, sizeof(**stacks));
        stack_seed(jsons[count], stacks[count]);
    }
    return stack_set_make(stacks, count, ret_set, err);
}

static char *problems_of(const struct stack_set *set, const char *text) {
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    int code = schema_parse(&set->schema, text, strlen(text), &config, &problems);
    assert_int_equal(code, problems.count ? -EINVAL : 0);
    struct buf buf = {0};
    for (size_t i = 0; i < problems.count; i++)
        buf_printf(&buf, "%u: %s\n", problems.items[i].line, problems.items[i].text);
    return buf_take(&buf);
}

static void test_rules(void **state) {
    static const struct {
        const char *config, *problems;
    } cases[] = {
        {"", ""},
        {"STORE_ENABLED=true\nSTORE_NAME=abc\n", ""},
        {"STORE_ENABLED=true\n", "1: STORE_NAME: needed because STORE_ENABLED=true\n"},
        {"STORE_ENABLED=true\nSTORE_NAME=\n", "2: STORE_NAME: needed because STORE_ENABLED=true\n"},
        {"STORE_ENABLED=true\nSTORE_NAME='a\n", "2: STORE_NAME: the quote is not closed on this line\n"},
        {"STORE_NAME=A1\n", "1: STORE_NAME: expected what matches [a-z]+\n"},
        {"\nBASE_ENABLED=true\n", "2: BASE_ENABLED needs STORE_ENABLED or BASE_STORES\n"},
        {"BASE_ENABLED=true\nBASE_STORES=x\n", ""},
        {"BASE_ENABLED=true\nBASE_STORES=x\nALONE_ENABLED=true\n", "1: BASE_ENABLED does not go with ALONE_ENABLED\n"},
        {"BASE_ENABLED=true\nSTORE_ENABLED=true\nSTORE_NAME=a\n",
         "1: BASE_ENABLED: wants vm.overcommit_memory=2, but STORE_ENABLED wants 1\n"},
        {"SSH_PORT=5432\nBASE_ENABLED=true\nBASE_STORES=x\n", "1: SSH_PORT: port 5432/tcp is also wanted by BASE_PORT\n"},
        {"BASE_PORT=22\nBASE_ENABLED=true\nBASE_STORES=x\n", "1: BASE_PORT: port 22/tcp is also wanted by SSH_PORT\n"},
        {"STORE_PORT=9005\nSTORE_ENABLED=true\nSTORE_NAME=a\n", "1: STORE_PORT: port 9005/tcp is also wanted by STORE_ENABLED\n"},
        {"STORE_PORT=22\n", ""},
        {"STORE_ENABLED=yes\n", "1: STORE_ENABLED: expected true or false\n"},
    };
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    (void)state;
    assert_int_equal(make((const char *const[]){alone, base, store, NULL}, &set, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *problems = problems_of(&set, cases[i].config);
        assert_string_equal(problems, cases[i].problems);
    }
}

static void test_order(void **state) {
    (void)state;
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    assert_int_equal(make((const char *const[]){base, store, alone, NULL}, &set, &err), 0);
    assert_int_equal(set.count, 3);
    assert_string_equal(set.stacks[0]->name, "alone");
    assert_string_equal(set.stacks[1]->name, "store");
    assert_string_equal(set.stacks[2]->name, "base");
    assert_ptr_equal(stack_set_find(&set, "base"), set.stacks[2]);
    assert_null(stack_set_find(&set, "bas"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_rules)};
    return cmocka_run_group_tests_name("stack_set", tests, NULL, NULL);
}
