// SPDX-License-Identifier: Apache-2.0
// From the chunks that are wanted and those that are there to a list of pieces. A hash table over what is there makes it linear.
#include "firstboot/update/delta_plan.h"
#include "common/buf.h"
#include <string.h>

#define NO_ENTRY UINT32_MAX
#define MAX_TWINS 8 // chunks of one hash that are kept: more of them (zeros) would only make the search slow

struct entry {
    uint32_t place, chunk;
};

struct table {
    struct entry *entries;
    size_t mask;
};

static size_t slot_of(const struct table *table, const uint8_t sha256[32]) {
    uint64_t key;
    memcpy(&key, sha256, sizeof(key)); // a cryptographic hash needs no further one
    return (size_t)key & table->mask;
}

static void insert(struct table *table, const struct delta_place *places, uint32_t place, uint32_t chunk) {
    const uint8_t *sha256 = places[place].index.chunks[chunk].sha256;
    unsigned twins = 0;
    size_t at = slot_of(table, sha256);
    for (; table->entries[at].place != NO_ENTRY; at = (at + 1) & table->mask) {
        const struct entry *other = &table->entries[at];
        if (memcmp(places[other->place].index.chunks[other->chunk].sha256, sha256, 32) == 0 && ++twins == MAX_TWINS)
            return;
    }
    table->entries[at] = (struct entry){place, chunk};
}

static void table_make(struct table *table, const struct delta_place *places, size_t place_count) {
    size_t chunks = 0, capacity = 16;
    for (size_t i = 0; i < place_count; i++)
        chunks += places[i].index.count;
    while (capacity < 2 * chunks)
        capacity *= 2;
    table->mask = capacity - 1;
    table->entries = mem_array(capacity, sizeof(*table->entries));
    for (size_t i = 0; i < capacity; i++)
        table->entries[i].place = NO_ENTRY;
    for (uint32_t place = 0; place < place_count; place++)
        for (uint32_t chunk = 0; chunk < places[place].index.count; chunk++)
            insert(table, places, place, chunk);
}

// Where the chunk can be taken from when the bytes of `sink` before `written` are overwritten.
static void find(const struct table *table, const struct delta_place *places, const struct chunkindex_chunk *wanted, int sink,
                 uint64_t written, struct delta_piece *piece) {
    for (size_t at = slot_of(table, wanted->sha256); table->entries[at].place != NO_ENTRY; at = (at + 1) & table->mask) {
        const struct delta_place *place = &places[table->entries[at].place];
        const struct chunkindex_chunk *have = &place->index.chunks[table->entries[at].chunk];
        uint64_t offset = place->offset + have->offset;
        if (have->bytes != wanted->bytes || memcmp(have->sha256, wanted->sha256, 32) != 0)
            continue;
        if (sink >= 0 && place->fd == places[sink].fd && offset < written)
            continue;
        piece->place = table->entries[at].place;
        piece->place_offset = offset;
        return;
    }
}

static struct delta_piece *add(struct delta_plan *plan, size_t *capacity) {
    if (plan->count == *capacity) {
        *capacity = *capacity ? *capacity + *capacity / 2 : 256;
        plan->pieces = mem_resize(plan->pieces, *capacity, sizeof(*plan->pieces));
    }
    return &plan->pieces[plan->count++];
}

static void plan_chunks(const struct table *table, const struct delta_place *places, const struct delta_object *object, uint32_t number,
                        struct delta_plan *plan, size_t *capacity) {
    size_t first = plan->count;
    uint64_t missing = 0;
    for (size_t i = 0; i < object->index->count; i++) {
        const struct chunkindex_chunk *chunk = &object->index->chunks[i];
        struct delta_piece *piece = add(plan, capacity);
        *piece = (struct delta_piece){
            .object = number, .place = DELTA_FETCH, .offset = chunk->offset, .bytes = chunk->bytes, .sha256 = chunk->sha256};
        find(table, places, chunk, object->sink, object->sink_offset + chunk->offset, piece);
        missing += piece->place == DELTA_FETCH ? piece->bytes : 0;
    }
    if (missing + object->index_bytes > object->bytes) // one range is cheaper than many with little between them
        for (size_t i = first; i < plan->count; i++)
            plan->pieces[i].place = DELTA_FETCH;
}

static void plan_whole(const struct delta_place *places, const struct delta_object *object, uint32_t number, struct delta_plan *plan,
                       size_t *capacity) {
    for (uint64_t done = 0; done < object->bytes; done += DELTA_PIECE_BYTES) {
        uint64_t left = object->bytes - done;
        struct delta_piece *piece = add(plan, capacity);
        *piece = (struct delta_piece){
            .object = number, .place = DELTA_FETCH, .offset = done, .bytes = left < DELTA_PIECE_BYTES ? (uint32_t)left : DELTA_PIECE_BYTES};
        if (object->same < 0)
            continue;
        piece->place = (uint32_t)object->same;
        piece->place_offset = places[object->same].offset + object->same_offset + done;
    }
}

void delta_plan_make(const struct delta_object *objects, size_t object_count, const struct delta_place *places, size_t place_count,
                     struct delta_plan *ret_plan) {
    struct delta_plan plan = {0};
    struct table table = {0};
    size_t capacity = 0;
    table_make(&table, places, place_count);
    for (uint32_t i = 0; i < object_count; i++) {
        if (objects[i].index)
            plan_chunks(&table, places, &objects[i], i, &plan, &capacity);
        else
            plan_whole(places, &objects[i], i, &plan, &capacity);
    }
    for (size_t i = 0; i < plan.count; i++)
        *(plan.pieces[i].place == DELTA_FETCH ? &plan.fetch_bytes : &plan.copy_bytes) += plan.pieces[i].bytes;
    free(table.entries);
    *ret_plan = plan;
}

void delta_plan_done(struct delta_plan *plan) {
    free(plan->pieces);
    *plan = (struct delta_plan){0};
}
