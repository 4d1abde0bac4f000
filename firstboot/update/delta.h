// SPDX-License-Identifier: Apache-2.0
// Which bytes of a new generation the machine already has, and which it must fetch. delta_plan() is pure; delta_run() carries it out.
#pragma once
#include "common/chunkindex.h"
#include "common/manifest.h"
#include "firstboot/update/slotwriter.h"
#include "firstboot/update/source.h"

// An object of the new generation: the UKI or a layer.
struct delta_object {
    const char *name; // "uki", or the layer's
    const struct manifest_part *part;
    const struct chunkindex *index; // NULL: unchanged, everything comes from `same`
    uint64_t slot_offset; // of a layer in the slot; 0 for the UKI
};

// A place on this machine that may hold wanted bytes. What is read from it is always checked by hash.
struct delta_place {
    int fd;
    const char *name; // for messages
    uint64_t offset; // of the object in it
    const struct chunkindex *index; // made from its bytes
    bool is_target; // the slot that is being written: usable only behind the writing position
};

enum delta_from { DELTA_TARGET_IN_PLACE, DELTA_PLACE, DELTA_FETCH };
struct delta_piece { // one chunk of a new object
    enum delta_from from;
    uint32_t place; // index of the place
    uint64_t place_offset; // in that place's descriptor
    uint64_t target_offset; // in the object
    uint32_t bytes;
    const uint8_t *sha256;
};
struct delta_plan {
    struct delta_piece *pieces; // in the order they are needed: the UKI's, then each layer's
    size_t count;
    uint64_t total_bytes, fetch_bytes, copy_bytes;
};
void delta_plan_done(struct delta_plan *plan);
void delta_plan(const struct delta_object *objects, size_t object_count, const struct delta_place *places, size_t place_count,
                struct delta_plan *ret_plan) nonnull(1, 5);
