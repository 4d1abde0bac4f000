// SPDX-License-Identifier: Apache-2.0
// The manifest of a bundle: what a generation is, and where its parts lie. JSON (docs/FORMATS.md, "Manifest") as signed, and the same as
// flat KEY=value text, which is what the unprivileged webops-verify hands to webops: root never parses the JSON. Pure, no I/O.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include "common/slot.h"
#include <stdbool.h>
#include <stdint.h>

#define MANIFEST_FORMAT 1
#define MANIFEST_UPDATER 1 // what this program can install: a manifest's minimum_updater may not be above it
#define MANIFEST_MAX_BYTES (64 << 10)
#define MANIFEST_NAME_BYTES 64
#define MANIFEST_CMDLINE_BYTES 2048
#define MANIFEST_MAX_PART_BYTES (SLOT_MAX_BYTES)

// A range of bytes: of the bundle's payload (which starts behind the head, at a multiple of 4096), or of the UKI where it says so.
struct manifest_part {
    uint64_t offset, bytes;
    uint8_t sha256[32];
};

struct manifest_layer {
    char name[SLOT_NAME_BYTES], version[SLOT_VERSION_BYTES];
    struct manifest_part data; // the squashfs, not padded
    struct manifest_part index; // its chunks: common/chunkindex.h
};

struct manifest {
    char profile[SLOT_NAME_BYTES], version[SLOT_VERSION_BYTES];
    char compatible[MANIFEST_NAME_BYTES]; // a machine takes only what equals its own: [a-z0-9][a-z0-9.-]*
    char channel[MANIFEST_NAME_BYTES]; // the same characters
    uint64_t sequence; // of the generation, monotonic
    int64_t created, valid_from, valid_until; // seconds since 1970; from ≤ created ≤ until is not required, from < until is
    uint32_t minimum_updater, config_schema;
    bool is_development; // signed with keys that a build made for itself
    struct slot_boot boot; // slot id, data blocks, root hash: what the command line inside the UKI says, too
    char cmdline[MANIFEST_CMDLINE_BYTES]; // whole, with webops.slot=
    struct manifest_layer layers[SLOT_MAX_LAYERS]; // base first
    uint32_t layer_count;
    struct manifest_part packages; // text: one line per package as in the package list
    struct manifest_part uki, uki_index;
    // Inside the UKI (offset counts from its start): the sections with the command line, and what BIOS machines boot.
    struct manifest_part cmdline_in_uki, linux_in_uki, initrd_in_uki;
};

// The rules of all four: parts in the order packages, uki_index, the layers' indexes, uki, layers, each at the aligned end of the one before;
// ranges inside the UKI do not overlap and cmdline_in_uki is cmdline's; cmdline's webops.slot= is boot; boot is what manifest_slot_header()
// makes. Breaking one is -EINVAL, named. common/test/manifest_seed.h makes a valid one for tests.

// Strict: unknown, missing, duplicate members, wrong types, upper-case hex, parts that overlap or leave their order, names and texts outside
// of their alphabets, and any other way to write it than manifest_format()'s
// are -EINVAL and named. `size` over MANIFEST_MAX_BYTES is -EFBIG.
int manifest_parse(const char *text, size_t size, struct manifest *ret_manifest, struct err *err) must_check nonnull(1, 3, 4);
// The bytes that get signed. Members in a fixed order, so the same manifest gives the same bytes.
int manifest_format(const struct manifest *manifest, struct buf *text, struct err *err) must_check nonnull(1, 2, 3);
// The same content as config.env text (common/config.h): PROFILE=…, LAYER0_NAME=…, UKI_OFFSET=…
int manifest_format_flat(const struct manifest *manifest, struct buf *text, struct err *err) must_check nonnull(1, 2, 3);
int manifest_parse_flat(const char *text, size_t size, struct manifest *ret_manifest, struct err *err) must_check nonnull(1, 3, 4);

// The slot header that profile, version, sequence and layers make; -EBADMSG when its id or data size is not boot's.
int manifest_slot_header(const struct manifest *manifest, struct slot_header *ret_header, uint8_t ret_bytes[SLOT_HEADER_BYTES],
                         struct err *err) must_check nonnull(1, 2, 3, 4);
// Bytes of the whole payload, the last part's padding included.
uint64_t manifest_payload_bytes(const struct manifest *manifest) nonnull(1);
