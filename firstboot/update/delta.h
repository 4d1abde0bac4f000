// SPDX-License-Identifier: Apache-2.0
// Brings a new generation's bytes into the other slot: what this machine already has is copied, only the rest is fetched. The engine's two
// calls; the plan behind them is delta_plan.h, the writing slotwriter.h. Touches neither the ESP nor the journal.
#pragma once
#include "common/config.h"
#include "common/manifest.h"
#include "firstboot/update/boot.h"
#include "firstboot/update/source.h"

enum delta_phase {
    DELTA_LOOKING, // indexes are fetched, what the machine has is chunked
    DELTA_WRITING, // the UKI, then the slot
    DELTA_CHECKING, // flushed and read back
};
struct delta_progress {
    enum delta_phase phase;
    uint64_t done_bytes, total_bytes; // of this phase; total 0 = unknown
    uint64_t fetched_bytes, fetch_bytes; // so far, and in all as planned; indexes included
    uint64_t rate_bytes; // done_bytes per second, smoothed; 0 while unknown
};

struct delta_request {
    const struct manifest *manifest; // verified
    struct source *source;
    uint64_t payload_offset; // of the payload in the source
    int root_fd;
    const struct config *record; // boot record
    int esp_fd; // where EFI/webops/<running slot>.efi may serve as a source; -1: none
    enum boot_slot slot; // to write; not the running one
    bool is_local; // the source is as near as the slots: everything is read from it, nothing is looked for
    // Called once, when everything is planned and checked and before the first byte is written (journal, removal of the boot entry). Below
    // zero ends the installation. May be NULL.
    int (*begin)(void *context, struct err *err);
    // About ten times a second, and at the ends of phases. May be NULL.
    void (*progress)(void *context, const struct delta_progress *progress);
    void *context;
};

struct delta_layer_estimate {
    bool is_unchanged; // the same bytes as a layer of the running slot
    uint64_t bytes, fetch_bytes;
};
struct delta_estimate {
    uint64_t total_bytes; // of the payload
    uint64_t fetch_bytes; // indexes and chunks that this machine lacks
    uint64_t copy_bytes; // from the running slot, the running UKI, or in place already
    uint64_t index_bytes; // of fetch_bytes
    uint64_t uki_bytes, uki_fetch_bytes;
    struct delta_layer_estimate layers[SLOT_MAX_LAYERS]; // as in the manifest
    uint64_t slot_bytes, slot_available_bytes; // what the generation takes in the slot, and the slot's size
};
// For `--plan`: fetches the changed objects' indexes, chunks the running slot, writes nothing. Errors as delta_install().
int delta_estimate(const struct delta_request *request, struct delta_estimate *ret_estimate, struct err *err) must_check nonnull(1, 2, 3);

struct delta_result {
    int uki_fd; // the whole new UKI from offset 0, checked; closed by delta_result_done()
    uint64_t fetched_bytes; // received, repeated ones and indexes included
    uint64_t copied_bytes; // found on this machine
    uint64_t written_bytes; // to the slot; blocks that were right already are not written
    unsigned asked_again; // chunks that arrived or were read damaged
};
// Writes and reads back the whole slot (slotwriter.h); repeated after an interruption it continues where it was. -EAGAIN: trying later may
// help; -EBADMSG: what arrived is not what the manifest says; -EIO: the slot's device gave back other bytes than were written, or could not
// be flushed; -EFBIG: the slot is too small; -ENOSPC: no room on state for the UKI; -EPERM, -EBUSY, -ENODEV, -ENOTUNIQ: the slot's device is refused.
// The UKI's file on state (var/lib/webops/update/uki.part) stays until delta_clean().
int delta_install(const struct delta_request *request, struct delta_result *ret_result, struct err *err) must_check nonnull(1, 2, 3);
void delta_result_done(struct delta_result *result);
// After the UKI was copied to the ESP, or the update was given up.
int delta_clean(int root_fd, struct err *err) must_check nonnull(2);

#define cleanup_delta_result cleanup(delta_result_done)
