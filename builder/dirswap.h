// SPDX-License-Identifier: Apache-2.0
// A directory whose files change together or not at all: a copy beside it is changed, and takes its place in one step. After a kill or a power cut the
// directory is the old one or the new one, and the next dirswap_begin() removes, or brings back, what was left beside it.
#pragma once
#include "common/err.h"

// Copies `parent`/`name`, which is made (0700) if it is missing, with cp(1) to a hidden directory beside it. Returns a descriptor of that one, for the
// caller to change and close.
int dirswap_begin(const char *parent, const char *name, struct err *err) must_check nonnull(1, 2, 3);
// Puts the copy in place and removes what was there. Where the file system cannot exchange two names, `name` is missing for an instant.
int dirswap_end(const char *parent, const char *name, struct err *err) must_check nonnull(1, 2, 3);
// Gives the copy up; without one nothing happens.
void dirswap_drop(const char *parent, const char *name) nonnull(1, 2);
