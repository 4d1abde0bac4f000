// SPDX-License-Identifier: Apache-2.0
// Where a value may stand: templates that would undo a value's quotes are refused, whatever the value, and ordinary ones are not.
#include "common/template.h"
#include "common/test/support.h"
#include <errno.h>

static const struct schema_key keys[] = {
    {.name = "T", .type = SCHEMA_TEXT},
    {.name = "N", .type = SCHEMA_INTEGER},
    {.name = "L", .type = SCHEMA_HOST_LIST},
    {.name = "S", .type = SCHEMA_SECRET_FILE},
    {.name = NULL},
};
static const struct schema_key *const tables[] = {keys, NULL};
static const struct schema schema = {.tables = tables};

struct place_case {
    enum template_format format;
    const char *template;
    const char *problem; // NULL = none
};

static const char quotes[] = "cannot stand inside of quotes";
static const char scalar[] = "a value is a scalar of its own";
static const char touches[] = "cannot stand right behind another";
static const char block[] = "that begins in a block must end there";

static const struct place_case cases[] = {
    // YAML.
    {TEMPLATE_YAML, "a: {{T}}\n- {{T}}\n? {{T}}\n{{T}}: b\n[{{T}}, {{T}}]\n{a: {{T}}, {{T}}: c}\n- - {{T}} # comment\n", NULL},
    {TEMPLATE_YAML, "a: it's\nb: {{T}} # don't\nc: '{{word T}}' # \"\nd: \"{{N}}\"\ne: {{T}}\n", NULL},
    {TEMPLATE_YAML, "a: 'it''s'\nb: {{T}}\nc: \"\\\"\"\nd: {{T}}", NULL},
    {TEMPLATE_YAML, "# {{word T}}, {{N}}\n{{#each L}}\n- {{.}}\n{{/each}}", NULL},
    {TEMPLATE_YAML, "a: [{{#each L}}{{.}}{{#sep}}, {{/sep}}{{/each}}]\n", NULL},
    {TEMPLATE_YAML, "a: {{#if T}}{{T}}{{#else}}none{{/if}}\nb: {{secret S}}", NULL},
    {TEMPLATE_YAML, "a: \"{{T}}\"", quotes},
    {TEMPLATE_YAML, "a: '{{secret S}}'", quotes},
    {TEMPLATE_YAML, "a: \"x\\\"{{T}}\"", quotes},
    {TEMPLATE_YAML, "a: \"x\n  {{T}}\"", quotes},
    {TEMPLATE_YAML, "a: b {{T}}", scalar},
    {TEMPLATE_YAML, "a:{{T}}", scalar},
    {TEMPLATE_YAML, "a: b, {{T}}", scalar},
    {TEMPLATE_YAML, "[a {{T}}]", scalar},
    {TEMPLATE_YAML, "a: {{T}}{{T}}", touches},
    {TEMPLATE_YAML, "a: ''{{T}}", touches},
    {TEMPLATE_YAML, "a: {{#if T}}\"{{/if}}{{T}}", block},
    {TEMPLATE_YAML, "{{#if T}}[{{#else}}{{/if}}{{T}}", block},
    {TEMPLATE_YAML, "{{#each L}}[{{/each}}", block},
    // JSON.
    {TEMPLATE_JSON, "{\"a\": {{T}}, \"b\": [{{T}},{{secret S}}], {{T}}:{{N}}, \"c\": \"{{word T}}:{{N}}\"}", NULL},
    {TEMPLATE_JSON, "{\"a\": \"{{T}}\"}", quotes},
    {TEMPLATE_JSON, "{\"a\": \"\\\\\\\"{{T}}\"}", quotes},
    {TEMPLATE_JSON, "[{{T}}{{T}}]", touches},
    {TEMPLATE_JSON, "[\"a\"{{T}}]", touches},
    // Lines.
    {TEMPLATE_INI, "[A]\nb={{T}}\nc = x {{T}} {{T}}\n# {{word T}}\n{{word T}}={{N}}\n{{#if T}}\nd={{T}}\n{{/if}}\ne={{#if T}}{{T}}{{/if}}",
     NULL},
    {TEMPLATE_INI, "{{T}}", "a value stands behind '='"},
    {TEMPLATE_INI, "a=b\n{{T}}=c", "a value stands behind '='"},
    {TEMPLATE_INI, "{{#if T}}a={{#else}}b{{/if}}{{T}}", "a value stands behind '='"},
    {TEMPLATE_INI, "[{{T}}]", "a value stands behind '='"},
    {TEMPLATE_LINE, "a {{T}}\nb={{T}}\n{{word T}} {{T}}", NULL},
    {TEMPLATE_LINE, "  {{T}}", "a value cannot begin a line"},
    {TEMPLATE_LINE, "a\n{{T}}", "a value cannot begin a line"},
    // Variables.
    {TEMPLATE_ENV, "# it's\nA={{T}}\nB={{T}}{{T}}\nC='x'{{T}}\nD=\"{{word T}}:{{N}}\"\nE=x\\'{{word T}}\nF={{#if T}}{{T}}{{/if}}\n", NULL},
    {TEMPLATE_ENV, "A=\"{{T}}\"", quotes},
    {TEMPLATE_ENV, "A='{{T}}'", quotes},
    {TEMPLATE_ENV, "A=x{{T}}", "right behind '='"},
    {TEMPLATE_ENV, "A= {{T}}", "right behind '='"},
    {TEMPLATE_ENV, "{{T}}", "right behind '='"},
    {TEMPLATE_ENV, "A=\\{{T}}", "behind a backslash"},
    // Shell.
    {TEMPLATE_SHELL, "a={{T}}\nb {{T}} --c={{T}}/d {{T}}{{T}} 'e'{{T}}\"f\" # it's\ng \\' {{T}} \\\\{{T}}\necho \"{{word T}} {{N}}\"\n",
     NULL},
    {TEMPLATE_SHELL, "echo $# ${#a} {{T}}", NULL},
    {TEMPLATE_SHELL, "if [ $a -lt 1 ] <b; then c $(d {{T}}); fi", NULL},
    {TEMPLATE_SHELL, "echo \"{{T}}\"", quotes},
    {TEMPLATE_SHELL, "echo '{{T}}'", quotes},
    {TEMPLATE_SHELL, "echo `a {{T}}`", quotes},
    {TEMPLATE_SHELL, "echo \"$(a {{T}})\"", quotes},
    {TEMPLATE_SHELL, "echo \"\\\"{{T}}\"", quotes},
    {TEMPLATE_SHELL, "echo 'a\n{{T}}'", quotes},
    {TEMPLATE_SHELL, "echo '\\'{{T}}''", NULL}, // a backslash means nothing in single quotes
    {TEMPLATE_SHELL, "echo ${{T}}", "behind '$'"},
    {TEMPLATE_SHELL, "echo \\{{T}}", "behind a backslash"},
    {TEMPLATE_SHELL, "a # {{T}}", "cannot stand in a comment"},
    {TEMPLATE_SHELL, "#{{secret S}}", "cannot stand in a comment"},
    {TEMPLATE_SHELL, "cat <<EOF\n{{T}}\nEOF", "here-document"},
    {TEMPLATE_SHELL, "{{T}}\ncat << EOF", "here-document"},
    // nft, PostgreSQL.
    {TEMPLATE_NFT, "iifname {{T}} tcp dport {{N}} accept comment \"{{word T}}\" # it's \"\noifname { {{T}}, {{T}} } drop", NULL},
    {TEMPLATE_NFT, "iifname \"{{T}}\"", quotes},
    {TEMPLATE_NFT, "iifname \"\\\"{{T}}", touches},
    {TEMPLATE_POSTGRESQL, "a = {{T}} # it's\nb = 'x\\'y''z'\nc={{T}}\nd = '{{word T}},{{N}}'\ne = {{N}}MB\n", NULL},
    {TEMPLATE_POSTGRESQL, "a = '{{T}}'", quotes},
    {TEMPLATE_POSTGRESQL, "a = 'x\\'{{T}}'", quotes},
    {TEMPLATE_POSTGRESQL, "a = {{T}}{{T}}", touches},
    {TEMPLATE_POSTGRESQL, "a = ''{{T}}", touches},
    {TEMPLATE_POSTGRESQL, "a = {{T}}'x'", "a quote stands right behind a value"},
    // Formats in which every value is escaped where it stands.
    {TEMPLATE_PGPASS, "{{T}}:{{N}}:*:{{T}}:{{secret S}}\n", NULL},
    {TEMPLATE_PGPASS, "a\\{{T}}", "behind a backslash"},
    {TEMPLATE_WORD, "'{{T}}' \"{{T}}\" \\{{T}} <<{{T}}", NULL},
    {TEMPLATE_RAW, "'{{T}}' \"{{secret S}}\" \\{{T}} <<", NULL},
};

static void test_places(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        bool uses_secret = false;
        const char *text = cases[i].template;
        int r = template_check("t", text, strlen(text), cases[i].format, &schema, &uses_secret, &err);
        if (r != (cases[i].problem ? -EINVAL : 0) || (cases[i].problem && !strstr(err.text, cases[i].problem)))
            fail_msg("%s: '%s': %s", template_format_name(cases[i].format), text, r < 0 ? err.text : "is taken");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
