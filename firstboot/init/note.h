// SPDX-License-Identifier: Apache-2.0
// What the init leaves on the state partition for whoever runs next: that a generation on trial was started, and why a boot failed.
// Formats: docs/FORMATS.md, "Update state".
#pragma once
#include "common/err.h"
#include <stdint.h>

#define NOTE_DIRECTORY "var/lib/webops/update"
#define NOTE_FAILURE_BYTES 1024 // of the whole note; a longer reason is cut

// Appends "init <root hash>" to the attempts when the file "trial" names this root hash. 1: done; 0: not on trial.
int note_attempt(int state_fd, const uint8_t root_hash[32], struct err *err) must_check nonnull(2, 3);
// Replaces "init-failure" by "<root hash> <step>: <reason>".
int note_failure(int state_fd, const uint8_t root_hash[32], const char *step, const char *reason, struct err *err) must_check
    nonnull(2, 3, 4, 5);

struct boot;
// The step failed: mounts the state if it is known, not damaged and not mounted yet, and writes the note. At most ten seconds, because a
// disk may not answer; nothing of it is reported but to the kernel log.
void note_failed_boot(const struct boot *boot, const char *step, const struct err *reason) nonnull(1, 2, 3);
