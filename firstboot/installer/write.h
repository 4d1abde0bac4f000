// SPDX-License-Identifier: Apache-2.0
// Writes an image to a disk by webops-flash, from the medium or from an address, and tells how far it is.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>

struct install_write {
    const char *disk, *serial; // "/dev/sda"; "" = it has none
    const char *image; // path or address; its block map lies beside it
    const char *sha256; // of the block map; NULL = not told
    const char *config, *secrets; // paths; NULL = none
    const char *program; // NULL = the machine's webops-flash
    void (*tell)(const char *line); // now and then: "writing 45 %"
};

// -EIO: webops-flash failed, -EAGAIN: and may not fail later; err says what it said, or, when it could say nothing, how it ended and whether the disk
// is unfinished. All that it said is in the log, too.
int install_write(const struct install_write *write, struct err *err) must_check nonnull(1, 2);
// What a line of `webops-flash --json` is worth telling: "writing 45 %" or "reading back". False: nothing. Pure.
#define INSTALL_LINE_BYTES 128
bool install_progress(const char *line, char ret_text[INSTALL_LINE_BYTES]) must_check nonnull(1, 2);
