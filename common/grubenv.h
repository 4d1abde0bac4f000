// SPDX-License-Identifier: Apache-2.0
// The two boot environments of BIOS machines, grub/env1 and grub/env2 on the ESP: 1024 bytes each in GRUB's own format, all variables in the
// first 512. docs/FORMATS.md, "GRUB environment". Pure, no I/O. The script that reads them is in builder/grub.c.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

#define GRUBENV_BYTES 1024
#define GRUBENV_MAX_TRIES 9

struct grubenv {
    uint32_t number; // counts up with every write; the valid copy with the higher one counts
    char good; // 'a' | 'b'
    char trial; // 'a' | 'b', or 0: none
    unsigned tries_left, tries_done; // of the trial
};

void grubenv_format(const struct grubenv *env, uint8_t ret_bytes[GRUBENV_BYTES]) nonnull(1, 2);
// -EINVAL for anything that grubenv_format() or GRUB's save_env would not have written: size, header, check value, unknown variables.
int grubenv_parse(const uint8_t *bytes, size_t size, struct grubenv *ret_env, struct err *err) must_check nonnull(1, 3, 4);
// The copy that counts. -ENOENT when neither is valid (NULL = file missing).
int grubenv_choose(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size, struct grubenv *ret_env,
                   struct err *err) must_check nonnull(5, 6);
