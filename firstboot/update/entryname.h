// SPDX-License-Identifier: Apache-2.0
// Names of our boot entries in loader/entries: "a.conf", "b+3.conf", "b+2-1.conf". Pure. Grammar of the counter: systemd's
// AUTOMATIC_BOOT_ASSESSMENT; ours is stricter, and what is not ours is left alone.
#pragma once
#include "firstboot/update/boot.h"

#define ENTRYNAME_BYTES 32
#define ENTRYNAME_MAX_COUNT 999999999

struct entryname {
    enum boot_slot slot;
    bool is_counted;
    unsigned left, done; // 0 … ENTRYNAME_MAX_COUNT; 0 when not counted
};

// False for every other name: other case, signs, leading zeros, "-0", numbers of more than nine digits.
bool entryname_parse(const char *name, struct entryname *ret_name) must_check nonnull(1, 2);
// "-<done>" is left out while it is 0.
void entryname_format(const struct entryname *name, char ret_text[ENTRYNAME_BYTES]) nonnull(1, 2);
