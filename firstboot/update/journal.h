// SPDX-License-Identifier: Apache-2.0
// What the update engine remembers on state, under var/lib/webops/update/: the journal of the update under way (or the last one), attempts
// of a trial, the ledger of rejected generations, the floors of sequence and time, and the history. docs/FORMATS.md, "Update state".
#pragma once
#include "common/buf.h"
#include "common/config.h"
#include "common/err.h"
#include "common/manifest.h"
#include "firstboot/update/boot.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum journal_state {
    JOURNAL_NONE, // no update was ever made here
    JOURNAL_INSTALLING, // the other slot is being written; it has no boot entry
    JOURNAL_TRIAL, // its entry is published; reboot decides
    JOURNAL_COMMITTED,
    JOURNAL_REJECTED,
};
struct journal {
    enum journal_state state;
    enum boot_slot slot; // the one that is or was installed
    struct manifest manifest; // of the new generation
    char from_version[SLOT_VERSION_BYTES]; // what ran when it was installed
    uint8_t from_root_hash[32];
    unsigned tries; // granted
    int64_t started, changed; // seconds since 1970
    bool wants_reboot;
    char location[1024]; // where it comes from: what `webops update` without an argument goes on with after an interruption
};
// An absent or damaged file is JOURNAL_NONE; a damaged one is kept as journal.damaged and reported.
const char *journal_state_name(enum journal_state state); // "none", "installing", "trial", "committed", "rejected"
// Pure; the text is what record_save() gets.
int journal_format(const struct journal *journal, struct buf *text, struct err *err) must_check nonnull(1, 2, 3);
int journal_parse(const char *text, size_t size, struct journal *ret_journal, struct err *err) must_check nonnull(1, 3, 4);
int journal_load(int root_fd, struct journal *ret_journal, struct err *err) must_check nonnull(2, 3);
int journal_save(int root_fd, const struct journal *journal, struct err *err) must_check nonnull(2, 3);

// While a trial is under way: the root hash of the generation on trial, in hex and LF. The init looks at it. NULL removes the file.
#define TRIAL_MARK_PATH "var/lib/webops/update/trial"
int trial_mark_save(int root_fd, const uint8_t root_hash[32], struct err *err) must_check nonnull(3);

// Attempts: one line "<stage> <root hash>" per start of the trial generation, by the init ("init") and by webops ("early"), newest last.
// Other lines (a torn one) are not counted.
#define ATTEMPTS_PATH "var/lib/webops/update/attempts"
struct attempts {
    unsigned init, early;
};
int attempts_load(int root_fd, const uint8_t root_hash[32], struct attempts *ret_attempts, struct err *err) must_check nonnull(2, 3, 4);
int attempts_add(int root_fd, const uint8_t root_hash[32], const char *stage, struct err *err) must_check nonnull(2, 3, 4);
int attempts_clear(int root_fd, struct err *err) must_check nonnull(2);

// Rejections, one file per root hash: kept until `webops update --force` installs that generation.
struct rejection {
    char profile[SLOT_NAME_BYTES], version[SLOT_VERSION_BYTES];
    uint64_t sequence, number; // number: counts up, set by ledger_add()
    uint8_t root_hash[32];
    int64_t time;
    char stage[32]; // "boot loader", "kernel", "init", "start", "health", "operator"
    char check[64]; // the failing check, "" when none
    char reason[512]; // one line
    char *log; // last lines, at most 8 KiB; NULL = none
};
void rejection_done(struct rejection *rejection);
int ledger_add(int root_fd, const struct rejection *rejection, struct err *err) must_check nonnull(2, 3);
// 1 and *ret_rejection when this generation was rejected, 0 when not.
int ledger_find(int root_fd, const uint8_t root_hash[32], struct rejection *ret_rejection, struct err *err) must_check nonnull(2, 3, 4);
// Pure, as above.
void rejection_format(const struct rejection *rejection, struct buf *text) nonnull(1, 2);
int rejection_parse(const char *text, size_t size, struct rejection *ret_rejection, struct err *err) must_check nonnull(1, 3, 4);
// The newest; 0 when there is none.
int ledger_last(int root_fd, struct rejection *ret_rejection, struct err *err) must_check nonnull(2, 3);
int ledger_remove(int root_fd, const uint8_t root_hash[32], struct err *err) must_check nonnull(2, 3);

// Floors: never go back. Absent or damaged: what the running image says.
struct floors {
    uint64_t sequence; // highest ever committed
    uint8_t root_hash[32]; // of that generation; all zero when it is not known
    int64_t time; // latest valid_from or build time ever seen
};
// Fills in root_hash, too. *ret_floors holds what the running image says even on failure.
int floors_load(int root_fd, struct floors *ret_floors, struct err *err) must_check nonnull(2, 3);
int floors_raise(int root_fd, const struct floors *floors, struct err *err) must_check nonnull(2, 3);

#define LEDGER_MAX 64 // rejections that are kept
#define REJECTION_LOG_BYTES (8 << 10)

// One JSON object per line; 256 KiB, then .1
#define HISTORY_PATH "var/lib/webops/update/history.jsonl"
int history_add(int root_fd, const char *event, const struct manifest *manifest, const char *detail, struct err *err) must_check
    nonnull(2, 3, 5);

// What history_add() wrote, oldest first; lines that are damaged are left out. The caller frees it with json_decref().
json_t *history_read(int root_fd);

#define cleanup_rejection cleanup(rejection_done)
