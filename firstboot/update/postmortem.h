// SPDX-License-Identifier: Apache-2.0
// Why a generation on trial did not make it, found out by the old generation that runs again. The judgement is pure; gathering reads slot,
// ESP, state and journal.
#pragma once
#include "firstboot/update/journal.h"
#include "firstboot/update/machine.h"

#define INIT_FAILURE_PATH                                                                                                                  \
    "var/lib/webops/update/init-failure" // written by the init of a generation on trial: "<root hash> <step>: <reason>"
#define ESP_NOTE_PATTERN "webops/%s.why" // on the ESP: a rejection that could not be written to state

enum trial_fate {
    TRIAL_UNPUBLISHED, // power was cut before the boot entry was written: `webops update` goes on
    TRIAL_WAITING, // it has tries left: the next restart may start it
    TRIAL_FAILED,
};

struct postmortem_facts {
    struct boot_entry entry; // of the slot on trial, in the backend that started this machine
    struct attempts attempts;
    unsigned tries; // granted
    char slot_problem[256]; // what is wrong with the slot's bytes, "" when nothing is
    char esp_problem[256]; // what is wrong with its files on the ESP
    char init_note[400]; // what the init left
    char *log; // last lines of the journal of its last start; NULL = none
    bool has_note; // the generation itself told why, on the ESP
    struct rejection note;
};
void postmortem_facts_done(struct postmortem_facts *facts);

// `has_note`: the generation left its own word on the ESP.
enum trial_fate postmortem_fate(const struct boot_entry *entry, const struct attempts *attempts, bool has_note) nonnull(1, 2);
// Fills in stage, check, reason and log (a copy) of a TRIAL_FAILED.
void postmortem_judge(const struct postmortem_facts *facts, struct rejection *ret_rejection) nonnull(1, 2);
// What cannot be read is left out and logged. Reads the whole slot.
void postmortem_gather(const struct machine *machine, int esp_fd, const struct journal *journal, struct postmortem_facts *ret_facts)
    nonnull(1, 3, 4);

// The last lines of a boot's journal (0 = this one, -1 = the one before), at most REJECTION_LOG_BYTES; NULL when there are none.
char *postmortem_log(int boot);

#define cleanup_postmortem_facts cleanup(postmortem_facts_done)
