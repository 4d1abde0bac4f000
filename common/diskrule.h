// SPDX-License-Identifier: Apache-2.0
// Which disk an unattended installation writes to: the words of INSTALL_DISK, and their choice among the disks of a machine. Pure. A rule that
// does not leave exactly one disk chooses none.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISKRULE_TEXT_BYTES 128

enum diskrule_pick { DISKRULE_ONLY, DISKRULE_SMALLEST, DISKRULE_LARGEST };

struct diskrule {
    char serial[DISKRULE_TEXT_BYTES], path[DISKRULE_TEXT_BYTES], by[DISKRULE_TEXT_BYTES]; // "" = any
    uint64_t min_bytes, max_bytes; // UINT64_MAX = no limit
    enum diskrule_pick pick;
};

// A disk as rules see it. `path` is the device's own ("/dev/sda"), `by` how it is connected ("nvme").
struct diskrule_disk {
    const char *path, *serial, *by;
    uint64_t bytes;
    bool is_removable, is_medium;
    bool is_seed; // carries a volume that a configuration is looked for on
    const char *excluded; // why it may not be written to; NULL = it may
};

// Blank-separated, each kind of word once, in any order: serial=…, path=/dev/…, by=nvme, size>=100G, size<=2T, smallest or largest. -EINVAL
// names the word that is wrong.
int diskrule_parse(const char *text, struct diskrule *ret_rule, struct err *err) must_check nonnull(1, 2, 3);
// By serial= or path=/dev/disk/…: whatever other disks there are, and in whatever order they are found, it means this one. /dev/sda may be another one at
// every start.
bool diskrule_is_lasting(const struct diskrule *rule) must_check nonnull(1);
// The index of the one disk. `rule->path` must be resolved (/dev/disk/by-id/… is no disk's own path). A disk that is removable or behind USB counts
// only for a rule with serial=, path= or by=usb, medium and seeds only for serial= and path=. An excluded one counts like any other, because the next
// best one is not what the rule means: -EPERM says why it is excluded. -ENOENT: no disk fits; -ENOTUNIQ: more than one does, also when two are
// equally small or large.
int diskrule_choose(const struct diskrule *rule, const struct diskrule_disk *disks, size_t count, size_t *ret_index,
                    struct err *err) must_check nonnull(1, 4, 5);
