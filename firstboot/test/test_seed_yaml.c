// SPDX-License-Identifier: Apache-2.0
// The strict YAML subset: accepted shapes against the tree they must give, everything else refused with its line, hostile bytes.
#include "common/test/support.h"
#include "firstboot/seed_yaml.h"
#include <errno.h>

// The tree on one line: {key:value,…}, [value,…], scalars as 'text'.
static void dump(const struct seed_yaml *yaml, const struct seed_yaml_node *node, struct buf *buf) {
    static const char *const brackets[] = {[SEED_SCALAR] = "''", [SEED_LIST] = "[]", [SEED_MAP] = "{}"};
    buf_add(buf, &brackets[node->kind][0], 1);
    if (node->kind == SEED_SCALAR)
        buf_add_str(buf, node->text);
    for (const struct seed_yaml_node *member = seed_yaml_first(yaml, node); member; member = seed_yaml_next(yaml, member)) {
        if (member != seed_yaml_first(yaml, node))
            buf_add_str(buf, ",");
        if (node->kind == SEED_MAP)
            buf_printf(buf, "%s:", member->key);
        dump(yaml, member, buf);
    }
    buf_add(buf, &brackets[node->kind][1], 1);
}

static void trees(void **state) {
    (void)state;
    static const struct {
        const char *text, *tree;
    } cases[] = {
        {"", "{}"},
        {"\n# only a comment\n", "{}"},
        {"---\n", "{}"},
        {"a: b", "{a:'b'}"},
        {"---\na: b\n", "{a:'b'}"},
        {"a: b\nc: d\n", "{a:'b',c:'d'}"},
        {"a:\n", "{a:''}"},
        {"a: # nothing\nb: c # d\n", "{a:'',b:'c'}"},
        {"a: b#c\n", "{a:'b#c'}"},
        {"a: 'b # c'  # d\n", "{a:'b # c'}"},
        {"a: \"b: c\"\n", "{a:'b: c'}"},
        {"\"a\": 'b'\n'c d': e\n", "{a:'b',c d:'e'}"},
        {"a: ''\n", "{a:''}"},
        {"52:54:00:12:34:56: x\n", "{52:54:00:12:34:56:'x'}"},
        {"a: 52:54:00:12:34:56\n", "{a:'52:54:00:12:34:56'}"},
        {"a:   b c  \n", "{a:'b c'}"},
        {"a: -5\n", "{a:'-5'}"},
        {"a:\n  b: c\n  d:\n    e: f\ng: h\n", "{a:{b:'c',d:{e:'f'}},g:'h'}"},
        {"- a\n- b\n", "['a','b']"},
        {"a:\n- b\n- c\nx: e\n", "{a:['b','c'],x:'e'}"},
        {"a:\n    - b\n    - c\n", "{a:['b','c']}"},
        {"- a: 1\n  b: 2\n- a: 3\n", "[{a:'1',b:'2'},{a:'3'}]"},
        {"-   a: 1\n    b: 2\n", "[{a:'1',b:'2'}]"},
        {"-\n  a: 1\n-\n- b\n", "[{a:'1'},'','b']"},
        {"- # comment\n  a: 1\n", "[{a:'1'}]"},
        {"- - a\n  - b\n- c\n", "[['a','b'],'c']"},
        {"- a:\n  - b\n  c: d\n", "[{a:['b'],c:'d'}]"},
        {"a: []\nb: {}\n", "{a:[],b:{}}"},
        {"a: [b, 'c d', \"e\", 1.2.3.4/24 ]\n", "{a:['b','c d','e','1.2.3.4/24']}"},
        {"a: [b,c,]  # d\n", "{a:['b','c']}"},
        {"- [a]\n- [b]\n", "[['a'],['b']]"},
        {"plain\n", "'plain'"},
        {"a: b: c\n", "{a:'b: c'}"},
        {"{}", "{}"},
        {" \n{\"a\": \"b\", \"c\": [1, true, null, {\"d\": false}]}", "{a:'b',c:['1','true','',{d:'false'}]}"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_seed_yaml struct seed_yaml yaml = {0};
        cleanup_config_problems struct config_problems problems = {0};
        cleanup_buf struct buf tree = {0};
        if (seed_yaml_parse(cases[i].text, strlen(cases[i].text), &yaml, &problems) < 0)
            fail_msg("case %zu: line %u: %s", i, problems.items[0].line, problems.items[0].text);
        dump(&yaml, &yaml.nodes[0], &tree);
        assert_string_equal(buf_str(&tree), cases[i].tree);
    }
}

static void refusals(void **state) {
    (void)state;
    static const struct {
        const char *text;
        unsigned line;
    } cases[] = {
        {"a: b\na: c\n", 2},
        {"a: b\n  c: d\n", 2},
        {"a:\n    b: c\n  d: e\n", 3},
        {"a:\n  b: c\n    d: e\n", 3},
        {"  a: b\nc: d\n", 2},
        {"- a\nb: c\n", 2},
        {"a: b\n- c\n", 2},
        {"a: b\nc\n", 2},
        {"a\nb\n", 2},
        {"a: &anchor b\n", 1},
        {"a: *alias\n", 1},
        {"a: !!str b\n", 1},
        {"a: |\n  text\n", 1},
        {"a: >\n  text\n", 1},
        {"? a\n", 1},
        {"a: @b\n", 1},
        {"a: `b`\n", 1},
        {"a: %b\n", 1},
        {"a: 'b\n", 1},
        {"a: \"b\n", 1},
        {"a: 'b' c\n", 1},
        {"a: 'b''c'\n", 1},
        {"a: \"b\\n\"\n", 1},
        {"'a: b\n", 1},
        {": b\n", 1},
        {"'': b\n", 1},
        {"a: {b: c}\n", 1},
        {"a: [b\n", 1},
        {"a: [b, [c]]\n", 1},
        {"a: [b] c\n", 1},
        {"a: [,]\n", 1},
        {"a: [b,,c]\n", 1},
        {"a: [{b: c}]\n", 1},
        {"a: b\n\tc: d\n", 2},
        {"a:\tb\n", 1},
        {"a: b\r\n", 1},
        {"a: b\n...\n", 2},
        {"a: b\n---\nc: d\n", 2},
        {"{\"a\": 1, \"a\": 2}", 1},
        {"{\"a\": 1", 1},
        {"{\"a\": \"\\u0000\"}", 1},
        {"{} x", 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_seed_yaml struct seed_yaml yaml = {0};
        cleanup_config_problems struct config_problems problems = {0};
        if (seed_yaml_parse(cases[i].text, strlen(cases[i].text), &yaml, &problems) != -EINVAL)
            fail_msg("accepted: %s", cases[i].text);
        assert_int_equal(problems.count, 1);
        if (problems.items[0].line != cases[i].line)
            fail_msg("%s: line %u, not %u: %s", cases[i].text, problems.items[0].line, cases[i].line, problems.items[0].text);
        assert_int_equal(yaml.count, 0);
        assert_null(yaml.nodes);
    }
}

static void limits(void **state) {
    (void)state;
    static const struct {
        const char *piece;
        unsigned good, bad; // how often it may stand there
    } cases[] = {{"- ", SEED_YAML_MAX_DEPTH, SEED_YAML_MAX_DEPTH + 2},
                 {"- x\n", SEED_YAML_MAX_NODES - 1, SEED_YAML_MAX_NODES},
                 {"# 345678901234\n", 4369, 4370}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (int is_bad = 0; is_bad < 2; is_bad++) {
            cleanup_buf struct buf text = {0};
            cleanup_seed_yaml struct seed_yaml yaml = {0};
            cleanup_config_problems struct config_problems problems = {0};
            for (unsigned n = is_bad ? cases[i].bad : cases[i].good; n > 0; n--)
                buf_add_str(&text, cases[i].piece);
            assert_int_equal(seed_yaml_parse(buf_str(&text), text.size, &yaml, &problems), is_bad ? -EINVAL : 0);
        }
}

static void json_limits(void **state) {
    (void)state;
    cleanup_buf struct buf text = {0};
    cleanup_seed_yaml struct seed_yaml yaml = {0};
    cleanup_config_problems struct config_problems problems = {0};
    buf_add_str(&text, "{\"a\":");
    for (int i = 0; i < 1000; i++)
        buf_add_str(&text, "[");
    for (int i = 0; i < 1000; i++)
        buf_add_str(&text, "]");
    buf_add_str(&text, "}");
    assert_int_equal(seed_yaml_parse(buf_str(&text), text.size, &yaml, &problems), -EINVAL);
    assert_contains(problems.items[0].text, "nested");
}

static void lookups(void **state) {
    (void)state;
    static const char text[] = "a:\n  b: c\n  d: [e]\nf: g\n";
    cleanup_seed_yaml struct seed_yaml yaml = {0};
    cleanup_config_problems struct config_problems problems = {0};
    assert_int_equal(seed_yaml_parse(text, sizeof(text) - 1, &yaml, &problems), 0);
    const struct seed_yaml_node *root = &yaml.nodes[0], *a = seed_yaml_find(&yaml, root, "a");
    assert_int_equal(a->line, 1);
    assert_int_equal(seed_yaml_find(&yaml, a, "d")->line, 3);
    assert_string_equal(seed_yaml_text(&yaml, a, "b"), "c");
    assert_string_equal(seed_yaml_text(&yaml, root, "f"), "g");
    assert_null(seed_yaml_text(&yaml, a, "d")); // a list
    assert_null(seed_yaml_text(&yaml, a, "x"));
    assert_null(seed_yaml_find(&yaml, seed_yaml_find(&yaml, root, "f"), "x")); // of a scalar
    assert_null(seed_yaml_find(&yaml, NULL, "x"));
    assert_null(seed_yaml_first(&yaml, NULL));
    assert_null(seed_yaml_next(&yaml, NULL));
}

// Every byte value at every position, and every truncation.
static void hostile_bytes(void **state) {
    (void)state;
    static const char seed[] = "a:\n  - b: 'c'\n    d: [e, f]\n  - \"g\"\n# h\ni: {}\n";
    size_t size = sizeof(seed) - 1;
    for (size_t at = 0; at < size; at++)
        for (int byte = -1; byte < 256; byte++) {
            size_t length = byte < 0 ? at : size; // -1: cut here
            cleanup_free char *text = mem_array(length, 1);
            memcpy(text, seed, length);
            if (byte >= 0)
                text[at] = (char)byte;
            cleanup_seed_yaml struct seed_yaml yaml = {0};
            cleanup_config_problems struct config_problems problems = {0};
            int r = seed_yaml_parse(text, length, &yaml, &problems);
            assert_int_equal(problems.count, r < 0 ? 1 : 0);
            assert_int_equal(yaml.count == 0, r < 0);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trees),       cmocka_unit_test(refusals), cmocka_unit_test(limits),
        cmocka_unit_test(json_limits), cmocka_unit_test(lookups),  cmocka_unit_test(hostile_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
