// SPDX-License-Identifier: Apache-2.0
// What is in an image: partitions, slots, layers, root hash, command line, packages; and whether the slots are what their root hashes say.
#pragma once
#include "builder/dpkg_status.h"
#include "builder/gpt.h"
#include "common/err.h"
#include "common/slot.h"
#include <stdbool.h>
#include <stdint.h>

#define INSPECT_MAX_PARTITIONS 16
#define INSPECT_MAX_DISK_BYTES ((uint64_t)1 << 42) // a qcow2 that claims more is not unpacked

enum inspect_state {
    INSPECT_EMPTY, // no generation
    INSPECT_GOOD, // verified
    INSPECT_BAD, // `problem` says why
};

struct inspect_slot {
    char name[GPT_NAME_BYTES]; // "webops-a"; "slot" for a bare slot image
    uint64_t offset, space_bytes;
    enum inspect_state state;
    struct err problem;
    bool has_header, has_boot; // which of the next two are filled
    struct slot_header header;
    struct slot_boot boot; // of the command line; of the tree itself for a bare slot image, which has none
    char *cmdline; // NULL when there is none
};

struct inspect {
    const char *format; // "raw", "qcow2" or "slot"
    uint64_t file_bytes; // used on the host's disk
    uint64_t disk_bytes;
    struct gpt_partition partitions[INSPECT_MAX_PARTITIONS];
    unsigned partition_count;
    struct inspect_slot slots[2];
    unsigned slot_count;
    struct dpkg_status packages; // of the first good slot; empty when its layers have no dpkg database
};

// Reads and verifies. A slot that does not verify is not a failure of this function: see inspect_is_good(). Temporary files go to a
// directory of their own under TMPDIR (default /var/tmp) and are removed. -EMEDIUMTYPE when it is no disk of ours: no GPT, more than
// INSPECT_MAX_PARTITIONS, or no slots.
int inspect_load(const char *path, struct inspect *ret_inspect, struct err *err) must_check nonnull(1, 2, 3);
void inspect_done(struct inspect *inspect);
// True when there is a generation, and none that does not verify.
bool inspect_is_good(const struct inspect *inspect) nonnull(1);

// inspect_report.c
struct buf;
void inspect_format_text(const struct inspect *inspect, const char *path, bool packages, struct buf *text) nonnull(1, 2, 4);
void inspect_format_json(const struct inspect *inspect, struct buf *text) nonnull(1, 2);

#define cleanup_inspect cleanup(inspect_done)
