// SPDX-License-Identifier: Apache-2.0
// Any text is a JSON string: names of files may be any bytes.
#include "common/jsontext.h"
#include "common/test/support.h"

static void any_text_is_told(void **state) {
    (void)state;
    static const struct {
        const char *text, *json;
    } rows[] = {
        {"", ""},
        {"etc/motd", "etc/motd"},
        {"gr\xc3\xbc\xc3\x9f.env", "gr\xc3\xbc\xc3\x9f.env"},
        {"gr\xfc\xdf.env", "gr\\xfc\\xdf.env"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
        {"\xff", "\\xff"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        json_t *json = jsontext(rows[i].text);
        assert_non_null(json);
        assert_string_equal(json_string_value(json), rows[i].json);
        json_decref(json);
    }
    assert_true(json_is_null(jsontext(NULL)));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_text_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
