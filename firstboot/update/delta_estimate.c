// SPDX-License-Identifier: Apache-2.0
// What an update would fetch, for `webops update --plan`: looks as an installation does, and stops there.
#include "common/file.h"
#include "firstboot/update/delta_state.h"
#include "firstboot/update/slotdevice.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void sum_pieces(const struct delta *delta, struct delta_estimate *estimate) {
    for (size_t i = 0; i < delta->plan.count; i++) {
        const struct delta_piece *piece = &delta->plan.pieces[i];
        if (piece->place != DELTA_FETCH)
            continue;
        *(piece->object ? &estimate->layers[piece->object - 1].fetch_bytes : &estimate->uki_fetch_bytes) += piece->bytes;
    }
    for (size_t i = 1; i < delta->object_count; i++) {
        estimate->layers[i - 1].bytes = delta->objects[i].bytes;
        estimate->layers[i - 1].is_unchanged = delta->objects[i].same >= 0;
    }
}

int delta_estimate(const struct delta_request *request, struct delta_estimate *ret_estimate, struct err *err) {
    cleanup_delta struct delta delta = {.request = request, DELTA_NONE};
    const struct manifest *manifest = request->manifest;
    struct slotdevice device;
    struct stat st;
    int r = slotdevice_open_read(request->root_fd, request->record, request->slot, &device, err);
    if (r < 0)
        return r;
    cleanup_fd int slot_fd = device.fd;
    cleanup_fd int uki_fd = openat(request->root_fd, DELTA_UKI_PATH, O_RDONLY | O_CLOEXEC | O_NOFOLLOW); // of an interrupted attempt
    bool is_usable = uki_fd >= 0 && fstat(uki_fd, &st) == 0 && (uint64_t)st.st_size == manifest->uki.bytes;
    r = delta_look(&delta, slot_fd, device.bytes, is_usable ? uki_fd : -1, err);
    if (r < 0)
        return r;
    struct delta_estimate estimate = {
        .total_bytes = manifest_payload_bytes(manifest),
        .fetch_bytes = delta.index_bytes + delta.plan.fetch_bytes,
        .copy_bytes = delta.plan.copy_bytes,
        .index_bytes = delta.index_bytes,
        .uki_bytes = manifest->uki.bytes,
        .slot_bytes = manifest->boot.data_blocks * SLOT_BLOCK_BYTES + slot_tree_bytes(manifest->boot.data_blocks),
        .slot_available_bytes = device.bytes,
    };
    sum_pieces(&delta, &estimate);
    *ret_estimate = estimate;
    return 0;
}
