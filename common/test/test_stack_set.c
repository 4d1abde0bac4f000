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

static const char alone[] = HEAD("alone", "ALONE") ", \"conflicts\": [\"TWIN_ENABLED\", \"NOBODYS_ENABLED\"]}";
static const char twin[] = HEAD(
    "twin", "TWIN") ", \"keys\": [{\"name\": \"TWIN#_PORT\", \"type\": \"text\", \"pattern\": \"[0-9]{4}\", \"help\": \"P.\"}, "
                    "{\"name\": \"TWIN_PEERS\", \"type\": \"peer-list\", \"required_when\": \"TWIN_FRIEND\", \"help\": \"P.\"}, " TEXT_KEY(
                        "TWIN_FRIEND", "") ", " TEXT_KEY("TWIN_DOOR",
                                                         "\"required_when\": \"STORE_ENABLED\", ") "], \"conflicts\": [\"ALONE_ENABLED\"]}";
static const char store[] = HEAD("store", "STORE") ", \"keys\": [" PORT_KEY("STORE_PORT", "2379") ", " TEXT_KEY(
    "STORE_NAME", "\"required\": true, \"pattern\": \"[a-z]+\", ") "], \"ports\": [{\"port\": \"STORE_PORT\", \"from\": \"any\"},"
                                                                   " {\"port\": \"STORE_PORT\", \"from\": \"local\"}, {\"port\": "
                                                                   "\"9000-9010\", \"from\": \"local\"}],"
                                                                   " \"sysctls\": [{\"name\": \"vm.overcommit_memory\", \"value\": 1}]}";
static const char base[] = HEAD("base", "BASE") ", \"keys\": [" PORT_KEY("BASE_PORT", "5432") ", " TEXT_KEY(
    "BASE_STORES", "") "], \"requires\": [\"STORE_ENABLED or BASE_STORES\"], \"conflicts\": [\"ALONE_ENABLED\"],"
                       " \"ports\": [{\"port\": \"BASE_PORT\", \"from\": \"any\"}],"
                       " \"sysctls\": [{\"name\": \"vm.overcommit_memory\", \"value\": 2}]}";

static const char sums[] = HEAD(
    "sums",
    "SUMS") ", \"keys\": ["
            "{\"name\": \"SUMS_ALL\", \"type\": \"integer\", \"default\": \"30\", \"at_least\": \"SUMS_A + 2*SUMS_B\", \"help\": \"A.\"}, "
            "{\"name\": \"SUMS_A\", \"type\": \"integer\", \"default\": \"10\", \"help\": \"A.\"}, "
            "{\"name\": \"SUMS_B\", \"type\": \"integer\", \"default\": \"10\", \"help\": \"A.\"}]}";

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
        {"SSH_PORT=9797\n", "1: SSH_PORT: is the port of HEALTH_LISTEN\n"},
        {"STORE_PORT=9797\nSTORE_ENABLED=true\nSTORE_NAME=a\n", "1: STORE_PORT: port 9797/tcp is also wanted by HEALTH_LISTEN\n"},
        {"STORE_PORT=22\n", ""},
        {"STORE_PORT=5432\nBASE_ENABLED=true\nBASE_STORES=x\nSTORE_ENABLED=true\nSTORE_NAME=a\n",
         "1: STORE_PORT: port 5432/tcp is also wanted by BASE_PORT\n2: BASE_ENABLED: wants vm.overcommit_memory=2, but STORE_ENABLED wants "
         "1\n"},
        {"STORE_ENABLED=true\nSTORE_NAME=a\nSSH_PORT=9001\n", "3: SSH_PORT: port 9001/tcp is also wanted by STORE_ENABLED\n"},
        {"BASE_ENABLED=true\nSTORE_ENABLED=tru\n", "2: STORE_ENABLED: expected true or false\n"},
        {"TWIN_ENABLED=true\nALONE_ENABLED=true\n", "2: ALONE_ENABLED does not go with TWIN_ENABLED\n"},
        {"TWIN0_PORT=80\nTWIN_ENABLED=true\n", "1: TWIN0_PORT: expected what matches [0-9]{4}\n"},
        {"TWIN0_PORT=8080\nTWIN_ENABLED=true\nSTORE_PORT=8080\n", ""},
        {"TWIN_PEERS='a=192.0.2.1 b=db.example c=2001:db8::1'\n", ""},
        {"TWIN_PEERS='a=192.0.2.1 a=192.0.2.2'\n",
         "1: TWIN_PEERS: expected members as name=address, separated by blanks, each name once\n"},
        {"TWIN_PEERS='a b=192.0.2.2'\n", "1: TWIN_PEERS: expected members as name=address, separated by blanks, each name once\n"},
        {"TWIN_PEERS=''\n", ""},
        {"TWIN_ENABLED=true\nTWIN_FRIEND=x\n", "2: TWIN_PEERS: needed because TWIN_FRIEND is set\n"},
        {"TWIN_ENABLED=true\nTWIN_FRIEND=x\nTWIN_PEERS=\n", "3: TWIN_PEERS: needed because TWIN_FRIEND is set\n"},
        {"TWIN_ENABLED=true\nTWIN_FRIEND=x\nTWIN_PEERS=a=192.0.2.1\n", ""},
        {"TWIN_ENABLED=true\nTWIN_FRIEND=\n", ""},
        {"TWIN_FRIEND=x\n", ""},
        {"TWIN_ENABLED=true\nSTORE_ENABLED=true\nSTORE_NAME=a\n", "2: TWIN_DOOR: needed because STORE_ENABLED=true\n"},
        {"STORE_ENABLED=yes\n", "1: STORE_ENABLED: expected true or false\n"},
    };
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    (void)state;
    assert_int_equal(make((const char *const[]){alone, base, store, twin, NULL}, &set, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *problems = problems_of(&set, cases[i].config);
        assert_string_equal(problems, cases[i].problems);
    }
}

static void test_sums(void **state) {
    static const struct {
        const char *config, *problems;
    } cases[] = {
        {"SUMS_ENABLED=true\n", ""},
        {"SUMS_ENABLED=true\nSUMS_ALL=29\n", "2: SUMS_ALL: must be at least SUMS_A + 2*SUMS_B, which is 30\n"},
        {"SUMS_ENABLED=true\nSUMS_ALL=29\nSUMS_A=9\n", ""},
        {"SUMS_ENABLED=true\nSUMS_B=11\n", "2: SUMS_ALL: must be at least SUMS_A + 2*SUMS_B, which is 32\n"},
        {"SUMS_ENABLED=true\nSUMS_B=x\n", "2: SUMS_B: expected a whole number\n"},
        {"SUMS_ALL=1\n", ""},
    };
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    size_t index;
    (void)state;
    assert_int_equal(make((const char *const[]){sums, NULL}, &set, &err), 0);
    assert_int_equal(stack_set_verify(&set, &index, &err), 0);
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

static void test_refused(void **state) {
    static const struct {
        const char *jsons[5], *says;
    } cases[] = {
        {{alone, alone}, "there are two stacks 'alone'"},
        {{HEAD("a", "A") ", \"requires\": [\"B_ENABLED\"]}", HEAD("b", "B") ", \"requires\": [\"X or A_ENABLED\"]}"}, "circle: a → b → a"},
        {{HEAD("a", "A") ", \"requires\": [\"B_ENABLED\"]}", HEAD("b", "B") ", \"requires\": [\"C_ENABLED\"]}",
          HEAD("c", "C") ", \"requires\": [\"D_ENABLED\"]}", HEAD("d", "D") ", \"requires\": [\"B_ENABLED\"]}"},
         "circle: b → c → d → b"},
        {{HEAD("a", "A") ", \"requires\": [\"A_ENABLED\"]}"}, "circle: a → a"},
        {{HEAD("a", "A") ", \"keys\": [" TEXT_KEY("HOSTNAME", "") "]}"}, "stack a: HOSTNAME is a key of every machine"},
        {{HEAD("a", "A") ", \"keys\": [" TEXT_KEY("NET3_MTU", "") "]}"}, "stack a: NET3_MTU is a key of every machine"},
        {{HEAD("a", "A") ", \"keys\": [" TEXT_KEY("X", "") "]}", HEAD("b", "B") ", \"keys\": [" TEXT_KEY("X", "\"default\": \"1\", ") "]}"},
         "stack b: X is also a key of a, and not the same"},
        {{HEAD("a", "A") ", \"keys\": [" TEXT_KEY("X#Y", "") "]}", HEAD("b", "B") ", \"keys\": [" TEXT_KEY("X1Y", "") "]}"},
         "stack b: X1Y is also a key of a, and not the same"},
        {{HEAD("a", "A") "}", HEAD("b", "B") ", \"keys\": [" TEXT_KEY("A_ENABLED", "") "]}"}, "stack b: A_ENABLED is also a key of a"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct stack_set set = {.count = 77};
        struct err err = {0};
        assert_true(make(cases[i].jsons, &set, &err) < 0);
        assert_contains(err.text, cases[i].says);
        assert_int_equal(set.count, 77);
    }
}

static void test_shared_key(void **state) {
    (void)state;
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    const char *jsons[] = {HEAD("a", "A") ", \"keys\": [" TEXT_KEY("X", "\"required\": true, ") "]}",
                           HEAD("b", "B") ", \"keys\": [" TEXT_KEY("X", "") "]}", NULL};
    assert_int_equal(make(jsons, &set, &err), 0);
    cleanup_free char *of_a = problems_of(&set, "A_ENABLED=true\n"), *of_b = problems_of(&set, "B_ENABLED=true\n");
    assert_string_equal(of_a, "1: X: needed because A_ENABLED=true\n");
    assert_string_equal(of_b, "");
}

static void test_shared_port(void **state) {
    (void)state;
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    const char *jsons[] = {HEAD("a", "A") ", \"keys\": [" PORT_KEY("X", "80") "], \"ports\": [{\"port\": \"X\", \"from\": \"any\"}]}",
                           HEAD("b", "B") ", \"ports\": [{\"port\": \"X\", \"from\": \"any\"}]}", NULL};
    assert_int_equal(make(jsons, &set, &err), 0);
    cleanup_free char *both = problems_of(&set, "A_ENABLED=true\nX=81\nB_ENABLED=true\n");
    assert_string_equal(both, "3: B_ENABLED: port 81/tcp is also wanted by A_ENABLED\n");
}

// A set may be moved; its rules follow.
static void test_moved(void **state) {
    (void)state;
    struct stack_set first = {0};
    struct err err = {0};
    assert_int_equal(make((const char *const[]){base, store, NULL}, &first, &err), 0);
    cleanup_stack_set struct stack_set set = first;
    memset(&first, 0xff, sizeof(first));
    cleanup_free char *problems = problems_of(&set, "STORE_ENABLED=true\n");
    assert_string_equal(problems, "1: STORE_NAME: needed because STORE_ENABLED=true\n");
}

static void test_empty(void **state) {
    (void)state;
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    assert_int_equal(stack_set_make(NULL, 0, &set, &err), 0);
    assert_int_equal(set.count, 0);
    cleanup_free char *problems = problems_of(&set, "HOSTNAME=a\nSTORE_PORT=1\nUPDATE_AUTO=true\n");
    assert_string_equal(problems,
                        "2: STORE_PORT: unknown key; did you mean SSH_PORT?\n3: UPDATE_AUTO: needs UPDATE_URL, which is not set\n");
}

static void test_holds_and_needs(void **state) {
    (void)state;
    cleanup_stack_set struct stack_set set = {0};
    struct err err = {0};
    assert_int_equal(make((const char *const[]){base, store, alone, NULL}, &set, &err), 0);
    const struct stack *of_base = stack_set_find(&set, "base"), *of_store = stack_set_find(&set, "store");
    cleanup_config struct config config = {0};
    config_set(&config, "STORE_ENABLED", "true", 1);
    config_set(&config, "STORE_NAME", "", 2);
    config_set(&config, "BASE_STORES", "x", 3);
    assert_true(stack_is_enabled(&set, of_store, &config));
    assert_false(stack_is_enabled(&set, of_base, &config));
    assert_true(stack_holds(&set, NULL, &config));
    assert_true(stack_holds(&set, "STORE_ENABLED", &config));
    assert_false(stack_holds(&set, "BASE_ENABLED", &config));
    assert_true(stack_holds(&set, "STORE_PORT", &config)); // by its default
    assert_false(stack_holds(&set, "STORE_NAME", &config)); // empty
    assert_true(stack_holds(&set, "BASE_STORES", &config));
    assert_false(stack_holds(&set, "NOBODYS_KEY", &config));
    assert_true(stack_needs(&set, of_base, of_store, &config));
    assert_false(stack_needs(&set, of_store, of_base, &config));
    config_set(&config, "STORE_ENABLED", "false", 1);
    assert_false(stack_needs(&set, of_base, of_store, &config));
}

static void put(const struct scratch *scratch, const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *path = str_printf(STACK_DIR "/%s", name);
    assert_int_equal(file_mkdirs(scratch->fd, STACK_DIR "/alone", 0755, &err), 0);
    assert_int_equal(file_publish(scratch->fd, path, text, strlen(text), 0644, &err), 0);
}

static void test_load(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct stack_set set = {0};
    assert_int_equal(stack_set_load(scratch->fd, &set, &err), 0);
    assert_int_equal(set.count, 0);
    stack_set_done(&set);
    put(scratch, "base.json", base);
    put(scratch, "store.json", store);
    put(scratch, "alone/template", "{{! no stack}}");
    assert_int_equal(stack_set_load(scratch->fd, &set, &err), 0);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.stacks[0]->name, "store");
    stack_set_done(&set);
    put(scratch, "other.json", alone);
    assert_true(stack_set_load(scratch->fd, &set, &err) < 0);
    assert_string_equal(err.text, "/usr/lib/webops/stacks: other.json: the stack in it is called 'alone'");
    put(scratch, "other.json", "{}");
    assert_true(stack_set_load(scratch->fd, &set, &err) < 0);
    assert_string_equal(err.text, "/usr/lib/webops/stacks: other.json: format: expected 1");
    put(scratch, "other.json", HEAD("other", "OTHER") ", \"persist\": [\"/\"]}");
    assert_true(stack_set_load(scratch->fd, &set, &err) < 0);
    assert_string_equal(err.text, "/usr/lib/webops/stacks/other.json: persist[0]: expected a directory below /etc");
    assert_int_equal(set.count, 0);
}

static void test_too_many(void **state) {
    struct scratch *scratch = *state;
    struct stack_set set = {0};
    struct err err = {0};
    for (int i = 0; i <= STACK_MAX_STACKS; i++) {
        cleanup_free char *file = str_printf("s%d.json", i), *json = str_printf(HEAD("s%d", "S%d") "}", i, i);
        put(scratch, file, json);
    }
    assert_int_equal(stack_set_load(scratch->fd, &set, &err), -E2BIG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_shared_key),
        cmocka_unit_test(test_shared_port),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_holds_and_needs),
        cmocka_unit_test_setup_teardown(test_load, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_too_many, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
