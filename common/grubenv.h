// SPDX-License-Identifier: Apache-2.0
// The two boot environments of BIOS machines, grub/env1 and grub/env2 on the ESP: 1024 bytes each in GRUB's own format, all variables in the
// first 512. docs/FORMATS.md, "GRUB environment". Pure, no I/O. The script that reads them is in builder/grub_script.c.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

#define GRUBENV_BYTES 1024
#define GRUBENV_MAX_TRIES 9
#define GRUBENV_MAX_NUMBER 2000000000 // GRUB compares numbers as signed 32 bits

struct grubenv {
    uint32_t number; // 1 … GRUBENV_MAX_NUMBER; counts up with every write of ours; the valid copy with the higher one counts
    char good; // 'a' | 'b'
    char trial; // 'a' | 'b', or 0: none; never `good`. With tries_left 0 it is bad.
    unsigned tries_left, tries_done; // of the trial, each 0 … GRUBENV_MAX_TRIES; 0 without one
};

// The content must be one that grubenv_parse() accepts (asserted).
void grubenv_format(const struct grubenv *env, uint8_t ret_bytes[GRUBENV_BYTES]) nonnull(1, 2);
// -EINVAL for anything that grubenv_format() or GRUB's save_env would not have written: size, header, check value, unknown variables.
int grubenv_parse(const uint8_t *bytes, size_t size, struct grubenv *ret_env, struct err *err) must_check nonnull(1, 3, 4);
// The copy that counts: the higher number; with equal numbers the one with fewer tries left, because GRUB spends them in one copy after the
// other. -ENOENT when neither is valid (NULL = file missing).
int grubenv_choose(const uint8_t *first, size_t first_size, const uint8_t *second, size_t second_size, struct grubenv *ret_env,
                   struct err *err) must_check nonnull(5, 6);
// Text of webops/<slot>.cfg, which grub.cfg sources. -EINVAL when the command line has characters GRUB's parser would not keep as they are.
int grubenv_format_cmdline(const char *cmdline, struct buf *text, struct err *err) must_check nonnull(1, 2, 3);
