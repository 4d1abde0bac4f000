// SPDX-License-Identifier: Apache-2.0
// Which bytes of a new generation come from where. Pure, no I/O.
#pragma once
#include "common/chunkindex.h"

// An object of the new generation: the UKI or a layer.
struct delta_object {
    const struct chunkindex *index; // NULL: the whole object comes from one place without an index, or is fetched whole
    uint64_t bytes;
    uint64_t source_offset; // in the bundle
    uint64_t sink_offset; // of a layer in the slot; 0 for the UKI
    uint64_t index_bytes; // that were fetched for it
    uint64_t same_offset; // without an index: where the same bytes lie in `same`
    int same; // without an index: the place that has the same bytes; -1: it is fetched
    int sink; // the place that is being written with this object; -1: none
};

// A place on this machine that may hold wanted bytes. What is read from it is always checked.
struct delta_place {
    int fd;
    const char *name; // for messages
    uint64_t offset; // of the index's first byte in fd
    struct chunkindex index; // made from its bytes; empty where nothing was looked for
};

#define DELTA_FETCH UINT32_MAX // a piece's place
#define DELTA_PIECE_BYTES (1U << 20) // most bytes of a piece without a hash

struct delta_piece { // one chunk of a new object, or up to DELTA_PIECE_BYTES of one that has no index
    uint32_t object; // its index
    uint32_t place; // index of the place, or DELTA_FETCH
    uint64_t place_offset; // in that place's descriptor
    uint64_t offset; // in the object
    uint32_t bytes;
    const uint8_t *sha256; // owned by the object's index; NULL: checked with the whole object only
};
struct delta_plan {
    struct delta_piece *pieces; // in the order they are needed, which is the order they lie in the bundle
    size_t count;
    uint64_t fetch_bytes, copy_bytes;
};
void delta_plan_done(struct delta_plan *plan);
// Pieces of an object whose `sink` is a place are taken from that place only where they lie at or behind the place they go to: what is in
// front of it has been overwritten by then. An object of which nearly everything is missing is fetched as one range.
void delta_plan_make(const struct delta_object *objects, size_t object_count, const struct delta_place *places, size_t place_count,
                     struct delta_plan *ret_plan) nonnull(1, 5);

#define cleanup_delta_plan cleanup(delta_plan_done)
