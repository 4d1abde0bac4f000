// SPDX-License-Identifier: Apache-2.0
// The language of templates: every construct, every error with its line, and what must never appear in an error. What formats do with
// hostile values is in test_template_quote.c.
#include "common/template.h"
#include "common/test/support.h"
#include <errno.h>

static const struct schema_key keys[] = {
    {.name = "A_BOOL", .type = SCHEMA_BOOL, .fallback = "false"},
    {.name = "B_BOOL", .type = SCHEMA_BOOL},
    {.name = "NUMBER", .type = SCHEMA_INTEGER, .fallback = "7"},
    {.name = "TEXT", .type = SCHEMA_TEXT},
    {.name = "OTHER", .type = SCHEMA_TEXT},
    {.name = "NAME", .type = SCHEMA_NAME, .fallback = "node1"},
    {.name = "HOSTS", .type = SCHEMA_HOST_LIST},
    {.name = "KEYS", .type = SCHEMA_SSH_KEYS},
    {.name = "PEERS", .type = SCHEMA_PEER_LIST},
    {.name = "NET#_ADDRESS", .type = SCHEMA_CIDR_LIST},
    {.name = "PW_FILE", .type = SCHEMA_SECRET_FILE, .fallback = "/webops/secrets/pw.secret"},
    {.name = NULL},
};
static const struct schema_key *const tables[] = {keys, NULL};
static const struct schema schema = {.tables = tables};

static const char *find_secret(void *context, const char *key, size_t *ret_size) {
    assert_string_equal(key, "PW_FILE");
    *ret_size = context ? strlen(context) : 0;
    return context;
}

struct given {
    const char *config; // "KEY\nvalue\nKEY\nvalue…"; NULL = nothing is set
    const char *secret;
    enum template_format format;
};

static void fill(struct config *config, const char *pairs) {
    cleanup_free char *copy = str_dup(pairs ? pairs : "");
    char *rest = copy;
    for (char *key; (key = strsep(&rest, "\n")) && *key;)
        config_set(config, key, strsep(&rest, "\n"), 1);
}

// What the template makes, or its error; the caller frees.
static char *render(const struct given *given, const char *template) {
    cleanup_config struct config config = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    fill(&config, given->config);
    struct template_values values = {.schema = &schema, .config = &config, .secret = find_secret, .context = (void *)given->secret};
    int r = template_render("t", template, strlen(template), given->format, &values, &text, &err);
    assert_true(r == 0 || r == -EINVAL);
    assert_true(r == 0 || text.size == 0);
    return r < 0 ? str_printf("! %s", err.text) : buf_take(&text);
}

struct render_case {
    struct given given;
    const char *template, *expected;
};

static const struct render_case render_cases[] = {
    {{0}, "", ""},
    {{0}, "plain } text }} of { one\n", "plain } text }} of { one\n"},
    {{0}, "{{NUMBER}} {{ NAME }} {{A_BOOL}} {{B_BOOL}}", "7 node1 false false"},
    {{.format = TEMPLATE_YAML},
     "a: {{NUMBER}}\nb: {{NAME}}\nc: {{A_BOOL}}\nd: {{word NAME}}\n",
     "a: 7\nb: \"node1\"\nc: false\nd: node1\n"},
    {{.config = "NUMBER\n12\nNET3_ADDRESS\n192.0.2.1/24"}, "{{NUMBER}}: {{NET3_ADDRESS}}", "12: 192.0.2.1/24"},
    // Conditions.
    {{0}, "{{#if A_BOOL}}yes{{#else}}no{{/if}}", "no"},
    {{.config = "A_BOOL\ntrue"}, "{{#if A_BOOL}}yes{{#else}}no{{/if}}", "yes"},
    {{0}, "{{#if TEXT}}yes{{/if}}{{#if NAME}}set{{/if}}", "set"},
    {{.config = "TEXT\n"}, "{{#if TEXT}}yes{{#else}}empty{{/if}}", "empty"},
    {{.config = "TEXT\nfalse"}, "{{#if TEXT}}a text is only a text{{/if}}", "a text is only a text"},
    {{0}, "{{#if NUMBER == \"7\"}}seven{{/if}}{{#if NUMBER != \"7\"}}other{{/if}}", "seven"},
    {{0}, "{{#if NAME==\"node1\"}}1{{/if}}{{#if \"node1\" == NAME}}2{{/if}}{{#if NAME != NAME}}3{{/if}}", "12"},
    {{0}, "{{#if TEXT == \"\"}}unset is empty{{/if}}{{#if TEXT == OTHER}}, both{{/if}}", "unset is empty, both"},
    {{.config = "TEXT\na b"}, "{{#if TEXT == \"a b\"}}same{{/if}}", "same"},
    {{.config = "TEXT\nNAME"}, "{{#if TEXT == NAME}}read again{{#else}}a value is no key{{/if}}", "a value is no key"},
    {{0}, "{{#if A_BOOL}}{{#if NAME}}1{{#else}}2{{/if}}{{#else}}{{#if NAME}}3{{#else}}4{{/if}}{{/if}}", "3"},
    {{0}, "{{#if A_BOOL}}{{TEXT}}{{/if}}what is not shown may be unset", "what is not shown may be unset"},
    // Lists.
    {{.config = "HOSTS\na  b c"}, "{{#each HOSTS}}<{{.}}>{{/each}}", "<a><b><c>"},
    {{.config = "HOSTS\na b c"}, "{{#each HOSTS}}{{.}}{{#sep}}, {{/sep}}{{/each}}", "a, b, c"},
    {{.config = "HOSTS\na"}, "{{#each HOSTS}}{{.}}{{#sep}}, {{/sep}}{{/each}}", "a"},
    {{.config = "HOSTS\n"}, "{{#each HOSTS}}{{.}}{{/each}}none", "none"},
    {{0}, "{{#each HOSTS}}{{.}}{{/each}}unset", "unset"},
    {{.config = "KEYS\nssh-ed25519 A;  ssh-rsa B", .format = TEMPLATE_YAML},
     "{{#each KEYS}}{{.}}\n{{/each}}",
     "\"ssh-ed25519 A\"\n\"ssh-rsa B\"\n"},
    {{.config = "PEERS\nn1=10.0.0.1 n2=2001:db8::2"},
     "{{#each PEERS}}{{.name}} at {{.address}} ({{.}}){{#sep}}; {{/sep}}{{/each}}",
     "n1 at 10.0.0.1 (n1=10.0.0.1); n2 at 2001:db8::2 (n2=2001:db8::2)"},
    {{.config = "PEERS\nnode0=h node1=i"}, "{{#each PEERS}}{{#if .name == NAME}}me: {{.address}}{{/if}}{{/each}}", "me: i"},
    {{.config = "PEERS\nnode0=h node1=i"}, "{{#each PEERS}}{{#if .name != NAME}}{{word .address}}{{/if}}{{/each}}", "h"},
    {{.config = "HOSTS\na b\nOTHER\nx y"},
     "{{#each HOSTS}}{{.}}:{{#each OTHER}}{{.}}{{#sep}}+{{/sep}}{{/each}}{{#sep}} {{/sep}}{{/each}}",
     "a:x+y b:x+y"},
    // Comments, lines that vanish, lines that stay.
    {{0}, "a{{! {{ \n\n }}b{{!}}c", "abc"},
    {{0}, "{{! one\ntwo }}\nx\n", "x\n"},
    {{0}, "a\n  {{#if NAME}}  \n b\n\t{{/if}}\nc\n", "a\n b\nc\n"},
    {{0}, "{{#if NAME}} {{! }}\nb{{/if}}", " \nb"},
    {{0}, "{{#if NAME}}\nb\n{{/if}}", "b\n"},
    {{.config = "HOSTS\na b"}, "{{#each HOSTS}}\n- {{.}}\n{{#sep}}\n,\n{{/sep}}\n{{/each}}\nend", "- a\n,\n- b\nend"},
    {{0}, "  {{NUMBER}}  \n", "  7  \n"},
    {{0}, "{{{NUMBER}}}", "{7}"},
    {{0}, "{{{!}}{", "{{"},
    // Values are not read again.
    {{.config = "TEXT\n{{NAME}}{{#if A_BOOL}}", .format = TEMPLATE_YAML}, "{{TEXT}}", "\"{{NAME}}{{#if A_BOOL}}\""},
    {{.secret = "{{secret PW_FILE}}", .format = TEMPLATE_RAW}, "{{secret PW_FILE}}", "{{secret PW_FILE}}"},
    // Secrets.
    {{.secret = "a\nb\n\n", .format = TEMPLATE_RAW}, "<{{secret PW_FILE}}>", "<a\nb\n>"},
    {{.secret = "s3cret\n", .format = TEMPLATE_JSON}, "{{secret PW_FILE}} {{PW_FILE}}", "\"s3cret\" \"/webops/secrets/pw.secret\""},
    {{.secret = "s3cret"}, "x{{secret PW_FILE}}y", "xs3crety"},
};

static void test_render(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(render_cases); i++) {
        cleanup_free char *text = render(&render_cases[i].given, render_cases[i].template);
        assert_string_equal(text, render_cases[i].expected);
    }
}

struct error_case {
    const char *config, *template, *expected;
};

static const struct error_case error_cases[] = {
    // Syntax, which template_check() finds, too.
    {NULL, "a\nb {{NAME", "t:2: {{ is not closed with }}"},
    {NULL, "{{NAME\n}}", "t:1: {{ is not closed with }} on its line"},
    {NULL, "{{! a", "t:1: {{ is not closed"},
    {NULL, "{{}}", "t:1: a key, a field or a \"text\" is expected here"},
    {NULL, "{{name}}", "t:1: a key"},
    {NULL, "{{word}}", "t:1: a key"},
    {NULL, "{{\"text\"}}", "t:1: a key"},
    {NULL, "{{AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}}", "t:1: a key"},
    {NULL, "\n\n{{UNKNOWN}}", "t:3: UNKNOWN: unknown key"},
    {NULL, "{{! two\nlines }}{{UNKNOWN}}", "t:2: UNKNOWN: unknown key"},
    {NULL, "{{! two\nlines }}\n{{UNKNOWN}}", "t:3: UNKNOWN: unknown key"},
    {NULL, "{{NAME TEXT}}", "t:1: the tag holds more than it can"},
    {NULL, "{{NAME.}}", "t:1: the tag holds more"},
    {NULL, "{{.}}", "t:1: a '.' has no meaning outside of {{#each"},
    {NULL, "{{#if .name}}{{/if}}", "t:1: a '.' has no meaning"},
    {NULL, "{{#each HOSTS}}{{/each}}{{.}}", "t:1: a '.' has no meaning"},
    {NULL, "{{#each PEERS}}{{.names}}{{/each}}", "t:1: the tag holds more"},
    {NULL, "{{#each HOSTS}}{{.port}}{{/each}}", "t:1: the tag holds more"},
    {NULL, "{{#each HOSTS}}{{.name}}{{/each}}", "t:1: HOSTS: has no .name and .address"},
    {NULL, "{{#each PEERS}}{{#each HOSTS}}{{.name}}{{/each}}{{/each}}", "t:1: HOSTS: has no .name and .address"},
    {NULL, "{{#each NUMBER}}{{/each}}", "t:1: NUMBER: is no list"},
    {NULL, "{{#each .}}{{/each}}", "t:1: a key"},
    {NULL, "{{#sep}}{{/sep}}", "t:1: {{#sep}} has no meaning outside"},
    {NULL, "{{#sep X}}{{/sep}}", "t:1: the tag holds more"},
    {NULL, "{{#if NAME}}\n\n", "t:1: the block that begins here is not closed"},
    {NULL, "x\n{{#each HOSTS}}{{#if NAME}}{{/if}}", "t:2: the block that begins here is not closed"},
    {NULL, "{{/if}}", "t:1: {{/if}} closes nothing"},
    {NULL, "{{#if NAME}}\n{{/each}}", "t:2: {{/each}} closes nothing"},
    {NULL, "{{#each HOSTS}}{{#if NAME}}{{/each}}{{/if}}", "t:1: {{/each}} closes nothing, or a block inside is still open"},
    {NULL, "{{#else}}", "t:1: {{#else}} without"},
    {NULL, "{{#each HOSTS}}{{#else}}{{/each}}", "t:1: {{#else}} without"},
    {NULL, "{{#if NAME}}{{#else}}{{#else}}{{/if}}", "t:1: {{#else}} without"},
    {NULL, "{{#if}}{{/if}}", "t:1: unknown tag"},
    {NULL, "{{#unless NAME}}", "t:1: unknown tag"},
    {NULL, "{{#ifNAME}}{{/if}}", "t:1: unknown tag"},
    {NULL, "{{#if NAME =}}{{/if}}", "t:1: the tag holds more"},
    {NULL, "{{#if NAME ==}}{{/if}}", "t:1: a key"},
    {NULL, "{{#if NAME == \"a}}{{/if}}", "t:1: a text is not closed"},
    {NULL, "{{#if \"a\"}}{{/if}}", "t:1: a text alone is no condition"},
    {NULL, "{{#if NAME == NAME == NAME}}{{/if}}", "t:1: the tag holds more"},
    {NULL, "{{#if UNKNOWN == \"x\"}}{{/if}}", "t:1: UNKNOWN: unknown key"},
    {NULL, "{{secret TEXT}}", "t:1: {{secret …}} takes a key whose type is a secret file"},
    {NULL, "{{#each HOSTS}}{{secret .}}{{/each}}", "t:1: {{secret …}} takes"},
    {NULL, "{{#if NAME}}{{#if NAME}}{{#if NAME}}{{#if NAME}}{{#if NAME}}{{#if NAME}}{{#if NAME}}{{#if NAME}}\n{{#if NAME}}",
     "t:2: blocks are nested deeper than 8"},
    // What depends on values.
    {"", "{{TEXT}}", "t:1: TEXT: is not set"},
    {"", "a\n{{word HOSTS}}", "t:2: HOSTS: is not set"},
    {"", "\n{{secret PW_FILE}}", "t:2: PW_FILE: there is no such secret"},
    {"TEXT\n", "{{word TEXT}}", "t:1: TEXT: an empty value cannot be a word"},
    {"TEXT\ntop hidden", "{{word TEXT}}", "t:1: TEXT: only letters"},
    {"PEERS\nn1=a hidden", "{{#each PEERS}}\n{{.name}}\n{{/each}}", "t:2: PEERS: an item is not name=address"},
    {"PEERS\nn1=hidden;", "{{#each PEERS}}{{word .address}}{{/each}}", "t:1: PEERS: only letters"},
};

static void test_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(error_cases); i++) {
        const struct error_case *c = &error_cases[i];
        struct given given = {.config = c->config};
        cleanup_free char *text = render(&given, c->template);
        cleanup_free char *expected = str_printf("! %s", c->expected);
        if (strncmp(text, expected, strlen(expected)) != 0)
            fail_msg("'%s' gives '%s' instead of '%s'", c->template, text, expected);
        assert_null(strstr(text, "hidden"));
        bool uses_secret = false;
        struct err err = {0};
        int r = template_check("t", c->template, strlen(c->template), TEMPLATE_WORD, &schema, &uses_secret, &err);
        assert_int_equal(r, c->config ? 0 : -EINVAL);
        if (!c->config)
            assert_string_equal(err.text, text + 2);
    }
}

static void test_check(void **state) {
    (void)state;
    struct err err = {0};
    bool uses_secret = true;
    const char *without = "{{PW_FILE}}\n{{TEXT}}", *with = "{{#if A_BOOL}}{{secret PW_FILE}}{{/if}}";
    assert_int_equal(template_check("t", without, strlen(without), TEMPLATE_YAML, &schema, &uses_secret, &err), 0);
    assert_false(uses_secret);
    assert_int_equal(template_check("t", with, strlen(with), TEMPLATE_YAML, &schema, &uses_secret, &err), 0);
    assert_true(uses_secret);
    assert_int_equal(template_check("t", "a\0b", 3, TEMPLATE_YAML, &schema, &uses_secret, &err), -EINVAL);
    assert_contains(err.text, "t:1: the template holds a NUL byte");
    assert_int_equal(template_check("t", "", 0, TEMPLATE_YAML, &schema, &uses_secret, &err), 0);
    assert_false(uses_secret);
}

static void test_without_secrets(void **state) {
    (void)state;
    struct config config = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    struct template_values values = {.schema = &schema, .config = &config};
    buf_add_str(&text, "kept");
    assert_int_equal(template_render("t", "a{{secret PW_FILE}}", 19, TEMPLATE_RAW, &values, &text, &err), -EINVAL);
    assert_string_equal(text.data, "kept");
    assert_int_equal(template_render("t", " {{NUMBER}}", 11, TEMPLATE_RAW, &values, &text, &err), 0);
    assert_string_equal(text.data, "kept 7");
}

// Bounds hold: the template, what it makes, and how long it may take to make nothing.
static void test_bounds(void **state) {
    (void)state;
    cleanup_buf struct buf large = {0}, hosts = {0}, blanks = {0};
    while (large.size <= TEMPLATE_MAX_BYTES)
        buf_add_str(&large, "0123456789abcdef");
    cleanup_free char *too_large = render(&(struct given){0}, large.data);
    assert_string_equal(too_large, "! t:1: the template is larger than 256 KiB");
    large.data[TEMPLATE_MAX_BYTES] = 0;
    cleanup_free char *fits = render(&(struct given){0}, large.data);
    assert_int_equal(strlen(fits), TEMPLATE_MAX_BYTES);

    buf_add_str(&hosts, "HOSTS\na");
    for (int i = 0; i < 2000; i++)
        buf_add_str(&hosts, " a");
    struct given given = {.config = hosts.data};
    cleanup_free char *makes_much = render(&given, "\n{{#each HOSTS}}{{#each HOSTS}}{{.}}{{/each}}{{/each}}");
    assert_contains(makes_much, "! t:2: what the template makes is larger than 256 KiB");
    cleanup_free char *takes_long =
        render(&given, "{{#each HOSTS}}{{#each HOSTS}}{{#each HOSTS}}{{#each HOSTS}}{{/each}}{{/each}}{{/each}}{{/each}}");
    assert_contains(takes_long, "takes too long");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_render),          cmocka_unit_test(test_errors), cmocka_unit_test(test_check),
        cmocka_unit_test(test_without_secrets), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
