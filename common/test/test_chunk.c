// SPDX-License-Identifier: Apache-2.0
// Cuts: golden lengths (another program computed them from the definition), limits, and that a change moves cuts only near it. The
// reference here computes the hash of each window anew.
#include "common/chunk.h"
#include "common/test/support.h"

#define SAMPLE_BYTES (4 << 20)
static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd}; // as a zstd frame begins, and so each block of a squashfs

static uint64_t splitmix64(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static uint8_t *sample(size_t size, uint64_t seed) {
    uint8_t *data = mem_array(size, 1);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)splitmix64(&seed);
    return data;
}

static size_t reference_cut(const uint8_t *data, size_t size) {
    static uint64_t gear[256];
    uint64_t state = 0;
    for (unsigned i = 0; gear[255] == 0 && i < 256; i++)
        gear[i] = splitmix64(&state);
    size_t limit = size < CHUNK_MAX_BYTES ? size : CHUNK_MAX_BYTES;
    for (size_t length = CHUNK_MIN_BYTES; length < limit; length++) {
        uint64_t hash = 0;
        for (size_t i = length - 64; i < length; i++)
            hash = (hash << 1) + gear[data[i]];
        if (hash >> 48 == 0 || (length + 4 <= limit && memcmp(data + length, frame, 4) == 0))
            return length;
    }
    return limit;
}

// Lengths of all chunks; returns how many.
static size_t cut_all(const uint8_t *data, size_t size, size_t *lengths) {
    size_t count = 0;
    for (size_t at = 0; at < size; at += lengths[count++]) {
        lengths[count] = chunk_cut(data + at, size - at, true);
        assert_true(lengths[count] > 0 && lengths[count] <= size - at);
    }
    return count;
}

static void cuts_are_those_of_the_definition(void **state) {
    (void)state;
    cleanup_free uint8_t *data = sample(SAMPLE_BYTES, 1);
    uint64_t seed = 5;
    for (unsigned i = 0; i < 100; i++)
        memcpy(data + splitmix64(&seed) % (SAMPLE_BYTES - sizeof(frame)), frame, sizeof(frame));
    for (size_t at = 0; at < SAMPLE_BYTES;) {
        size_t length = chunk_cut(data + at, SAMPLE_BYTES - at, true);
        assert_int_equal(length, reference_cut(data + at, SAMPLE_BYTES - at));
        at += length;
    }
}

static void golden_lengths(void **state) {
    (void)state;
    static const size_t golden[] = {65536, 65536, 25222, 65536, 65536, 53129, 65536, 57437};
    cleanup_free uint8_t *data = sample(SAMPLE_BYTES, 1);
    cleanup_free size_t *lengths = mem_array(SAMPLE_BYTES / CHUNK_MIN_BYTES + 1, sizeof(*lengths));
    assert_true(cut_all(data, SAMPLE_BYTES, lengths) > ARRAY_SIZE(golden));
    for (unsigned i = 0; i < ARRAY_SIZE(golden); i++)
        assert_int_equal(lengths[i], golden[i]);
}

static void lengths_keep_their_limits(void **state) {
    (void)state;
    cleanup_free uint8_t *data = sample(SAMPLE_BYTES, 2);
    cleanup_free size_t *lengths = mem_array(SAMPLE_BYTES / CHUNK_MIN_BYTES + 1, sizeof(*lengths));
    size_t count = cut_all(data, SAMPLE_BYTES, lengths);
    for (size_t i = 0; i + 1 < count; i++)
        assert_in_range(lengths[i], CHUNK_MIN_BYTES, CHUNK_MAX_BYTES);
    // 34 bytes of index per chunk are at most 0.25 %.
    assert_in_range(SAMPLE_BYTES / count, 34 * 400, 48 << 10);
    memset(data, 0, SAMPLE_BYTES); // nothing to cut at
    assert_int_equal(cut_all(data, SAMPLE_BYTES, lengths), SAMPLE_BYTES / CHUNK_MAX_BYTES);
}

static void too_little_is_not_decided(void **state) {
    (void)state;
    cleanup_free uint8_t *data = sample(CHUNK_MAX_BYTES, 4);
    size_t whole = chunk_cut(data, CHUNK_MAX_BYTES, false);
    assert_true(whole > CHUNK_MIN_BYTES && whole < CHUNK_MAX_BYTES);
    for (size_t size = 0; size <= CHUNK_MAX_BYTES; size += size < 5000 ? 1 : 37) {
        bool is_known = size >= whole + sizeof(frame) || size == CHUNK_MAX_BYTES;
        assert_int_equal(chunk_cut(data, size, false), is_known ? whole : 0);
        assert_int_equal(chunk_cut(data, size, true), size < whole ? size : whole);
    }
    memset(data, 0, CHUNK_MAX_BYTES);
    assert_int_equal(chunk_cut(data, CHUNK_MAX_BYTES - 1, false), 0);
    assert_int_equal(chunk_cut(data, CHUNK_MAX_BYTES, false), CHUNK_MAX_BYTES);
}

// A block that changes costs itself and nothing beside it.
static void a_frame_begins_a_chunk(void **state) {
    (void)state;
    cleanup_free uint8_t *data = sample(CHUNK_MAX_BYTES, 6);
    size_t without = chunk_cut(data, CHUNK_MAX_BYTES, false);
    for (size_t at = CHUNK_MIN_BYTES - 2; at < without; at += 4099) {
        cleanup_free uint8_t *with = sample(CHUNK_MAX_BYTES, 6);
        memcpy(with + at, frame, sizeof(frame));
        bool is_cut = at >= CHUNK_MIN_BYTES;
        assert_int_equal(chunk_cut(with, CHUNK_MAX_BYTES, false), is_cut ? at : without);
        // Not decided before the frame's last byte is there.
        if (is_cut) {
            assert_int_equal(chunk_cut(with, at + 3, false), 0);
            assert_int_equal(chunk_cut(with, at + 4, false), at);
        }
    }
}

// Cuts in `b` (from the end) that are not in `a`: what an insertion costs.
static size_t foreign_cuts(const size_t *a, size_t a_count, const size_t *b, size_t b_count) {
    size_t same = 0;
    while (same < a_count && same < b_count && a[a_count - 1 - same] == b[b_count - 1 - same])
        same++;
    return b_count - same;
}

static void an_insertion_is_forgotten_soon(void **state) {
    (void)state;
    cleanup_free uint8_t *data = sample(SAMPLE_BYTES, 4);
    cleanup_free uint8_t *longer = mem_array(SAMPLE_BYTES + 100, 1);
    cleanup_free size_t *a = mem_array(SAMPLE_BYTES / CHUNK_MIN_BYTES + 1, sizeof(*a));
    cleanup_free size_t *b = mem_array(SAMPLE_BYTES / CHUNK_MIN_BYTES + 2, sizeof(*b));
    size_t count = cut_all(data, SAMPLE_BYTES, a);
    for (size_t insertion = 1; insertion <= 100; insertion += 33) { // in front of everything: all bytes move
        memcpy(longer + insertion, data, SAMPLE_BYTES);
        size_t longer_count = cut_all(longer, SAMPLE_BYTES + insertion, b);
        assert_in_range(foreign_cuts(a, count, b, longer_count), 1, 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_those_of_the_definition), cmocka_unit_test(golden_lengths),
        cmocka_unit_test(lengths_keep_their_limits),        cmocka_unit_test(too_little_is_not_decided),
        cmocka_unit_test(a_frame_begins_a_chunk),           cmocka_unit_test(an_insertion_is_forgotten_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
