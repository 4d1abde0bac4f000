// SPDX-License-Identifier: Apache-2.0
// What `webops status --json` says about a machine, as far as a test wants to know. Pure: text in, fields out.
#pragma once
#include "common/err.h"
#include "common/slot.h"
#include <stdbool.h>

struct machine_status {
    char profile[SLOT_NAME_BYTES], version[SLOT_VERSION_BYTES];
    char root_hash[2 * 32 + 1];
    char slot[8]; // "a", "b"
    char states[2][16]; // of slots a and b: "good", "trial", "bad", "empty"; "" when the machine does not tell
    bool is_healthy;
    size_t problem_count; // of its configuration
    char problem[160]; // the first one
};

// -EINVAL when the text is not such a report.
int machine_status_parse(const char *text, struct machine_status *ret_status, struct err *err) must_check nonnull(1, 2, 3);
