// SPDX-License-Identifier: Apache-2.0
// The webops.slot= kernel parameter, hex, and the size of the hash tree.
#include "common/slot.h"
#include "common/test/support.h"
#include <errno.h>

#define ID "000102030405060708090a0b0c0d0e0f"
#define HASH "f0e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff"
#define GOOD ID ":12345:" HASH

static void test_parse_and_format(void **state) {
    (void)state;
    static const char *values[] = {
        GOOD, ID ":1:" HASH, ID ":9:" HASH,
        ID ":268435456:" HASH, // 2^28 blocks are 2^40 bytes, the largest slot
    };
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        struct slot_boot boot;
        struct err err = {0};
        char text[SLOT_BOOT_TEXT_BYTES];
        assert_int_equal(slot_boot_parse(values[i], &boot, &err), 0);
        assert_int_equal(slot_boot_format(&boot, text), strlen(values[i]));
        assert_string_equal(text, values[i]);
    }
    struct slot_boot boot;
    struct err err = {0};
    assert_int_equal(slot_boot_parse(GOOD, &boot, &err), 0);
    assert_int_equal(boot.data_blocks, 12345);
    assert_int_equal(boot.id[0], 0);
    assert_int_equal(boot.id[15], 15);
    assert_int_equal(boot.root_hash[0], 0xf0);
    assert_int_equal(boot.root_hash[31], 0xff);
}

static const char *const bad_values[] = {
    "",
    ":",
    "::",
    ID,
    ID ":",
    ID ":1",
    ID ":1:",
    ID "::" HASH,
    ID ":0:" HASH,
    ID ":01:" HASH,
    ID ":+1:" HASH,
    ID ":-1:" HASH,
    ID ": 1:" HASH,
    ID ":1 :" HASH,
    ID ":0x10:" HASH,
    ID ":1a:" HASH,
    ID ":268435457:" HASH,
    ID ":4294967297:" HASH,
    ID ":18446744073709551616:" HASH,
    ID ":18446744073709551617:" HASH,
    ID ":99999999999999999999999:" HASH,
    ID ".12345:" HASH,
    ID ":12345." HASH,
    "000102030405060708090a0b0c0d0e0:12345:" HASH,
    "000102030405060708090a0b0c0d0e0f0:12345:" HASH,
    "000102030405060708090A0B0C0D0E0F:12345:" HASH,
    "000102030405060708090a0b0c0d0e0g:12345:" HASH,
    " " GOOD,
    GOOD " ",
    GOOD "0",
    GOOD ":",
    ID ":12345:F0E1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeeff",
    ID ":12345:f0e1d2c3b4a5968778695a4b3c2d1e0f00112233445566778899aabbccddeef",
    ID ":12345:f0e1d2c3b4a5968778695a4b3c2d1e0f0011223344556677-899aabbccddeeff",
};

static void test_parse_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad_values); i++) {
        struct slot_boot boot, before;
        struct err err = {0};
        memset(&before, 0x5a, sizeof(before));
        memcpy(&boot, &before, sizeof(boot));
        cleanup_free char *exact = str_dup(bad_values[i]);
        if (slot_boot_parse(exact, &boot, &err) != -EINVAL)
            fail_msg("'%s' was accepted", bad_values[i]);
        assert_contains(err.text, "webops.slot= is not <slot id");
        assert_memory_equal(&boot, &before, sizeof(boot));
    }
}

static void test_parse_every_truncation(void **state) {
    (void)state;
    for (size_t size = 0; size < strlen(GOOD); size++) {
        struct slot_boot boot;
        struct err err = {0};
        cleanup_free char *cut = str_printf("%.*s", (int)size, GOOD);
        assert_int_equal(slot_boot_parse(cut, &boot, &err), -EINVAL);
    }
}

static void test_find(void **state) {
    (void)state;
    static const struct {
        const char *line;
        int code;
        const char *word; // of the message; NULL where the parameter is found
    } cases[] = {
        {"webops.slot=" GOOD, 0, NULL},
        {"quiet webops.slot=" GOOD " panic=-1", 0, NULL},
        {"quiet\twebops.slot=" GOOD "\n", 0, NULL},
        {"   webops.slot=" GOOD "   ", 0, NULL},
        {"xwebops.slot=1 webops.slots=2 webops.slot webops.slot=" GOOD, 0, NULL},
        {"", -ENOENT, "no webops.slot="},
        {"   ", -ENOENT, "no webops.slot="},
        {"quiet webops.slo", -ENOENT, "no webops.slot="},
        {"quiet webops.slot", -ENOENT, "no webops.slot="},
        {"a.webops.slot=" GOOD, -ENOENT, "no webops.slot="},
        {"WEBOPS.SLOT=" GOOD, -ENOENT, "no webops.slot="},
        {"webops.slot=", -EINVAL, "is not"},
        {"webops.slot= " GOOD, -EINVAL, "is not"},
        {"webops.slot=" GOOD "," GOOD, -EINVAL, "too long"},
        {"webops.slot=" GOOD " webops.slot=" GOOD, -EINVAL, "twice"},
        {"webops.slot= webops.slot=" GOOD, -EINVAL, "twice"},
        {"webops.slot=" GOOD " quiet webops.slot=", -EINVAL, "twice"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct slot_boot boot = {.data_blocks = 99};
        struct err err = {0};
        cleanup_free char *exact = str_dup(cases[i].line);
        int r = slot_boot_find(exact, &boot, &err);
        if (r != cases[i].code)
            fail_msg("'%s' gave %d", cases[i].line, r);
        if (cases[i].word)
            assert_contains(err.text, cases[i].word);
        assert_int_equal(boot.data_blocks, cases[i].word ? 99 : 12345);
    }
}

// The longest value that fits the copy and the first that does not, both far from valid: neither may write beyond it.
static void test_find_bounds(void **state) {
    (void)state;
    static const size_t sizes[] = {SLOT_BOOT_TEXT_BYTES - 1, SLOT_BOOT_TEXT_BYTES, SLOT_BOOT_TEXT_BYTES + 1, 4096};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct slot_boot boot;
        struct err err = {0};
        cleanup_buf struct buf line = {0};
        buf_add_str(&line, "webops.slot=");
        for (size_t n = 0; n < sizes[i]; n++)
            buf_add_str(&line, "0");
        assert_int_equal(slot_boot_find(buf_str(&line), &boot, &err), -EINVAL);
        assert_contains(err.text, sizes[i] < SLOT_BOOT_TEXT_BYTES ? "is not" : "too long");
    }
}

// Measured with `veritysetup format --no-superblock` 2.6 over files of so many 4096-byte blocks.
static void test_tree_bytes(void **state) {
    (void)state;
    static const struct {
        uint64_t blocks, bytes;
    } cases[] = {
        {1, 0}, {2, 4096}, {127, 4096}, {128, 4096}, {129, 3 * 4096}, {16384, 528384}, {16385, 540672}, {262144, 8458240},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(slot_tree_bytes(cases[i].blocks), cases[i].bytes);
}

// The rule itself: a level holds one hash for each block of the level below, 128 in a block, until a level is a single block.
static void test_tree_bytes_rule(void **state) {
    (void)state;
    for (uint64_t blocks = 1; blocks <= SLOT_MAX_BYTES / SLOT_BLOCK_BYTES; blocks = blocks * 3 + 1) {
        uint64_t expected = 0;
        for (uint64_t span = 128, before = blocks; before > 1; span *= 128) {
            before = blocks / span + (blocks % span != 0);
            expected += before;
        }
        assert_int_equal(slot_tree_bytes(blocks), expected * 4096);
    }
}

static void test_hex(void **state) {
    (void)state;
    uint8_t bytes[256], again[256];
    char text[2 * sizeof(bytes) + 1];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    hex_format(bytes, sizeof(bytes), text);
    assert_int_equal(strlen(text), 2 * sizeof(bytes));
    assert_memory_equal(text, "000102", 6);
    assert_string_equal(text + 506, "fdfeff");
    assert_true(hex_parse(text, sizeof(again), again));
    assert_memory_equal(again, bytes, sizeof(bytes));
    hex_format(bytes, 0, text);
    assert_string_equal(text, "");
    for (int c = 0; c < 256; c++) {
        char pair[] = {'0', (char)c, 0};
        bool is_digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        assert_int_equal(hex_parse(pair, 1, again), is_digit);
    }
    assert_false(hex_parse("0", 1, again));
    assert_false(hex_parse("", 1, again));
    assert_true(hex_parse("", 0, again));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format),
        cmocka_unit_test(test_parse_refusals),
        cmocka_unit_test(test_parse_every_truncation),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_bounds),
        cmocka_unit_test(test_tree_bytes),
        cmocka_unit_test(test_tree_bytes_rule),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
