// SPDX-License-Identifier: Apache-2.0
// One stack: JSON there and back, every kind of fault in it named with its place, and what stack_verify() refuses.
#include "common/stack.h"
#include "common/test/stack_seed.h"
#include "common/test/support.h"
#include <errno.h>
#include <jansson.h>

static void round_trip(void **state) {
    (void)state;
    cleanup(stack_done) struct stack stack = {0}, second = {0};
    cleanup_buf struct buf json = {0}, again = {0};
    struct err err = {0};
    stack_seed(STACK_SEED_ETCD, &stack);
    stack_format(&stack, &json);
    assert_int_equal(stack_parse(json.data, json.size, "x.json", &second, &err), 0);
    stack_format(&second, &again);
    assert_string_equal(buf_str(&json), buf_str(&again));
    // Nothing was lost on the way: the same members with the same values as in the text it began with.
    json_t *before = json_loads(STACK_SEED_ETCD, 0, NULL), *after = json_loads(buf_str(&json), 0, NULL);
    json_object_set_new(json_array_get(json_object_get(before, "units"), 0), "on_change", json_string("restart"));
    assert_true(json_equal(before, after));
    json_decref(before);
    json_decref(after);
}

static void every_member_arrives(void **state) {
    (void)state;
    cleanup(stack_done) struct stack stack = {0};
    stack_seed(STACK_SEED_ETCD, &stack);
    assert_string_equal(stack.name, "etcd");
    assert_string_equal(stack.package, "etcd-server");
    assert_int_equal(stack.start_timeout_seconds, 90);
    assert_int_equal(stack.key_count, 7);
    assert_string_equal(stack.keys[0].schema.name, "ETCD_ENABLED");
    assert_int_equal(stack.keys[0].schema.type, SCHEMA_BOOL);
    assert_string_equal(stack.keys[0].schema.fallback, "false");
    assert_string_equal(stack.keys[0].schema.help, "Whether this machine runs etcd: key-value store.");
    assert_string_equal(stack.keys[1].schema.group, "Stack etcd");
    assert_string_equal(stack.keys[1].pattern, "[a-z]+[0-9]*");
    assert_true(stack.keys[1].is_required);
    assert_false(stack.keys[2].is_required);
    assert_string_equal(stack.keys[2].at_least, "2*SSH_PORT + HEALTH_TIMEOUT");
    assert_string_equal(stack.keys[3].required_when, "HOSTNAME");
    assert_string_equal(stack.keys[2].schema.fallback, "2379");
    assert_string_equal(stack.keys[4].schema.choices, "none basic");
    assert_int_equal(stack.keys[6].schema.max, 8LL << 30);
    assert_string_equal(stack.requires.items[0], "HOSTNAME or ETCD_PEERS");
    assert_string_equal(stack.conflicts.items[0], "OTHER_ENABLED");
    assert_string_equal(stack.persist.items[0], "/etc/etcd");
    assert_string_equal(stack.files[0].owner, "root:etcd");
    assert_int_equal(stack.files[0].mode, 0640);
    assert_int_equal(stack.files[0].format, TEMPLATE_ENV);
    assert_string_equal(stack.ports[0].from, "ETCD_PEERS");
    assert_null(stack.ports[0].when);
    assert_int_equal(stack.ports[1].protocol, STACK_UDP);
    assert_int_equal(stack.units[0].on_change, STACK_RESTART);
    assert_int_equal(stack.units[1].on_change, STACK_KEEP);
    assert_int_equal(stack.data[0].mode, 0700);
    assert_int_equal(stack.sysctls[0].value, -2);
    assert_int_equal(stack.checks[1].kind, STACK_CHECK_TCP);
    assert_int_equal(stack.checks[1].timeout_seconds, 5);
    assert_int_equal(stack.checks[2].expect, 204);
    assert_string_equal(stack.checks[3].command.items[2], "health");
    assert_int_equal(stack.hooks[0].event, STACK_BEFORE_REBOOT);
    assert_int_equal(stack.hooks[0].timeout_seconds, 30);
    assert_true(stack.hooks[0].is_required);
}

// Replaces the first `from` of a text.
static char *edited(const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("'%s' is not in the text", from);
    return str_printf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

struct edit {
    const char *from, *to, *says;
};

static void bad_json(void **state) {
    static const struct edit edits[] = {
        {"{", "", "x.json:1: "},
        {"\"format\": 1", "\"format\": 2", "x.json: format: expected 1"},
        {"\"format\": 1, ", "", "x.json: format: expected 1"},
        {"\"name\"", "\"names\"", "x.json: names: unknown"},
        {"\"name\": \"etcd\", ", "", "x.json: name: missing"},
        {"\"name\": \"etcd\"", "\"name\": \"etcd\", \"name\": \"b\"", "duplicate object key"},
        {"\"etcd\"", "7", "x.json: name: expected a text"},
        {"\"etcd\"", "\"et\\ncd\"", "x.json: name: a control character"},
        {"\"etcd\"", "\"et\\u0000cd\"", "x.json:1: "},
        {"\"etcd\"", "\"et\x80\"", "x.json:1: "},
        {"90", "-1", "x.json: start_timeout: expected a whole number from 0 on"},
        {"90", "90.0", "start_timeout: expected a whole number from 0 on"},
        {"90", "\"90\"", "start_timeout: expected a whole number from 0 on"},
        {"90", "4294967296", "start_timeout: expected a whole number from 0 on"},
        {"\"integer\"", "\"int\"", "keys[1].type: expected one of: text bool integer size"},
        {"\"required\": true", "\"required\": 1", "keys[0].required: expected true or false"},
        {"[\"none\", \"basic\"]", "\"none basic\"", "keys[3].choices: expected a list of words"},
        {"[\"none\", \"basic\"]", "[\"none basic\"]", "keys[3].choices[0]: expected a word without blanks"},
        {"[\"none\", \"basic\"]", "[\"none\", \"\"]", "keys[3].choices[1]: expected a word without blanks"},
        {"\"min\": 1,", "\"min\": -1,", "keys[1].min: expected a whole number from 0 on"},
        {"[\"/etc/etcd\"]", "\"/etc/etcd\"", "persist: expected a list of texts"},
        {"[\"/etc/etcd\"]", "[null]", "persist[0]: expected a text"},
        {"\"0640\"", "\"640\"", "files[0].mode: expected a quoted octal mode"},
        {"\"0640\"", "\"0648\"", "files[0].mode: expected a quoted octal mode"},
        {"\"0640\"", "416", "files[0].mode: expected a quoted octal mode"},
        {"\"format\": \"env\"", "\"format\": \"toml\"", "files[0].format: expected one of: word yaml json ini "},
        {"\"udp\"", "\"sctp\"", "ports[1].protocol: expected one of: tcp udp"},
        {"\"keep\"", "\"stop\"", "units[1].on_change: expected one of: restart reload keep"},
        {"-2", "-2.5", "sysctls[0].value: expected a whole number"},
        {"\"kind\": \"http\"", "\"kind\": \"https\"", "health[2].kind: expected one of: unit tcp http command"},
        {"\"before-reboot\"", "\"after-update\"", "hooks[0].event: expected one of: before-update before-reboot after-start"},
        {"\"from\": \"local\"", "\"to\": \"local\"", "ports[1].to: unknown"},
        {"{\"unit\": \"etcd.service\"}", "\"etcd.service\"", "units[0]: expected a mapping"},
        {"\"units\": [", "\"units\": [[], ", "units[0]: expected a mapping"},
        {"\"data\": [", "\"data\": {}, \"datum\": [", "datum: unknown"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        cleanup_free char *text = edited(STACK_SEED_ETCD, edits[i].from, edits[i].to);
        struct stack stack = {.name = (char *)"untouched"};
        struct err err = {0};
        if (stack_parse(text, strlen(text), "x.json", &stack, &err) != -EINVAL)
            fail_msg("row %zu: %s was accepted", i, edits[i].to);
        if (!strstr(err.text, edits[i].says))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, edits[i].says);
        assert_string_equal(stack.name, "untouched");
    }
}

static void bounds(void **state) {
    (void)state;
    struct stack stack;
    struct err err = {0};
    cleanup_buf struct buf many = {0}, text = {0};
    cleanup_free char *large = mem_array(STACK_MAX_BYTES + 1, 1);
    memset(large, ' ', STACK_MAX_BYTES + 1);
    assert_int_equal(stack_parse(large, STACK_MAX_BYTES + 1, "x.json", &stack, &err), -EINVAL);
    assert_contains(err.text, "262145 bytes, 262144 are possible");
    assert_int_equal(stack_parse("", 0, "x.json", &stack, &err), -EINVAL);
    for (int i = 0; i < 257; i++)
        buf_printf(&many, "%s\"/etc/a%d\"", i ? "," : "", i);
    cleanup_free char *list = edited(STACK_SEED_ETCD, "\"/etc/etcd\"", buf_str(&many));
    assert_int_equal(stack_parse(list, strlen(list), "x.json", &stack, &err), -EINVAL);
    assert_contains(err.text, "persist: expected a list");
    for (int i = 0; i < 4097; i++)
        buf_add_str(&text, "x");
    cleanup_free char *long_text = edited(STACK_SEED_ETCD, "key-value store", buf_str(&text));
    assert_int_equal(stack_parse(long_text, strlen(long_text), "x.json", &stack, &err), -EINVAL);
    assert_contains(err.text, "summary: longer than 4096 bytes");
}

#define SUM "\"2*SSH_PORT + HEALTH_TIMEOUT\""

static void verified(void **state) {
    static const struct edit edits[] = {
        {"\"etcd\"", "\"Etcd\"", "name: expected a name"},
        {"\"etcd\"", "\"../etcd\"", "name: expected a name"},
        {"key-value store", "", "summary: expected a few words"},
        {"key-value store", "A store.", "summary: expected a few words"},
        {"ETCD_ENABLED", "ETCD_ON", "enable: expected a key that ends in _ENABLED"},
        {"ETCD_ENABLED", "_ENABLED", "enable: expected a key"},
        {"etcd-server", "etcd server", "package: expected"},
        {"90", "3601", "start_timeout: at most 3600 seconds"},
        {"\"ETCD_NAME\"", "\"etcd_name\"", "keys[0]: etcd_name: name: expected A-Z"},
        {"\"ETCD_CLIENT_PORT\"", "\"ETCD_NAME\"", "keys[1]: ETCD_NAME is defined twice"},
        {"\"ETCD_NAME\"", "\"ETCD_ENABLED\"", "keys[0]: ETCD_ENABLED is defined twice"},
        {"\"ETCD_CA_FILE\"", "\"ETCD_CA\"", "keys[4]: ETCD_CA: the name of a secret-file key ends in _FILE"},
        {"\"ETCD_NAME\"", "\"ETCD_FILE\"", "keys[0]: ETCD_FILE: a key that ends in _FILE is a secret-file"},
        {"\"ETCD_NAME\", \"type\": \"name\"", "\"ETCD_TOKEN\", \"type\": \"text\"", "keys[0]: ETCD_TOKEN: looks like a secret"},
        {"\"type\": \"name\", ", "\"type\": \"name\", \"min\": 1, \"max\": 2, ", "only an integer, size or memory has min and max"},
        {"\"max\": 65535", "\"max\": 0", "keys[1]: ETCD_CLIENT_PORT: min must not be above max"},
        {"\"type\": \"name\", ", "\"type\": \"name\", \"choices\": [\"a\"], ", "only a word has choices"},
        {", \"choices\": [\"none\", \"basic\"]", "", "keys[3]: ETCD_METRICS: a word needs choices"},
        {"\"default\": \"basic\"", "\"default\": \"all\"", "keys[3]: ETCD_METRICS: default is not valid for the type"},
        {"\"default\": \"2379\"", "\"default\": \"0\"", "keys[1]: ETCD_CLIENT_PORT: default is not valid"},
        {"\"default\": \"2379\"", "\"required\": true, \"default\": \"2379\"", "required goes with neither a default"},
        {"\"default\": \"2379\"", "\"required_when\": \"ETCD_NAME\", \"default\": \"2379\"", "required goes with neither a default"},
        {"\"required\": true", "\"required\": true, \"required_when\": \"HOSTNAME\"", "keys[0]: ETCD_NAME: required is always"},
        {"\"required_when\": \"HOSTNAME\"", "\"required_when\": \"ETCD_CA\"", "keys[2].required_when: there is no key ETCD_CA"},
        {"\"required_when\": \"HOSTNAME\"", "\"required_when\": \"\"", "keys[2].required_when: there is no key"},
        {"\"required_when\": \"HOSTNAME\"", "\"required_when\": \"ETCD_PEERS\"", "keys[2].required_when: expected another key"},
        {"\"type\": \"secret-file\"", "\"type\": \"secret-file\", \"default\": \"/webops/secrets/a.secret\"",
         "a secret-file has no default"},
        {SUM, "\"\"", "keys[1].at_least: expected a sum such as \"KEY + 2*KEY\""},
        {SUM, "\"2*\"", "keys[1].at_least: expected a sum"},
        {SUM, "\"x*SSH_PORT\"", "keys[1].at_least: expected a sum"},
        {SUM, "\"0*SSH_PORT\"", "keys[1].at_least: expected a sum"},
        {SUM, "\"1001*SSH_PORT\"", "keys[1].at_least: expected a sum"},
        {SUM, "\"SSH_PORT +\"", "keys[1].at_least: expected a sum"},
        {SUM, "\"SSH_PORT + 7\"", "keys[1].at_least: there is no other integer key 7"},
        {SUM, "\"SSH_PORTS\"", "keys[1].at_least: there is no other integer key SSH_PORTS"},
        {SUM, "\"ETCD_NAME\"", "keys[1].at_least: there is no other integer key ETCD_NAME"},
        {SUM, "\"ETCD_CLIENT_PORT\"", "keys[1].at_least: there is no other integer key ETCD_CLIENT_PORT"},
        {SUM, "\"110*SSH_PORT\"", "keys[1].at_least: the default of ETCD_CLIENT_PORT is below it"},
        {"\"required\": true", "\"at_least\": \"SSH_PORT\"", "keys[0].at_least: only for an integer"},
        {"\"[a-z]+[0-9]*\"", "\"[a-z\"", "keys[0]: ETCD_NAME: pattern is no extended regular expression"},
        {"\"default\": \"64M\"", "\"default\": \"64M\", \"pattern\": \"[0-9]+\"", "keys[5]: ETCD_CACHE: default does not match pattern"},
        {"\"A port.\"", "\"A port\"", "keys[1]: ETCD_CLIENT_PORT: help ends with a full stop"},
        {"\"HOSTNAME or ETCD_PEERS\"", "\"HOSTNAME, ETCD_PEERS\"", "requires[0]: expected"},
        {"\"HOSTNAME or ETCD_PEERS\"", "\"HOSTNAME or\"", "requires[0]: expected KEY or \"KEY or KEY\""},
        {"\"HOSTNAME or ETCD_PEERS\"", "\"\"", "requires[0]: "},
        {"\"HOSTNAME or ETCD_PEERS\"", "\"ETCD_ENABLED\"", "requires[0]: expected keys, and other ones than ETCD_ENABLED"},
        {"\"HOSTNAME or ETCD_PEERS\"", "\"A_ENABLED or B\"", "requires[0]: no stack of this image defines A_ENABLED or B"},
        {"\"OTHER_ENABLED\"", "\"ETCD_ENABLED\"", "conflicts[0]: expected a key, and another one"},
        {"\"OTHER_ENABLED\"", "\"other\"", "conflicts[0]: expected a key"},
        {"\"/etc/etcd\"", "\"/var/etcd\"", "persist[0]: expected a directory below /etc"},
        {"\"/etc/etcd\"", "\"/etc/../root\"", "persist[0]: expected"},
        {"\"etcd.env\"", "\"../etcd.env\"", "files[0].template: expected the name of a file"},
        {"\"/etc/default/etcd\"", "\"/usr/etcd\"", "files[0].path: expected a path below /etc or /run"},
        {"\"/etc/default/etcd\"", "\"/etc/\"", "files[0].path: expected"},
        {"\"/etc/default/etcd\"", "\"/run/a:b\"", "files[0].path: expected"},
        {"\"root:etcd\"", "\"root\"", "files[0].owner: expected user:group"},
        {"\"root:etcd\"", "\"root:0\"", "files[0].owner: expected user:group"},
        {"\"0640\"", "\"0666\"", "files[0].mode: more than 0775"},
        {"\"format\": \"env\", \"when\": \"ETCD_PEERS\"", "\"format\": \"env\", \"when\": \"ETCD_PEER\"",
         "files[0].when: there is no key ETCD_PEER"},
        {"\"files\": [", "\"files\": [{\"template\": \"a\", \"path\": \"/etc/default/etcd\", \"mode\": \"0600\", \"format\": \"raw\"},",
         "files[1].path: /etc/default/etcd is also that of files[0]"},
        {"\"port\": \"ETCD_CLIENT_PORT\"", "\"port\": \"ETCD_NAME\"", "ports[0].port: expected a port, a range"},
        {"\"port\": \"ETCD_CLIENT_PORT\"", "\"port\": \"65536\"", "ports[0].port: expected"},
        {"\"port\": \"ETCD_CLIENT_PORT\"", "\"port\": \"http\"", "ports[0].port: expected"},
        {"\"7000-7010\"", "\"7010-7000\"", "ports[1].port: expected"},
        {"\"from\": \"local\"", "\"from\": \"ETCD_NAME\"", "ports[1].from: expected any, local, or a key"},
        {"\"from\": \"local\"", "\"from\": \"NOBODY\"", "ports[1].from: expected any, local, or a key"},
        {"\"etcd-snapshot.timer\"", "\"etcd.snapshot\"", "units[1].unit: expected the name of a unit"},
        {"\"etcd-snapshot.timer\"", "\"../a.service\"", "units[1].unit: expected the name of a unit"},
        {"\"etcd-snapshot.timer\"", "\"etcd.service\"", "units[1].unit: etcd.service stands twice"},
        {"\"/var/lib/etcd\"", "\"/etc/etcd\"", "data[0].path: expected a path below /var/lib"},
        {"\"/var/lib/etcd\"", "\"/var/lib/webops/etcd\"", "data[0].path: expected a path below /var/lib"},
        {"\"/var/lib/etcd\"", "\"/var/log/journal\"", "data[0].path: expected"},
        {"\"0700\"", "\"0707\"", "data[0].mode: more than 0775"},
        {"\"vm.overcommit_memory\"", "\"overcommit\"", "sysctls[0].name: expected a name such as"},
        {"\"vm.overcommit_memory\"", "\"vm.../../x\"", "sysctls[0].name: expected a name such as"},
        {"\"name\": \"client\"", "\"name\": \"member\"", "health[1].name: member stands twice"},
        {"\"name\": \"client\"", "\"name\": \"a/b\"", "health[1].name: expected a name"},
        {"\"unit\": \"etcd.service\"},{\"name\": \"client\"", "\"url\": \"x\"},{\"name\": \"client\"",
         "health[0].url: not for this kind of check"},
        {"\"address\": \"127.0.0.1:{{word ETCD_CLIENT_PORT}}\"", "\"address\": \"here\"",
         "health[1].address: expected an address of this machine"},
        {"\"127.0.0.1:{{", "\"192.0.2.1:{{", "health[1].address: expected an address of this machine"},
        {"\"127.0.0.1:{{", "\"127.0.0.10:{{", "health[1].address: expected an address of this machine"},
        {"\"127.0.0.1:{{", "\"{{word ETCD_NAME}}:{{", "health[1].address: expected an address of this machine"},
        {"127.0.0.1:{{word ETCD_CLIENT_PORT}}", "127.0.0.1:", "health[1].address: expected an address of this machine"},
        {"127.0.0.1:{{word ETCD_CLIENT_PORT}}", "[::1]", "health[1].address: expected an address of this machine"},
        {"{{word ETCD_CLIENT_PORT}}", "{{word ETCD_CLIENTPORT}}", "health[1].address:1: ETCD_CLIENTPORT"},
        {"{{word ETCD_CLIENT_PORT}}", "{{secret ETCD_CA_FILE}}", "health[1].address: a secret has no place in it"},
        {"http://127.0.0.1:2381", "http://192.0.2.1:2381", "health[2].url: expected an http address of this machine"},
        {"http://127.0.0.1:2381", "https://127.0.0.1:2381", "health[2].url: expected an http address of this machine"},
        {"http://127.0.0.1:2381", "http://127.0.0.1.example", "health[2].url: expected an http address of this machine"},
        {"204", "99", "health[2].expect: expected a status"},
        {"\"/usr/bin/etcdctl\"", "\"etcdctl\"", "health[3].command: expected a program below /usr"},
        {"\"user\": \"etcd\", \"when\"", "\"user\": \"0\", \"when\"", "health[3].user: expected the name of a user"},
        {"[\"/usr/lib/webops/etcd/leave\"]", "[]", "hooks[0].command: expected a program"},
        {"\"timeout\": 30", "\"timeout\": 86400", "hooks[0].timeout: at most 3600 seconds"},
    };
    (void)state;
    cleanup(stack_done) struct stack good = {0};
    struct err err = {0};
    stack_seed(STACK_SEED_ETCD, &good);
    if (stack_verify(&good, &schema_base, &err) < 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        cleanup_free char *text = edited(STACK_SEED_ETCD, edits[i].from, edits[i].to);
        cleanup(stack_done) struct stack stack = {0};
        stack_seed(text, &stack);
        if (stack_verify(&stack, &schema_base, &err) != -EINVAL)
            fail_msg("row %zu: %s was accepted", i, edits[i].to);
        if (!strstr(err.text, edits[i].says))
            fail_msg("row %zu: '%s' does not say '%s'", i, err.text, edits[i].says);
    }
}

static void loopback_addresses(void **state) {
    static const char *const places[] = {"127.0.0.1:80", "[::1]:80", "localhost:{{word ETCD_CLIENT_PORT}}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_free char *text = edited(STACK_SEED_ETCD, "127.0.0.1:{{word ETCD_CLIENT_PORT}}", places[i]);
        cleanup(stack_done) struct stack stack = {0};
        struct err err = {0};
        stack_seed(text, &stack);
        if (stack_verify(&stack, &schema_base, &err) < 0)
            fail_msg("%s: %s", places[i], err.text);
    }
}

static void words(void **state) {
    (void)state;
    assert_int_equal(stack_protocol_find("udp"), STACK_UDP);
    assert_int_equal(stack_protocol_find(""), -1);
    assert_int_equal(stack_on_change_find("reload"), STACK_RELOAD);
    assert_int_equal(stack_check_kind_find("http"), STACK_CHECK_HTTP);
    assert_int_equal(stack_event_find("after-start"), STACK_AFTER_START);
    assert_int_equal(stack_event_find("after"), -1);
    for (int event = 0; event < STACK_EVENTS; event++)
        assert_int_equal(stack_event_find(stack_event_name((enum stack_event)event)), event);
    assert_string_equal(stack_protocol_name(STACK_TCP), "tcp");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip), cmocka_unit_test(every_member_arrives), cmocka_unit_test(bad_json), cmocka_unit_test(bounds),
        cmocka_unit_test(verified),   cmocka_unit_test(loopback_addresses),   cmocka_unit_test(words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
