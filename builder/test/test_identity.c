// SPDX-License-Identifier: Apache-2.0
// Identifiers: stable, shaped as UUIDs, and different for every part that goes in.
#include "builder/identity.h"
#include "builder/test/support.h"
#include <ctype.h>

static void same_inputs_same_text(void **state) {
    (void)state;
    char a[IDENTITY_UUID_BYTES], b[IDENTITY_UUID_BYTES];
    identity_uuid(&(struct identity){"quickstart", "1.0"}, "disk", a);
    identity_uuid(&(struct identity){"quickstart", "1.0"}, "disk", b);
    assert_string_equal(a, b);
    assert_string_equal(a, "0BB1575A-38AD-4ADB-A933-3AB13538CF3B"); // a change here changes every image that is built again
}

static void shape(void **state) {
    (void)state;
    char uuid[IDENTITY_UUID_BYTES];
    identity_uuid(&(struct identity){"p", "v"}, "x", uuid);
    assert_int_equal(strlen(uuid), 36);
    for (unsigned i = 0; i < 36; i++)
        assert_true(i == 8 || i == 13 || i == 18 || i == 23 ? uuid[i] == '-'
                                                            : isxdigit((unsigned char)uuid[i]) && !islower((unsigned char)uuid[i]));
    assert_int_equal(uuid[14], '4');
    assert_non_null(strchr("89AB", uuid[19]));
}

static void every_part_counts(void **state) {
    (void)state;
    static const struct {
        struct identity identity;
        const char *purpose;
    } cases[] = {
        {{"ab", "c"}, "d"}, {{"a", "bc"}, "d"}, {{"ab", "c"}, "e"}, {{"ab", "cd"}, ""}, {{"ab", ""}, "cd"}, {{"", "abc"}, "d"},
    };
    char uuids[ARRAY_SIZE(cases)][IDENTITY_UUID_BYTES];
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        identity_uuid(&cases[i].identity, cases[i].purpose, uuids[i]);
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(uuids[i], uuids[j]);
            assert_int_not_equal(identity_u32(&cases[i].identity, cases[i].purpose), identity_u32(&cases[j].identity, cases[j].purpose));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_inputs_same_text),
        cmocka_unit_test(shape),
        cmocka_unit_test(every_part_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
