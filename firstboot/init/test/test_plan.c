// SPDX-License-Identifier: Apache-2.0
// The init plan: what is accepted, what each broken rule says, and the limits on both sides.
#include "common/test/support.h"
#include "firstboot/init/plan.h"
#include "firstboot/init/test/plan_seed.h"
#include <errno.h>

static void test_every_word(void **state) {
    (void)state;
    struct plan plan;
    struct err err = {0};
    assert_int_equal(plan_parse(plan_seed, strlen(plan_seed), &plan, &err), 0);
    assert_int_equal(plan.module_count, 4);
    assert_string_equal(plan.modules[0].path, "modules/000-virtio.ko");
    assert_string_equal(plan.modules[0].parameters, "");
    assert_string_equal(plan.modules[1].path, "/modules/001-virtio_pci.ko");
    assert_string_equal(plan.modules[1].parameters, "force_legacy=1 debug=\"a b\"");
    assert_int_equal(plan.load.count, 1);
    assert_int_equal(plan.numbers[plan.load.first], 3);
    assert_int_equal(plan.alias_count, 3);
    assert_string_equal(plan.aliases[0].pattern, "pci:v00001AF4d*sv*sd*bc*sc*i*");
    assert_int_equal(plan.aliases[0].literal, strlen("pci:v00001AF4d"));
    assert_int_equal(plan.aliases[2].literal, strlen("virtio:d0000000"));
    assert_int_equal(plan.aliases[2].modules.count, 3);
    assert_int_equal(plan.numbers[plan.aliases[2].modules.first + 1], 2);
    assert_int_equal(plan.timeout_s, 30);
    plan_done(&plan);
    assert_null(plan.text);
}

static void test_smallest(void **state) {
    (void)state;
    struct plan plan;
    struct err err = {0};
    static const char text[] = "webops-plan 1\ntimeout 600\n";
    assert_int_equal(plan_parse(text, strlen(text), &plan, &err), 0);
    assert_int_equal(plan.module_count + plan.alias_count + plan.load.count, 0);
    assert_int_equal(plan.timeout_s, 600);
    plan_done(&plan);
}

static void expect_refused(const char *text, size_t size, const char *message) {
    struct plan plan = {.timeout_s = 4711};
    struct err err = {0};
    int r = plan_parse(text, size, &plan, &err);
    if (r != -EINVAL)
        fail_msg("accepted: '%.*s'", (int)size, text);
    assert_contains(err.text, message);
    assert_int_equal(plan.timeout_s, 4711); // untouched
}

#define HEAD "webops-plan 1\n"
#define MODULE HEAD "module a\n"
#define END "timeout 1\n"

static void test_broken_rules(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "0 bytes"},
        {"webops-plan 2\n" END, "line 1: expected"},
        {"webops-plan 1 \n" END, "line 1: words are separated"},
        {"timeout 1\n", "line 1: expected"},
        {HEAD, "line 2: missing"},
        {HEAD "timeout 1", "line 2: no line feed"},
        {HEAD "\n" END, "line 2: empty"},
        {HEAD "# comment\n" END, "line 2: unknown word"},
        {HEAD "Timeout 1\n", "line 2: unknown word"},
        {HEAD "timeout 1\r\n", "line 2: a byte"},
        {HEAD "module a\tb\n" END, "line 2: a byte"},
        {HEAD "module \xc3\xa4\n" END, "line 2: a byte"},
        {HEAD " module a\n" END, "line 2: words are separated"},
        {HEAD "module  a\n" END, "line 2: words are separated"},
        {HEAD "module a \n" END, "line 2: words are separated"},
        {HEAD "module\n" END, "line 2: not a path"},
        {HEAD "module /\n" END, "line 2: not a path"},
        {HEAD "module ..\n" END, "line 2: not a path"},
        {HEAD "module a/../b\n" END, "line 2: not a path"},
        {HEAD "module a/./b\n" END, "line 2: not a path"},
        {HEAD "module a//b\n" END, "line 2: not a path"},
        {HEAD "module a/\n" END, "line 2: not a path"},
        {HEAD "load 0\n" END, "line 2: no such module"},
        {MODULE "load\n" END, "line 3: no module numbers"},
        {MODULE "load 1\n" END, "line 3: no such module"},
        {MODULE "load 00\n" END, "line 3: no such module"},
        {MODULE "load +0\n" END, "line 3: no such module"},
        {MODULE "load -0\n" END, "line 3: no such module"},
        {MODULE "load 0x0\n" END, "line 3: no such module"},
        {MODULE "load 18446744073709551616\n" END, "line 3: no such module"},
        {MODULE "load 0\nload 0\n" END, "line 4: out of order"},
        {MODULE "load 0\nmodule b\n" END, "line 4: out of order"},
        {MODULE "alias pci:a 0\nload 0\n" END, "line 4: out of order"},
        {MODULE "alias\n" END, "line 3: not an alias"},
        {MODULE "alias pci 0\n" END, "line 3: not an alias"},
        {MODULE "alias pci:a\n" END, "line 3: no module numbers"},
        {MODULE "alias pci:a 0 1\n" END, "line 3: no such module"},
        {HEAD END END, "line 3: out of order"},
        {HEAD END "module a\n", "line 3: out of order"},
        {HEAD "timeout\n", "line 2: a timeout"},
        {HEAD "timeout 0\n", "line 2: a timeout"},
        {HEAD "timeout 601\n", "line 2: a timeout"},
        {HEAD "timeout 030\n", "line 2: a timeout"},
        {HEAD "timeout 1 2\n", "line 2: a timeout"},
        {HEAD "timeout 1s\n", "line 2: a timeout"},
        {HEAD HEAD END, "line 2: unknown word"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_refused(cases[i].text, strlen(cases[i].text), cases[i].message);
    expect_refused("webops-plan 1\nmodule a\0b\ntimeout 1\n", 35, "line 2: a byte");
}

static void test_every_truncation(void **state) {
    (void)state;
    for (size_t size = 0; size < strlen(plan_seed); size++)
        expect_refused(plan_seed, size, "plan");
}

static void test_every_byte_unprintable(void **state) {
    (void)state;
    static const char values[] = {0, 1, '\t', '\r', 0x1f, 0x7f, (char)0x80, (char)0xff};
    char text[sizeof(plan_seed)];
    for (size_t at = 0; at < strlen(plan_seed); at++)
        for (size_t i = 0; i < sizeof(values); i++) {
            memcpy(text, plan_seed, sizeof(text));
            text[at] = values[i];
            expect_refused(text, strlen(plan_seed), "plan line");
        }
}

// `count` lines of `line` between head and tail; returns what plan_parse() says.
static int parse_repeated(const char *head, const char *line, unsigned count, const char *tail, char *ret_message) {
    cleanup_buf struct buf text = {0};
    buf_add_str(&text, head);
    for (unsigned i = 0; i < count; i++)
        buf_add_str(&text, line);
    buf_add_str(&text, tail);
    struct plan plan;
    struct err err = {0};
    int r = plan_parse(text.data, text.size, &plan, &err);
    if (r == 0)
        plan_done(&plan);
    strcpy(ret_message, err.text);
    return r;
}

static void test_limits(void **state) {
    (void)state;
    char message[sizeof(struct err)];
    assert_int_equal(parse_repeated(HEAD, "module a\n", PLAN_MAX_MODULES, END, message), 0);
    assert_int_equal(parse_repeated(HEAD, "module a\n", PLAN_MAX_MODULES + 1, END, message), -EINVAL);
    assert_string_equal(message, "plan line 1026: too many modules");
    assert_int_equal(parse_repeated(MODULE, "alias a: 0\n", PLAN_MAX_ALIASES, END, message), 0);
    assert_int_equal(parse_repeated(MODULE, "alias a: 0\n", PLAN_MAX_ALIASES + 1, END, message), -EINVAL);
    assert_string_equal(message, "plan line 65539: too many aliases");
    assert_int_equal(parse_repeated(HEAD "module ", "x", PLAN_MAX_LINE - 7, "\n" END, message), 0);
    assert_int_equal(parse_repeated(HEAD "module ", "x", PLAN_MAX_LINE - 6, "\n" END, message), -EINVAL);
    assert_string_equal(message, "plan line 2: longer than 4096 bytes");
}

// Exactly 1 MiB is accepted: a list of the highest module number, as often as it goes into lines of the longest kind.
static void test_size_limit(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    buf_add_str(&text, MODULE);
    while (text.size < PLAN_MAX_BYTES - 2 * PLAN_MAX_LINE) {
        buf_add_str(&text, "alias a:");
        for (int i = 0; i < 2000; i++)
            buf_add_str(&text, " 0");
        buf_add_str(&text, "\n");
    }
    while (text.size < PLAN_MAX_BYTES - strlen(END) - 3000) {
        buf_add_str(&text, "alias a: 0\n");
    }
    buf_add_str(&text, "alias a:");
    while (text.size < PLAN_MAX_BYTES - strlen(END) - 3)
        buf_add_str(&text, "a");
    buf_add_str(&text, " 0\n" END);
    assert_int_equal(text.size, PLAN_MAX_BYTES);
    struct plan plan;
    struct err err = {0};
    assert_int_equal(plan_parse(text.data, text.size, &plan, &err), 0);
    plan_done(&plan);
    buf_add_str(&text, "\n");
    expect_refused(text.data, text.size, "1048577 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_word),
        cmocka_unit_test(test_smallest),
        cmocka_unit_test(test_broken_rules),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_every_byte_unprintable),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_size_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
