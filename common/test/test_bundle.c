// SPDX-License-Identifier: Apache-2.0
// The fixed head of a bundle: its bytes, its limits, and nothing else.
#include "common/bundle.h"
#include "common/test/support.h"
#include <errno.h>

static const uint8_t seed[BUNDLE_FIXED_BYTES] = {'W', 'E', 'B', 'O', 'P', 'S', 'B', 'U', 1, 0, 0, 0, 0x34, 0x12, 0, 0, 0x78, 0x06};

static void assert_refused(const uint8_t *bytes, const char *word) {
    struct bundle_head head = {0xaaaa, 0xbbbb};
    struct err err = {0};
    assert_int_equal(bundle_head_parse(bytes, &head, &err), -EINVAL);
    assert_contains(err.text, word);
    assert_int_equal(head.manifest_bytes, 0xaaaa);
    assert_int_equal(head.signature_bytes, 0xbbbb);
}

static void test_bytes(void **state) {
    (void)state;
    struct bundle_head head;
    struct err err = {0};
    uint8_t again[BUNDLE_FIXED_BYTES];
    assert_int_equal(bundle_head_parse(seed, &head, &err), 0);
    assert_int_equal(head.manifest_bytes, 0x1234);
    assert_int_equal(head.signature_bytes, 0x0678);
    memset(again, 0xff, sizeof(again));
    bundle_head_format(&head, again);
    assert_memory_equal(again, seed, sizeof(seed));
}

static void test_limits(void **state) {
    (void)state;
    static const struct {
        struct bundle_head head;
        const char *word; // NULL: taken
    } cases[] = {
        {{1, 1}, NULL},
        {{MANIFEST_MAX_BYTES, BUNDLE_MAX_SIGNATURE_BYTES}, NULL},
        {{0, 1}, "a manifest of 0 bytes"},
        {{1, 0}, "a signature of 0 bytes"}, // nobody signed it
        {{MANIFEST_MAX_BYTES + 1, 1}, "a manifest of 65537 bytes"},
        {{1, BUNDLE_MAX_SIGNATURE_BYTES + 1}, "a signature of 32769 bytes"},
        {{1 << 30, 1}, "a manifest of"},
        {{UINT32_MAX, 1}, "a manifest of"},
        {{1, UINT32_MAX}, "a signature of"},
        {{INT32_MAX, INT32_MAX}, "a manifest of"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint8_t bytes[BUNDLE_FIXED_BYTES];
        struct bundle_head head;
        struct err err = {0};
        bundle_head_format(&cases[i].head, bytes);
        if (cases[i].word) {
            assert_refused(bytes, cases[i].word);
            continue;
        }
        assert_int_equal(bundle_head_parse(bytes, &head, &err), 0);
        assert_memory_equal(&head, &cases[i].head, sizeof(head));
    }
}

// A flip is refused, or it makes another size, which is read as it stands.
static void test_every_bit_flip(void **state) {
    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof(seed); bit++) {
        uint8_t bytes[BUNDLE_FIXED_BYTES], again[BUNDLE_FIXED_BYTES];
        struct bundle_head head;
        struct err err = {0};
        memcpy(bytes, seed, sizeof(bytes));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        size_t at = bit / 8;
        if (at < 8)
            assert_refused(bytes, "no magic");
        else if (at < 12)
            assert_refused(bytes, "this program reads format 1");
        else if (at >= 20)
            assert_refused(bytes, "unused bytes");
        else if (bundle_head_parse(bytes, &head, &err) == 0) {
            bundle_head_format(&head, again);
            assert_memory_equal(again, bytes, sizeof(bytes));
            assert_memory_not_equal(again, seed, sizeof(seed));
        } else {
            assert_contains(err.text, "are possible");
        }
    }
}

static void test_where_the_payload_is(void **state) {
    (void)state;
    static const struct {
        struct bundle_head head;
        uint64_t bytes, payload;
    } cases[] = {{{1, 1}, 34, 4096},
                 {{4000, 64}, 4096, 4096},
                 {{4000, 65}, 4097, 8192},
                 {{MANIFEST_MAX_BYTES, BUNDLE_MAX_SIGNATURE_BYTES}, BUNDLE_MAX_HEAD_BYTES, 102400}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(bundle_head_bytes(&cases[i].head), cases[i].bytes);
        assert_int_equal(bundle_payload_offset(&cases[i].head), cases[i].payload);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_every_bit_flip),
        cmocka_unit_test(test_where_the_payload_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
