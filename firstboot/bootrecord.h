// SPDX-License-Identifier: Apache-2.0
// /run/webops/boot, which the init writes: slot, devices, generation, layers. Keys: docs/FORMATS.md, "Boot record".
#pragma once
#include "common/config.h"
#include <stdbool.h>

#define BOOTRECORD_PATH "run/webops/boot"

// An absent record (not one of our machines, a container) is an empty one.
int bootrecord_load(int root_fd, struct config *ret_record, struct err *err) must_check nonnull(2, 3);
// "" when the record has no such key.
const char *bootrecord_text(const struct config *record, const char *key) nonnull(1, 2);
// Whether this machine was started from an installation medium: it has no slots, no boot files and no state of its own.
bool bootrecord_is_medium(const struct config *record) nonnull(1);
