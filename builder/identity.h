// SPDX-License-Identifier: Apache-2.0
// Identifiers that are the same for the same generation and differ between any two: derived from profile, version and a purpose.
#pragma once
#include "common/cleanup.h"
#include <stdint.h>

#define IDENTITY_UUID_BYTES 37 // text with NUL

struct identity {
    const char *profile, *version;
};

// A version 4 shaped UUID, upper case as GPT tools print it.
void identity_uuid(const struct identity *identity, const char *purpose, char ret_uuid[IDENTITY_UUID_BYTES]) nonnull(1, 2);
uint32_t identity_u32(const struct identity *identity, const char *purpose) must_check nonnull(1, 2);
