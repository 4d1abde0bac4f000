// SPDX-License-Identifier: Apache-2.0
// Alias patterns: real ones, and all short patterns against all short texts with the C library's fnmatch() as the judge.
#include "common/test/support.h"
#include "firstboot/init/match.h"
#include <fnmatch.h>

static void test_real_aliases(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *text;
        bool is_match;
    } cases[] = {
        {"pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", true},
        {"pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v00008086d00001001sv00001AF4sd00000002bc01sc00i00", false},
        {"pci:v*d*sv*sd*bc01sc08i02*", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", true},
        {"pci:v*d*sv*sd*bc01sc06i01*", "pci:v00001B36d00000010sv00001AF4sd00001100bc01sc08i02", false},
        {"virtio:d00000002v*", "virtio:d00000002v00001AF4", true},
        {"virtio:d00000002v*", "virtio:d00000008v00001AF4", false},
        {"usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*", "usb:v0781p5567d0100dc00dsc00dp00ic08isc06ip50in00", true},
        {"usb:v0781p5567d01[0-4]*dc*", "usb:v0781p5567d0130dc00", true},
        {"usb:v0781p5567d01[0-4]*dc*", "usb:v0781p5567d0150dc00", false},
        {"acpi*:PNP0A0[38]:*", "acpi:PNP0A08:PNP0A03:", true},
        {"scsi:t-0x00*", "scsi:t-0x00", true},
        {"scsi:t-0x00*", "scsi:t-0x05", false},
        {"cpu:type:x86,ven*fam*mod*:feature:*008D*", "cpu:type:x86,ven0002fam0019mod0001:feature:,0000,008D,00FF", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (match_pattern(cases[i].pattern, cases[i].text) != cases[i].is_match)
            fail_msg("%s against %s", cases[i].pattern, cases[i].text);
}

// The n-th string over an alphabet, length first; "" is number 0.
static void nth(const char *alphabet, unsigned n, char *ret_text) {
    size_t size = strlen(alphabet), length = 0;
    for (; n; n = (n - 1) / (unsigned)size)
        ret_text[length++] = alphabet[(n - 1) % size];
    ret_text[length] = '\0';
}

static void compare_all(const char *pattern_alphabet, unsigned patterns, const char *text_alphabet, unsigned texts) {
    char pattern[16], text[16];
    for (unsigned p = 0; p < patterns; p++) {
        nth(pattern_alphabet, p, pattern);
        for (unsigned t = 0; t < texts; t++) {
            nth(text_alphabet, t, text);
            bool expected = fnmatch(pattern, text, 0) == 0;
            if (match_pattern(pattern, text) != expected)
                fail_msg("'%s' against '%s': fnmatch says %d", pattern, text, expected);
        }
    }
}

static void test_agrees_with_fnmatch(void **state) {
    (void)state;
    compare_all("ab*?", 4 + 16 + 64 + 256 + 1024 + 4096 + 1, "ab", 2 + 4 + 8 + 16 + 32 + 1);
    compare_all("a*[]!", 5 + 25 + 125 + 625 + 3125 + 15625 + 1, "a!]", 3 + 9 + 27 + 1);
    compare_all("ac[]-", 5 + 25 + 125 + 625 + 3125 + 15625 + 1, "abc-", 4 + 16 + 1);
}

static void test_escapes(void **state) {
    (void)state;
    assert_true(match_pattern("a\\*b", "a*b"));
    assert_false(match_pattern("a\\*b", "axb"));
    assert_true(match_pattern("\\[a]", "[a]"));
    assert_true(match_pattern("a\\", "a\\")); // at the end it stands for itself
}

// Exponential matchers take longer than the age of the universe for this one.
static void test_many_stars(void **state) {
    (void)state;
    char pattern[401], text[201];
    for (int i = 0; i < 200; i++)
        memcpy(pattern + 2 * i, "*a", 2);
    memcpy(pattern + 398, "*b", 3);
    memset(text, 'a', 200);
    text[200] = '\0';
    assert_false(match_pattern(pattern, text));
    text[199] = 'b';
    assert_true(match_pattern(pattern, text));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_aliases),
        cmocka_unit_test(test_agrees_with_fnmatch),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_many_stars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
