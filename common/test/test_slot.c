// SPDX-License-Identifier: Apache-2.0
// The slot header: what is written can be read, and nothing else. Damages with a wrong id, and damages with the id made right.
#include "common/test/slot_seed.h"
#include "common/test/support.h"
#include <errno.h>

#define AT_LAYER(n) (256 + 160 * (n))

static void seed_bytes(uint32_t layer_count, uint8_t ret_bytes[SLOT_HEADER_BYTES]) {
    struct slot_header header;
    struct err err = {0};
    slot_seed(&header, layer_count);
    if (slot_header_format(&header, ret_bytes, &err) < 0)
        fail_msg("%s", err.text);
}

// Refused, with a message that contains `word`, and with the output as it was.
static void assert_refused(const uint8_t *bytes, size_t size, const char *word) {
    struct slot_header header, before;
    struct err err = {0};
    memset(&before, 0x5a, sizeof(before));
    memcpy(&header, &before, sizeof(header));
    assert_int_equal(slot_header_parse(bytes, size, &header, &err), -EINVAL);
    assert_contains(err.text, word);
    assert_memory_equal(&header, &before, sizeof(header));
}

static void put_number(uint8_t *bytes, uint64_t value, int size) {
    for (int i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
}

static void test_round_trip(void **state) {
    (void)state;
    for (uint32_t count = 1; count <= SLOT_MAX_LAYERS; count++) {
        struct slot_header header, parsed;
        struct err err = {0};
        uint8_t bytes[SLOT_HEADER_BYTES], again[SLOT_HEADER_BYTES];
        slot_seed(&header, count);
        assert_int_equal(slot_header_format(&header, bytes, &err), 0);
        memset(&parsed, 0xff, sizeof(parsed));
        assert_int_equal(slot_header_parse(bytes, sizeof(bytes), &parsed, &err), 0);
        assert_memory_equal(&parsed, &header, sizeof(header));
        assert_int_equal(slot_header_format(&parsed, again, &err), 0);
        assert_memory_equal(again, bytes, sizeof(bytes));
    }
}

// The bytes of docs/FORMATS.md, so that writer and reader cannot be wrong together.
static void test_layout(void **state) {
    (void)state;
    static const uint8_t start[] = {'W', 'E', 'B', 'O', 'P', 'S', 'S', 'L', 1, 0, 0, 0, 2, 0, 0, 0};
    static const uint8_t sequence_and_size[] = {8, 7, 6, 5, 4, 3, 2, 1, 0x00, 0x50, 0, 0, 0, 0, 0, 0};
    static const uint8_t second_offset_and_length[] = {0x00, 0x20, 0, 0, 0, 0, 0, 0, 0xe8, 0x23, 0, 0, 0, 0, 0, 0};
    uint8_t bytes[SLOT_HEADER_BYTES], digest[SHA256_BYTES], sha[32], zero[SLOT_HEADER_BYTES] = {0};
    seed_bytes(2, bytes);
    assert_memory_equal(bytes, start, sizeof(start));
    assert_memory_equal(bytes + 32, sequence_and_size, sizeof(sequence_and_size));
    assert_string_equal((char *)bytes + 48, "edge-web.1");
    assert_string_equal((char *)bytes + 96, "2026.11+r4~rc1");
    assert_memory_equal(bytes + 144, zero, 112);
    assert_string_equal((char *)bytes + AT_LAYER(0), "layer-0.x");
    assert_string_equal((char *)bytes + AT_LAYER(1) + 48, "1:1.0-2");
    assert_memory_equal(bytes + AT_LAYER(1) + 96, second_offset_and_length, sizeof(second_offset_and_length));
    memset(sha, 0xa1, sizeof(sha));
    assert_memory_equal(bytes + AT_LAYER(1) + 112, sha, sizeof(sha));
    assert_memory_equal(bytes + AT_LAYER(1) + 144, zero, SLOT_HEADER_BYTES - AT_LAYER(1) - 144);
    uint8_t id[SLOT_ID_BYTES];
    memcpy(id, bytes + 16, sizeof(id));
    memset(bytes + 16, 0, sizeof(id));
    sha256_hash(bytes, sizeof(bytes), digest);
    assert_memory_equal(id, digest, sizeof(id));
}

static void test_every_bit_flip(void **state) {
    (void)state;
    uint8_t bytes[SLOT_HEADER_BYTES];
    seed_bytes(3, bytes);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_refused(bytes, sizeof(bytes), bit < 64 ? "no magic" : bit < 96 ? "format" : "the id does not match");
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

// With the right id a flip may make another valid header; then writing that one must give the same bytes.
static void test_every_sealed_bit_flip(void **state) {
    (void)state;
    uint8_t seed[SLOT_HEADER_BYTES], bytes[SLOT_HEADER_BYTES], again[SLOT_HEADER_BYTES];
    unsigned accepted = 0, refused = 0;
    seed_bytes(3, seed);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        struct slot_header header;
        struct err err = {0};
        memcpy(bytes, seed, sizeof(bytes));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        slot_reseal(bytes);
        if (slot_header_parse(bytes, sizeof(bytes), &header, &err) < 0) {
            assert_contains(err.text, "slot header: ");
            refused++;
            continue;
        }
        assert_int_equal(slot_header_format(&header, again, &err), 0);
        assert_memory_equal(again, bytes, sizeof(bytes));
        accepted++;
    }
    // Free are the id itself (128, made right), the sequence (64), three hashes (768), some letters, and lengths within their padding.
    assert_in_range(accepted, 128 + 64 + 768, 128 + 64 + 768 + 400);
    assert_int_equal(accepted + refused, 8 * sizeof(bytes));
}

static void test_every_truncation(void **state) {
    (void)state;
    uint8_t bytes[SLOT_HEADER_BYTES];
    seed_bytes(3, bytes);
    for (size_t size = 0; size < sizeof(bytes); size++) {
        uint8_t *exact = malloc(size ? size : 1);
        assert_non_null(exact);
        memcpy(exact, bytes, size);
        assert_refused(size ? exact : exact + 1, size, "4096 are needed");
        free(exact);
    }
}

static void test_only_the_header_is_read(void **state) {
    (void)state;
    struct slot_header header;
    struct err err = {0};
    uint8_t bytes[2 * SLOT_HEADER_BYTES];
    memset(bytes, 0xee, sizeof(bytes));
    seed_bytes(1, bytes);
    assert_int_equal(slot_header_parse(bytes, sizeof(bytes), &header, &err), 0);
    assert_int_equal(header.layer_count, 1);
}

// One field of a valid three-layer header replaced, the id made right.
static const struct damage {
    const char *what;
    size_t at;
    int size; // of the number; 0: `text` is written, with its NUL
    uint64_t number;
    const char *text;
    const char *word; // of the message
} damages[] = {
    {"magic", 0, 1, 'w', NULL, "no magic"},
    {"magic's end", 7, 1, 0, NULL, "no magic"},
    {"format 0", 8, 4, 0, NULL, "format 0,"},
    {"format 2", 8, 4, 2, NULL, "format 2,"},
    {"format max", 8, 4, UINT32_MAX, NULL, "format 4294967295,"},
    {"no layers", 12, 4, 0, NULL, "0 layers"},
    {"17 layers", 12, 4, 17, NULL, "17 layers"},
    {"UINT32_MAX layers", 12, 4, UINT32_MAX, NULL, "4294967295 layers"},
    {"fewer layers than present", 12, 4, 2, NULL, "unused bytes"},
    {"more layers than present", 12, 4, 4, NULL, "layer 3 has a bad name"},
    {"data_bytes 0", 40, 8, 0, NULL, "data size"},
    {"data_bytes UINT64_MAX", 40, 8, UINT64_MAX, NULL, "data size"},
    {"data_bytes one block less", 40, 8, 4096 * 9 - 4096, NULL, "data size"},
    {"data_bytes not padded", 40, 8, 4096 * 9 - 1, NULL, "data size"},
    {"empty profile", 48, 1, 0, NULL, "profile name"},
    {"profile with capitals", 48, 0, 0, "Edge-web.1", "profile name"},
    {"profile with a slash", 48, 0, 0, "ed/e-web.1", "profile name"},
    {"profile with a dot first", 48, 0, 0, ".dge-web.1", "profile name"},
    {"profile with a dash first", 48, 0, 0, "-dge-web.1", "profile name"},
    {"profile without an end", 48, 0, 0, "0123456789012345678901234567890123456789012345678", "profile name"},
    {"profile with bytes behind its end", 95, 1, 'x', NULL, "profile name"},
    {"empty version", 96, 1, 0, NULL, "version must"},
    {"version with a blank", 96, 0, 0, "2026 11+r4~rc1", "version must"},
    {"version with a line feed", 96, 0, 0, "2026\n11+r4~rc1", "version must"},
    {"version beyond ASCII", 96, 1, 0xe4, NULL, "version must"},
    {"version with DEL", 97, 1, 0x7f, NULL, "version must"},
    {"version with bytes behind its end", 143, 1, 1, NULL, "version must"},
    {"reserved byte of the head", 144, 1, 1, NULL, "unused bytes"},
    {"last reserved byte of the head", 255, 1, 0x80, NULL, "unused bytes"},
    {"empty layer name", AT_LAYER(0), 1, 0, NULL, "layer 0 has a bad name"},
    {"layer name with an underscore", AT_LAYER(1), 0, 0, "layer_1.x", "layer 1 has a bad name"},
    {"layer name with bytes behind its end", AT_LAYER(2) + 47, 1, 'z', NULL, "layer 2 has a bad name"},
    {"empty layer version", AT_LAYER(2) + 48, 1, 0, NULL, "layer 2 has a bad name or version"},
    {"layer version with a tab", AT_LAYER(1) + 48, 1, '\t', NULL, "layer 1 has a bad name or version"},
    {"layer 0 inside the header", AT_LAYER(0) + 96, 8, 0, NULL, "layer 0 does not start"},
    {"overlap", AT_LAYER(1) + 96, 8, 4096, NULL, "layer 1 does not start where layer 0 ends"},
    {"gap", AT_LAYER(1) + 96, 8, 3 * 4096, NULL, "layer 1 does not start"},
    {"unaligned offset", AT_LAYER(1) + 96, 8, 2 * 4096 + 1, NULL, "layer 1 does not start"},
    {"offset UINT64_MAX", AT_LAYER(2) + 96, 8, UINT64_MAX, NULL, "layer 2 does not start"},
    {"length 0", AT_LAYER(0) + 104, 8, 0, NULL, "layer 0 has an impossible length"},
    {"length UINT64_MAX", AT_LAYER(2) + 104, 8, UINT64_MAX, NULL, "layer 2 has an impossible length"},
    {"length 2^63", AT_LAYER(2) + 104, 8, 1ULL << 63, NULL, "layer 2 has an impossible length"},
    {"length 2^40 + 1", AT_LAYER(2) + 104, 8, SLOT_MAX_BYTES + 1, NULL, "layer 2 has an impossible length"},
    {"length 2^40", AT_LAYER(2) + 104, 8, SLOT_MAX_BYTES, NULL, "data size"},
    {"length beyond the padding", AT_LAYER(0) + 104, 8, 4097, NULL, "layer 1 does not start"},
    {"last layer one block longer", AT_LAYER(2) + 104, 8, 4 * 4096 + 1, NULL, "data size"},
    {"reserved byte of a layer", AT_LAYER(1) + 144, 1, 1, NULL, "unused bytes"},
    {"last reserved byte of a layer", AT_LAYER(2) + 159, 1, 1, NULL, "unused bytes"},
    {"byte behind the last layer", AT_LAYER(3), 1, 'a', NULL, "unused bytes"},
    {"byte behind the layer table", AT_LAYER(16), 1, 1, NULL, "unused bytes"},
    {"last byte", SLOT_HEADER_BYTES - 1, 1, 1, NULL, "unused bytes"},
};

static void test_sealed_damages(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        const struct damage *damage = &damages[i];
        uint8_t bytes[SLOT_HEADER_BYTES], before[SLOT_HEADER_BYTES];
        seed_bytes(3, bytes);
        memcpy(before, bytes, sizeof(bytes));
        if (damage->size)
            put_number(bytes + damage->at, damage->number, damage->size);
        else
            memcpy(bytes + damage->at, damage->text, strlen(damage->text));
        if (memcmp(before, bytes, sizeof(bytes)) == 0)
            fail_msg("%s: the damage changes nothing", damage->what);
        slot_reseal(bytes);
        assert_refused(bytes, sizeof(bytes), damage->word);
    }
}

static void spoil_profile(struct slot_header *header) {
    memset(header->profile, 'a', sizeof(header->profile));
}
static void spoil_profile_tail(struct slot_header *header) {
    header->profile[SLOT_NAME_BYTES - 1] = 'a';
}
static void spoil_version(struct slot_header *header) {
    header->version[0] = 0;
}
static void spoil_no_layers(struct slot_header *header) {
    header->layer_count = 0;
}
static void spoil_many_layers(struct slot_header *header) {
    header->layer_count = SLOT_MAX_LAYERS + 1;
}
static void spoil_max_layers(struct slot_header *header) {
    header->layer_count = UINT32_MAX;
}
static void spoil_name(struct slot_header *header) {
    strcpy(header->layers[1].name, "Base");
}
static void spoil_layer_version(struct slot_header *header) {
    header->layers[2].version[0] = ' ';
}
static void spoil_empty(struct slot_header *header) {
    header->layers[0].length = 0;
}
static void spoil_huge(struct slot_header *header) {
    header->layers[2].length = UINT64_MAX;
}
static void spoil_sum(struct slot_header *header) {
    header->layers[0].length = header->layers[1].length = SLOT_MAX_BYTES / 2;
}

static void test_format_refusals(void **state) {
    (void)state;
    static const struct {
        void (*spoil)(struct slot_header *header);
        const char *word;
    } cases[] = {
        {spoil_profile, "profile name"},
        {spoil_profile_tail, "profile name"},
        {spoil_version, "version must"},
        {spoil_no_layers, "0 layers"},
        {spoil_many_layers, "17 layers"},
        {spoil_max_layers, "4294967295 layers"},
        {spoil_name, "layer 1"},
        {spoil_layer_version, "layer 2"},
        {spoil_empty, "layer 0 has an impossible length"},
        {spoil_huge, "impossible length"},
        {spoil_sum, "data size"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct slot_header header, before;
        struct err err = {0};
        uint8_t bytes[SLOT_HEADER_BYTES], untouched[SLOT_HEADER_BYTES];
        slot_seed(&header, 3);
        cases[i].spoil(&header);
        memcpy(&before, &header, sizeof(header));
        memset(bytes, 0x77, sizeof(bytes));
        memset(untouched, 0x77, sizeof(untouched));
        assert_int_equal(slot_header_format(&header, bytes, &err), -EINVAL);
        assert_contains(err.text, cases[i].word);
        assert_memory_equal(&header, &before, sizeof(header));
        assert_memory_equal(bytes, untouched, sizeof(bytes));
    }
}

// What the caller left in offset, data_bytes and id does not matter: they follow from the lengths.
static void test_format_fills_in(void **state) {
    (void)state;
    struct slot_header header;
    struct err err = {0};
    uint8_t clean[SLOT_HEADER_BYTES], bytes[SLOT_HEADER_BYTES];
    seed_bytes(3, clean);
    slot_seed(&header, 3);
    memset(header.id, 0xff, sizeof(header.id));
    header.data_bytes = 7;
    header.layers[0].offset = header.layers[2].offset = UINT64_MAX;
    memset(&header.layers[3], 0xff, sizeof(header.layers[3]));
    assert_int_equal(slot_header_format(&header, bytes, &err), 0);
    assert_memory_equal(bytes, clean, sizeof(bytes));
    assert_int_equal(header.layers[0].offset, 4096);
    assert_int_equal(header.layers[1].offset, 2 * 4096);
    assert_int_equal(header.layers[2].offset, 5 * 4096);
    assert_int_equal(header.data_bytes, 9 * 4096);
    assert_memory_equal(header.id, bytes + 16, SLOT_ID_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),       cmocka_unit_test(test_layout),
        cmocka_unit_test(test_every_bit_flip),   cmocka_unit_test(test_every_sealed_bit_flip),
        cmocka_unit_test(test_every_truncation), cmocka_unit_test(test_only_the_header_is_read),
        cmocka_unit_test(test_sealed_damages),   cmocka_unit_test(test_format_refusals),
        cmocka_unit_test(test_format_fills_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
