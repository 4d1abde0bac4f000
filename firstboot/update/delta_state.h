// SPDX-License-Identifier: Apache-2.0
// What the steps of a delta share: delta_look.c fills it, delta.c carries it out.
#pragma once
#include "firstboot/update/delta.h"
#include "firstboot/update/delta_plan.h"

#define DELTA_UKI_DIR "var/lib/webops/update"
#define DELTA_UKI_PATH DELTA_UKI_DIR "/uki.part"

#define DELTA_OBJECTS (1 + SLOT_MAX_LAYERS) // the UKI, then the layers

enum delta_place_number {
    DELTA_RUNNING_UKI,
    DELTA_UKI_SINK, // the index of a sink: chunks that already lie where they belong
    DELTA_SLOT_SINK,
    DELTA_RUNNING, // a layer of the running slot each
    DELTA_OLD = DELTA_RUNNING + SLOT_MAX_LAYERS, // what the target slot held so far
    DELTA_PLACES = DELTA_OLD + SLOT_MAX_LAYERS,
};

struct delta {
    const struct delta_request *request;
    bool is_distrusting; // unchanged layers are compared chunk by chunk, too
    struct slot_header header; // of the new generation
    uint8_t header_bytes[SLOT_HEADER_BYTES];
    size_t object_count;
    struct delta_object objects[DELTA_OBJECTS];
    struct chunkindex indexes[DELTA_OBJECTS];
    uint64_t index_bytes; // fetched
    struct delta_place places[DELTA_PLACES];
    uint64_t target_bytes; // size of the slot that is written
    int verity_fd, running_uki_fd; // owned; the sinks' descriptors are the caller's
    struct delta_plan plan;
    struct delta_progress progress; // what was shown last
    uint64_t looked_bytes;
    uint64_t shown_ms, shown_done_bytes;
};

// `target_fd` and `uki_fd` (-1: there is none) may hold bytes of an earlier attempt.
int delta_look(struct delta *delta, int target_fd, uint64_t target_bytes, int uki_fd, struct err *err) must_check nonnull(1, 5);
void delta_done(struct delta *delta);
#define DELTA_NONE .verity_fd = -1, .running_uki_fd = -1 // nothing opened yet
// Shows progress when it is time to, or when the phase changes.
void delta_show(struct delta *delta, enum delta_phase phase, uint64_t done_bytes, uint64_t fetched_bytes) nonnull(1);

#define cleanup_delta cleanup(delta_done)
