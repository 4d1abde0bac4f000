// SPDX-License-Identifier: Apache-2.0
// stack.yaml: what a good one becomes, that a bad one is refused with file and line, and that everything in overlays/ loads.
#include "builder/recipe.h"
#include "common/test/support.h"
#include <dirent.h>
#include <errno.h>

static const char good[] = "# A comment.\n"
                           "name: web\n"
                           "summary: server of pages\n"
                           "enable: WEB_ENABLED\n"
                           "keys:\n"
                           "  - {name: WEB_PORT, type: integer, default: \"8080\", min: 1, max: 65535, help: A port.}\n"
                           "  - name: WEB_CACHE\n"
                           "    type: size\n"
                           "    min: 1M\n"
                           "    max: 2G\n"
                           "    help: Memory.\n"
                           "  - {name: WEB_MODE, type: word, choices: [fast, safe], default: safe, required: false, help: How.}\n"
                           "  - {name: WEB_KEY_FILE, type: secret-file, required: true, help: Key.}\n"
                           "files:\n"
                           "  - {template: web.conf, path: /etc/web.conf, mode: \"0640\", owner: \"root:web\", format: env}\n"
                           "ports:\n"
                           "  - {port: WEB_PORT, from: any}\n"
                           "  - port: 9000\n"
                           "    from: local\n"
                           "units:\n"
                           "  - {unit: web.service, on_change: reload}\n"
                           "sysctls:\n"
                           "  - {name: net.core.somaxconn, value: 4096}\n"
                           "health:\n"
                           "  - {name: page, kind: http, url: \"http://127.0.0.1:{{word WEB_PORT}}/\", expect: 204}\n";
static const char template[] = "PORT={{WEB_PORT}}\nKEY={{secret WEB_KEY_FILE}}\n";

static void good_one(void **state) {
    (void)state;
    cleanup(stack_done) struct stack stack = {0};
    struct err err = {0};
    if (recipe_parse_stack(good, strlen(good), "s.yaml", &stack, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(stack.name, "web");
    assert_int_equal(stack.key_count, 5);
    assert_string_equal(stack.keys[1].schema.fallback, "8080");
    assert_int_equal(stack.keys[2].schema.min, 1 << 20);
    assert_int_equal(stack.keys[2].schema.max, 2LL << 30);
    assert_string_equal(stack.keys[3].schema.choices, "fast safe");
    assert_false(stack.keys[3].is_required);
    assert_true(stack.keys[4].is_required);
    assert_int_equal(stack.files[0].mode, 0640);
    assert_string_equal(stack.ports[1].port, "9000");
    assert_int_equal(stack.units[0].on_change, STACK_RELOAD);
    assert_int_equal(stack.sysctls[0].value, 4096);
    assert_int_equal(stack.checks[0].expect, 204);
}

// One edit of the good one, and what the message must begin with.
static const struct edit {
    const char *from, *to, *says;
} edits[] = {
    // what YAML itself, the shape and the words are about
    {"name: web\n", "name: web\nsurprise: 1\n", "stack.yaml:3: "},
    {"name: web\n", "name: web\nname: web\n", "stack.yaml:"},
    {"summary: server of pages\n", "", "stack.yaml:"},
    {"keys:\n", "keys: x\nkey:\n", "stack.yaml:5: "},
    {", help: A port.}", "}", "stack.yaml:6: "},
    {"type: integer", "typ: integer", "stack.yaml:6: "},
    {"type: size", "type: bytes", "stack.yaml:8: keys[1].type: expected one of: text bool"},
    {"min: 1M", "min: 1X", "stack.yaml:9: keys[1].min: expected a whole number"},
    {"max: 2G", "max: -2", "stack.yaml:10: keys[1].max: expected a whole number"},
    {"required: false", "required: no", "stack.yaml:12: keys[2].required: expected true or false"},
    {"choices: [fast, safe]", "choices: fast", "stack.yaml:12: "},
    {"choices: [fast, safe]", "choices: [fast, a b]", "stack.yaml:12: keys[2].choices[1]: expected a word without blanks"},
    {"mode: \"0640\"", "mode: 640", "stack.yaml:15: files[0].mode: expected a quoted octal mode such as \"0640\""},
    {"format: env", "format: ini2", "stack.yaml:15: files[0].format: expected one of: word yaml"},
    {"    from: local", "    from: *a", "stack.yaml:19"},
    {"on_change: reload", "on_change: stop", "stack.yaml:21: units[0].on_change: expected one of: restart reload keep"},
    {"value: 4096", "value: many", "stack.yaml:23: sysctls[0].value: expected a whole number"},
    {"expect: 204", "expect: ok", "stack.yaml:25: health[0].expect: expected a whole number from 0 on"},
    {"  - {unit: web.service", "  - {unit: [web.service]", "stack.yaml:21: "},
    // what only the stack as a whole is about
    {"name: web\n", "name: wob\n", "stack.yaml:2: name: must be that of its directory, 'web'"},
    {"enable: WEB_ENABLED", "enable: WEB", "stack.yaml:4: enable: expected a key that ends in _ENABLED"},
    {"summary: server of pages", "summary: Serves pages.", "stack.yaml:3: summary: "},
    {"    max: 2G\n", "", "stack.yaml:7: keys[1]: WEB_CACHE: min must not be above max"},
    {"required: true", "required_when: WEB_MOD", "stack.yaml:13: keys[3].required_when: there is no key WEB_MOD"},
    {"default: safe", "default: slow", "stack.yaml:12: keys[2]: WEB_MODE: default is not valid for the type"},
    {"path: /etc/web.conf", "path: /srv/web.conf", "stack.yaml:15: files[0].path: expected a path below /etc or /run"},
    {"    from: local", "    from: WEB_MODE", "stack.yaml:19: ports[1].from: expected any, local, or a key"},
    {"  - port: 9000", "  - port: 0", "stack.yaml:18: ports[1].port: expected a port"},
    {"kind: http, url: \"http://127.0.0.1:{{word WEB_PORT}}/\", expect: 204", "kind: tcp, address: \"192.0.2.1:80\"",
     "stack.yaml:25: health[0].address: expected an address of this machine"},
    {"{{word WEB_PORT}}", "{{word WEB}}", "stack.yaml:25: health[0].url"},
    // templates
    {"template: web.conf", "template: web.cnf", "stack.yaml:15: files[0].template: there is no "},
    {"mode: \"0640\"", "mode: \"0644\"", "stack.yaml:15: files[0].mode: web.conf uses a secret, so others may have no rights"},
    {"name: WEB_KEY_FILE", "name: WEB_OTHER_FILE", "templates/web.conf:2: "},
};

static void put(const struct scratch *scratch, const char *name, const char *text) {
    struct err err = {0};
    cleanup_free char *dir = str_printf("%.*s", (int)(strrchr(name, '/') - name), name);
    assert_int_equal(file_mkdirs(scratch->fd, dir, 0755, &err), 0);
    assert_int_equal(file_publish(scratch->fd, name, text, strlen(text), 0644, &err), 0);
}

static int load(const struct scratch *scratch, struct stack_set *ret_set, struct err *err) {
    return recipe_load_tree(scratch->path, ret_set, err);
}

static void bad_ones(void **state) {
    struct scratch *scratch = *state;
    put(scratch, "overlays/web/templates/web.conf", template);
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
        const char *at = strstr(good, edits[i].from);
        if (!at)
            fail_msg("row %zu: '%s' is not in the text", i, edits[i].from);
        cleanup_free char *text = str_printf("%.*s%s%s", (int)(at - good), good, edits[i].to, at + strlen(edits[i].from));
        cleanup_stack_set struct stack_set set = {0};
        struct err err = {0};
        put(scratch, "overlays/web/stack.yaml", text);
        if (load(scratch, &set, &err) >= 0)
            fail_msg("row %zu was accepted: %s", i, edits[i].to);
        const char *dir = strstr(err.text, "/overlays/web/");
        if (!dir || strncmp(dir + strlen("/overlays/web/"), edits[i].says, strlen(edits[i].says)) != 0)
            fail_msg("row %zu: '%s' does not begin with '%s'", i, err.text, edits[i].says);
    }
}

static void trees(void **state) {
    struct scratch *scratch = *state;
    struct stack_set set = {0};
    struct err err = {0};
    assert_int_equal(load(scratch, &set, &err), -ENOENT);
    put(scratch, "overlays/plain/layer.yaml", "name: plain\n");
    assert_int_equal(load(scratch, &set, &err), 0);
    assert_int_equal(set.count, 0);
    stack_set_done(&set);
    put(scratch, "overlays/web/stack.yaml", good);
    put(scratch, "overlays/web/templates/web.conf", template);
    put(scratch, "overlays/other/stack.yaml", "name: other\nsummary: needs the first\nenable: OTHER_ENABLED\nrequires: [WEB_ENABLED]\n");
    assert_int_equal(load(scratch, &set, &err), 0);
    assert_int_equal(set.count, 2);
    assert_string_equal(set.stacks[0]->name, "web");
    assert_non_null(schema_find(&set.schema, "WEB_PORT"));
    assert_non_null(schema_find(&set.schema, "HOSTNAME"));
    stack_set_done(&set);
    put(scratch, "overlays/web/templates/left.over", "");
    assert_int_equal(load(scratch, &set, &err), -EINVAL);
    assert_contains(err.text, "/overlays/web/templates/left.over: no file of stack.yaml is made from it");
    put(scratch, "overlays/other/stack.yaml", "");
    assert_int_equal(load(scratch, &set, &err), -EINVAL);
    assert_contains(err.text, "/overlays/other/stack.yaml:1: ");
}

static void circles(void **state) {
    struct scratch *scratch = *state;
    struct stack_set set = {0};
    struct err err = {0};
    put(scratch, "overlays/a/stack.yaml", "name: a\nsummary: first\nenable: A_ENABLED\nrequires: [B_ENABLED]\n");
    put(scratch, "overlays/b/stack.yaml", "name: b\nsummary: second\nenable: B_ENABLED\nrequires: [A_ENABLED]\n");
    assert_int_equal(load(scratch, &set, &err), -EINVAL);
    assert_contains(err.text, "a → b → a");
}

// A conflict may name a key that an image does not know; one that no stack of the tree has is a slip.
static void check_conflicts(const char *root, const struct stack_set *set) {
    for (size_t i = 0; i < set->count; i++)
        for (size_t k = 0; k < set->stacks[i]->conflicts.count; k++)
            if (!schema_find(&set->schema, set->stacks[i]->conflicts.items[k]))
                fail_msg("%s/overlays/%s/stack.yaml: conflicts: no stack has %s", root, set->stacks[i]->name,
                         set->stacks[i]->conflicts.items[k]);
}

// Every stack.yaml in the source tree, with its templates.
static void shipped(void **state) {
    static const char *const roots[] = {".", "qemu-tests"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
        cleanup_stack_set struct stack_set set = {0};
        struct err err = {0};
        if (recipe_load_tree(roots[i], &set, &err) < 0)
            fail_msg("%s", err.text);
        check_conflicts(roots[i], &set);
        for (size_t k = 0; k < set.count; k++) {
            cleanup_free char *layer = str_printf("%s/overlays/%s/layer.yaml", roots[i], set.stacks[k]->name);
            assert_true(file_exists(AT_FDCWD, layer));
        }
    }
}

// So does every profile: its stacks go together in one image.
static void shipped_profiles(void **state) {
    static const char *const dirs[] = {"profiles", "qemu-tests/profiles"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
        cleanup_dir DIR *dir = opendir(dirs[i]);
        assert_non_null(dir);
        for (const struct dirent *entry; (entry = readdir(dir));) {
            cleanup_free char *path = str_printf("%s/%s", dirs[i], entry->d_name);
            cleanup(recipe_done) struct recipe recipe = {0};
            struct err err = {0};
            if (strstr(entry->d_name, ".yaml") && recipe_load(path, &(struct recipe_paths){.data_dir = "."}, &recipe, &err) < 0)
                fail_msg("%s", err.text);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_one),
        cmocka_unit_test_setup_teardown(bad_ones, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(trees, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(circles, scratch_setup, scratch_teardown),
        cmocka_unit_test(shipped),
        cmocka_unit_test(shipped_profiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
