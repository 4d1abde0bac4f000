// SPDX-License-Identifier: Apache-2.0
// The report is read back by Python's XML parser, whatever bytes a console left in it.
#include "builder/junit.h"
#include "builder/test/support.h"

static char *format(const struct junit_case *cases, size_t count) {
    struct buf xml = {0};
    junit_format("image \"a\" & <b>", cases, count, &xml);
    return buf_take(&xml);
}

// What Python's parser sees, one line per suite and case: tag, sorted attributes, text.
static char *parsed(const struct scratch *scratch, const char *xml) {
    static const char program[] = "import sys, xml.etree.ElementTree as tree\n"
                                  "for node in tree.parse(sys.argv[1]).getroot().iter():\n"
                                  "    print(node.tag, sorted(node.attrib.items()), repr((node.text or '').strip()))\n";
    cleanup_free char *path = scratch_file(scratch, "report.xml");
    put_file(path, xml, strlen(xml));
    return tool(RUN_ARGV("/usr/bin/python3", "-c", program, path));
}

static void cases_and_sums(void **state) {
    static const struct junit_case cases[] = {
        {.name = "boot", .duration_ms = 1250, .was_run = true, .output = "fine"},
        {.name = "break", .duration_ms = 2000, .was_run = true, .failure = "it \"stays\" <down> & out"},
        {.name = "rollback"},
    };
    cleanup_free char *xml = format(cases, ARRAY_SIZE(cases));
    cleanup_free char *seen = parsed(*state, xml);
    assert_contains(seen, "testsuite [('errors', '0'), ('failures', '1'), ('name', 'image \"a\" & <b>'), ('skipped', '1'), ('tests', '3'), "
                          "('time', '3.250')]");
    assert_contains(seen, "('name', 'boot'), ('time', '1.250')]");
    assert_contains(seen, "system-out [] 'fine'");
    assert_contains(seen, "failure [('message', 'it \"stays\" <down> & out')]");
    const char *last = strstr(seen, "('name', 'rollback')");
    assert_non_null(last);
    assert_contains(last, "skipped [] ''");
    assert_null(strstr(last, "failure"));
    // The one that was run and passed is neither.
    assert_null(strstr(strstr(seen, "'boot'"), "skipped [] ''\ntestcase [('classname', 'image \"a\" & <b>'), ('name', 'break')"));
}

static void any_bytes_give_xml(void **state) {
    static const struct {
        const char *text, *expected;
    } table[] = {
        {"a\033[0;32mgreen\033[0m", "'a?[0;32mgreen?[0m'"},
        {"tab\tand\nline", "'tab\\tand\\nline'"},
        {"]]> <![CDATA[ &amp;", "']]> <![CDATA[ &amp;'"},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x99\x82", "'\xc3\xa4 \xe2\x82\xac \xf0\x9f\x99\x82'"},
        {"half \xe2\x82", "'half ?"
                          "?'"},
        {"alone \x82", "'alone "
                       "?'"},
        {"too long \xc0\xaf", "'too long ?"
                              "?'"}, // an overlong '/'
        {"surrogate \xed\xa0\x80", "'surrogate ??"
                                   "?'"},
        {"beyond \xf4\x90\x80\x80", "'beyond ???"
                                    "?'"},
        {"not a character \xef\xbf\xbf", "'not a character ??"
                                         "?'"},
        {"\x01\x08\x0b\x0c\x1f\x7f.", "'??????.'"},
        {"\xff\xfe.", "'??.'"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        const struct junit_case item = {.name = "x", .was_run = true, .output = table[i].text};
        cleanup_free char *xml = format(&item, 1);
        cleanup_free char *seen = parsed(*state, xml);
        assert_contains(seen, table[i].expected);
    }
}

static void every_byte_alone_is_read_back(void **state) {
    struct buf all = {0};
    for (int c = 1; c < 256; c++)
        buf_add(&all, &(char){(char)c}, 1);
    cleanup_free char *text = buf_take(&all);
    const struct junit_case item = {.name = text, .was_run = true, .failure = text, .output = text};
    cleanup_free char *xml = format(&item, 1);
    cleanup_free char *seen = parsed(*state, xml);
    assert_contains(seen, "abcdefghijklmnopqrstuvwxyz");
}

static void an_empty_suite(void **state) {
    cleanup_free char *xml = format(NULL, 0);
    cleanup_free char *seen = parsed(*state, xml);
    assert_contains(seen, "('tests', '0')");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(cases_and_sums, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(any_bytes_give_xml, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(every_byte_alone_is_read_back, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(an_empty_suite, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
