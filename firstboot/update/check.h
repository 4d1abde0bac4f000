// SPDX-License-Identifier: Apache-2.0
// Whether this machine takes a generation: a table of rules over the verified manifest and facts about the machine. Pure, no I/O.
#pragma once
#include "common/buf.h"
#include "common/manifest.h"
#include "common/stack.h"
#include "firstboot/update/journal.h"
#include "firstboot/update/generationinfo.h"
#include <stdbool.h>

#define UPDATE_CONFIG_SCHEMA 1 // the newest config schema that this program's parser knows
#define UPDATE_MAX_SEQUENCE 999999999999999999ULL // 18 digits: what the records on state can carry
#define UPDATE_STATE_BYTES (2ULL << 20) // beside the new kernel image: journal, ledger, history, the log of a failed trial,

// What the machine is, gathered by machine.c.
struct update_facts {
    char profile[SLOT_NAME_BYTES], version[SLOT_VERSION_BYTES]; // that run
    uint64_t sequence;
    uint8_t root_hash[32];
    struct generation_info image; // of the running image
    struct floors floors;
    int64_t now; // max(clock, time floor)
    uint64_t slot_bytes; // of the other slot's partition
    uint64_t esp_free_bytes, esp_reusable_bytes; // reusable: files of the other slot on the ESP, which are replaced one by one
    uint64_t esp_largest_old_bytes; // the largest of them
    uint64_t state_free_bytes, state_reusable_bytes; // reusable: the kernel image that an interrupted update left there
    bool is_rejected; // this generation is in the ledger
    char rejected_why[160];
    char stacks[STACK_MAX_STACKS][SLOT_NAME_BYTES]; // of this image, those whose keys stand in the configuration in force
    unsigned stack_count;
};

struct update_flags {
    bool is_forced; // takes a rejected or older generation
    bool checks_channel; // not for a file that the operator named
    const char *channel; // asked for; NULL: the image's own
};

enum update_refusal {
    REFUSAL_COMPATIBLE,
    REFUSAL_CHANNEL,
    REFUSAL_NOT_YET_VALID,
    REFUSAL_EXPIRED,
    REFUSAL_UPDATER,
    REFUSAL_CONFIG_SCHEMA,
    REFUSAL_SEQUENCE_RANGE,
    REFUSAL_SAME_SEQUENCE, // other content under a number that was used: somebody made a mistake, or worse
    REFUSAL_DOWNGRADE,
    REFUSAL_REJECTED,
    REFUSAL_STACKS, // its parser would not know keys that config.env has
    REFUSAL_SLOT_SPACE,
    REFUSAL_ESP_SPACE,
    REFUSAL_STATE_SPACE,
    REFUSALS
};

struct update_verdict {
    bool is_installed; // this very generation runs already: nothing to do
    unsigned count; // of refusals
    enum update_refusal refusals[REFUSALS];
    struct err texts[REFUSALS]; // beside them
    unsigned forced_count; // rules that --force set aside, to be logged
    struct err forced[REFUSALS];
};
void update_check(const struct manifest *manifest, const struct update_facts *facts, const struct update_flags *flags,
                  struct update_verdict *ret_verdict) nonnull(1, 2, 3, 4);
const char *update_refusal_name(enum update_refusal refusal); // "compatible", "downgrade", … as in --json

// Bytes that the slot and the ESP must have room for.
uint64_t update_slot_bytes(const struct manifest *manifest) nonnull(1);
uint64_t update_esp_bytes(const struct manifest *manifest) nonnull(1);
