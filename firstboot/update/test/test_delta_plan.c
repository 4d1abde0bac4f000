// SPDX-License-Identifier: Apache-2.0
// Plans from hand-made indexes: what comes from where, in which order, and never from bytes that will have been overwritten.
#include "common/test/support.h"
#include "firstboot/update/delta_plan.h"

#define CHUNK 10000

// An index whose chunk n has `CHUNK + names[n]` bytes and a hash that begins with the name.
static struct chunkindex make(const char *names) {
    struct chunkindex index = {.chunks = mem_array(strlen(names), sizeof(*index.chunks)), .count = strlen(names)};
    for (size_t i = 0; i < index.count; i++) {
        struct chunkindex_chunk *chunk = &index.chunks[i];
        *chunk = (struct chunkindex_chunk){.offset = index.bytes, .bytes = CHUNK + (unsigned char)names[i]};
        memset(chunk->sha256, names[i], sizeof(chunk->sha256));
        index.bytes += chunk->bytes;
    }
    return index;
}

// "F" for a fetched piece, else the place's number, per piece.
static void assert_plan(const struct delta_plan *plan, const char *wanted) {
    cleanup_buf struct buf text = {0};
    uint64_t fetch = 0, copy = 0;
    for (size_t i = 0; i < plan->count; i++) {
        bool is_fetched = plan->pieces[i].place == DELTA_FETCH;
        buf_printf(&text, "%c", is_fetched ? 'F' : (char)('0' + plan->pieces[i].place));
        *(is_fetched ? &fetch : &copy) += plan->pieces[i].bytes;
    }
    assert_string_equal(buf_str(&text), wanted);
    assert_int_equal(plan->fetch_bytes, fetch);
    assert_int_equal(plan->copy_bytes, copy);
}

static void chunks_are_found_wherever_they_lie(void **state) {
    (void)state;
    cleanup_chunkindex struct chunkindex wanted = make("abcdef"), first = make("xbya"), second = make("fedz");
    const struct delta_object object = {.index = &wanted, .bytes = wanted.bytes, .same = -1, .sink = -1};
    const struct delta_place places[] = {{.fd = 5, .offset = 1000, .index = first}, {.fd = 6, .offset = 70000, .index = second}};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(&object, 1, places, 2, &plan);
    assert_plan(&plan, "00F111");
    assert_int_equal(plan.pieces[0].place_offset, 1000 + first.chunks[3].offset);
    assert_int_equal(plan.pieces[1].place_offset, 1000 + first.chunks[1].offset);
    assert_int_equal(plan.pieces[5].place_offset, 70000);
    for (size_t i = 0; i < plan.count; i++) {
        assert_int_equal(plan.pieces[i].offset, wanted.chunks[i].offset);
        assert_int_equal(plan.pieces[i].bytes, wanted.chunks[i].bytes);
        assert_ptr_equal(plan.pieces[i].sha256, wanted.chunks[i].sha256);
    }
}

static void the_same_hash_with_another_length_is_no_match(void **state) {
    (void)state;
    cleanup_chunkindex struct chunkindex wanted = make("ab"), have = make("ab");
    have.chunks[1].bytes--;
    const struct delta_object object = {.index = &wanted, .bytes = wanted.bytes, .same = -1, .sink = -1};
    const struct delta_place place = {.fd = 5, .index = have};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(&object, 1, &place, 1, &plan);
    assert_plan(&plan, "0F");
}

// The object goes to byte 30000 of the slot; the slot's own old chunks serve only from where they are going to on.
static void the_target_serves_only_behind_the_writing(void **state) {
    (void)state;
    cleanup_chunkindex struct chunkindex wanted = make("aaaaaa"), old = make("bbaaaa");
    const struct delta_object object = {.index = &wanted, .bytes = wanted.bytes, .sink_offset = 30000, .same = -1, .sink = 0};
    const struct delta_place places[] = {{.fd = 5}, {.fd = 5, .offset = 4096, .index = old}, {.fd = 9}};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(&object, 1, places, 3, &plan);
    size_t count = 0;
    for (size_t i = 0; i < plan.count; i++) {
        const struct delta_piece *piece = &plan.pieces[i];
        if (piece->place != DELTA_FETCH && ++count)
            assert_true(piece->place_offset >= 30000 + piece->offset);
    }
    assert_int_equal(count, 3); // pieces start at 30,000, 40,097 and 50,194, chunks that can serve at 34,388, 44,485 and 54,582
    const struct delta_place elsewhere[] = {{.fd = 5}, {.fd = 6, .offset = 4096, .index = old}}; // another device: always
    delta_plan_done(&plan);
    delta_plan_make(&object, 1, elsewhere, 2, &plan);
    assert_plan(&plan, "111111");
}

static void in_place_is_not_overwritten_before_it_is_used(void **state) {
    (void)state;
    cleanup_chunkindex struct chunkindex wanted = make("abc"), in_place = make("abc");
    for (size_t i = 0; i < in_place.count; i++)
        in_place.chunks[i].offset += 30000; // a sink's index speaks of the whole device
    in_place.chunks[1].sha256[5] ^= 1; // this one was not finished
    const struct delta_object object = {.index = &wanted, .bytes = wanted.bytes, .sink_offset = 30000, .same = -1, .sink = 0};
    const struct delta_place place = {.fd = 5, .index = in_place};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(&object, 1, &place, 1, &plan);
    assert_plan(&plan, "0F0");
}

static void unchanged_objects_need_no_index(void **state) {
    (void)state;
    const struct delta_object objects[] = {{.bytes = 2 * DELTA_PIECE_BYTES + 5, .same = 1, .same_offset = 0, .sink = -1},
                                           {.bytes = DELTA_PIECE_BYTES, .same = -1, .sink = -1}};
    const struct delta_place places[] = {{.fd = 4}, {.fd = 5, .offset = 4096}};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(objects, 2, places, 2, &plan);
    assert_plan(&plan, "111F");
    assert_int_equal(plan.pieces[2].place_offset, 4096 + 2 * DELTA_PIECE_BYTES);
    assert_int_equal(plan.pieces[2].bytes, 5);
    assert_int_equal(plan.pieces[3].object, 1);
    assert_null(plan.pieces[3].sha256);
}

// When so much is missing that with its index the object costs more than itself, it is one range.
static void nearly_nothing_found_is_nothing(void **state) {
    (void)state;
    cleanup_chunkindex struct chunkindex wanted = make("abcdefgh"), have = make("d");
    struct delta_object object = {.index = &wanted, .bytes = wanted.bytes, .index_bytes = 304, .same = -1, .sink = -1};
    const struct delta_place place = {.fd = 5, .index = have};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(&object, 1, &place, 1, &plan);
    assert_plan(&plan, "FFF0FFFF");
    object.index_bytes = CHUNK + 'd' + 1;
    delta_plan_done(&plan);
    delta_plan_make(&object, 1, &place, 1, &plan);
    assert_plan(&plan, "FFFFFFFF");
}

static void many_equal_chunks_stay_fast(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    cleanup_free char *zeros = mem_array(COUNT + 1, 1);
    memset(zeros, 'z', COUNT);
    cleanup_chunkindex struct chunkindex wanted = make(zeros), have = make(zeros);
    const struct delta_object object = {.index = &wanted, .bytes = wanted.bytes, .same = -1, .sink = -1};
    const struct delta_place place = {.fd = 5, .index = have};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(&object, 1, &place, 1, &plan);
    assert_int_equal(plan.count, COUNT);
    assert_int_equal(plan.fetch_bytes, 0);
}

static void nothing_to_find_anything_in(void **state) {
    (void)state;
    cleanup_chunkindex struct chunkindex wanted = make("ab");
    const struct delta_object object = {.index = &wanted, .bytes = wanted.bytes, .same = -1, .sink = -1};
    cleanup_delta_plan struct delta_plan plan = {0};
    delta_plan_make(&object, 1, NULL, 0, &plan);
    assert_plan(&plan, "FF");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_are_found_wherever_they_lie),
        cmocka_unit_test(the_same_hash_with_another_length_is_no_match),
        cmocka_unit_test(the_target_serves_only_behind_the_writing),
        cmocka_unit_test(in_place_is_not_overwritten_before_it_is_used),
        cmocka_unit_test(unchanged_objects_need_no_index),
        cmocka_unit_test(nearly_nothing_found_is_nothing),
        cmocka_unit_test(many_equal_chunks_stay_fast),
        cmocka_unit_test(nothing_to_find_anything_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
