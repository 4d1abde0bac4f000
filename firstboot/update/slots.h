// SPDX-License-Identifier: Apache-2.0
// What is in each slot, for `webops status`: written, booted and committed are three things, and each is asked where it is kept: the
// slot's own header, the attempts, the boot entry.
#pragma once
#include "common/buf.h"
#include "firstboot/update/machine.h"
#include <jansson.h>

#define UPDATE_SEEN_PATH "run/webops/update.json" // what the last look at a channel or bundle showed

// Facts of one slot.
struct slot_view {
    enum boot_slot slot;
    bool is_running, has_header;
    struct slot_header header; // of what is written
    struct boot_entry entry; // in the backend that started this machine
    struct attempts attempts; // of the generation on trial, if it is this slot's
    enum journal_state journal; // of the last update, if it went to this slot; else JOURNAL_NONE
    unsigned tries;
    bool is_rejected;
    struct rejection rejection;
};
// {"profile", "version", "sequence", "state": "good" | "trial" | "bad" | "empty" | "installing", "running", "written", "booted",
//  "committed", "tries", "tries_left", "why"}. Pure.
json_t *slot_view_json(const struct slot_view *view) nonnull(1);
// "good, runs", "trial, 2 of 3 tries left, not booted yet", "bad: health: sshd: …" from such an object.
void slot_json_format(const json_t *slot, struct buf *text) nonnull(1, 2);

// {"slots": {"a": …, "b": …}, "channel", "compatible", "development_keys", "journal", "seen"}; what cannot be had (no root) is null.
json_t *update_status(int root_fd);
// `slots` is what update_status() had under that name.
void update_status_format(const json_t *status, const json_t *slots, struct buf *text) nonnull(3);
