// SPDX-License-Identifier: Apache-2.0
// The slot header: the first 4096 bytes of a generation. Layout and rules: docs/FORMATS.md. No I/O, no allocation: builds under musl
// for the init as it is.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

#define SLOT_HEADER_BYTES 4096
#define SLOT_BLOCK_BYTES 4096
#define SLOT_MAX_LAYERS 16
#define SLOT_ID_BYTES 16
#define SLOT_NAME_BYTES 48 // with the terminating NUL
#define SLOT_VERSION_BYTES 48
#define SLOT_FORMAT_VERSION 1
#define SLOT_MAX_BYTES (1ULL << 40) // no slot is larger; bounds every sum

struct slot_layer {
    char name[SLOT_NAME_BYTES]; // [a-z0-9][a-z0-9.-]*
    char version[SLOT_VERSION_BYTES]; // printable ASCII without spaces
    uint64_t offset; // bytes, multiple of 4096
    uint64_t length; // bytes of the squashfs, not padded
    uint8_t sha256[32]; // of those bytes
};

struct slot_header {
    uint8_t id[SLOT_ID_BYTES]; // first half of SHA-256 over the header with these bytes zero
    uint64_t sequence; // of the generation, monotonic
    char profile[SLOT_NAME_BYTES];
    char version[SLOT_VERSION_BYTES]; // of the generation
    uint64_t data_bytes; // header + padded layers = where the hash tree starts; multiple of 4096
    uint32_t layer_count; // 1 … SLOT_MAX_LAYERS
    struct slot_layer layers[SLOT_MAX_LAYERS]; // base first; offsets ascending, gap-free, starting at 4096
};

// Fills in offsets, data_bytes and id from lengths, and writes the 4096 bytes. -EINVAL names the field that breaks a rule.
int slot_header_format(struct slot_header *header, uint8_t ret_bytes[SLOT_HEADER_BYTES], struct err *err) must_check nonnull(1, 2, 3);
// Reads and checks everything: magic, format, id, names, order, bounds, zero padding. *ret_header is untouched on failure.
int slot_header_parse(const uint8_t *bytes, size_t size, struct slot_header *ret_header, struct err *err) must_check nonnull(3, 4);

// webops.slot=<slot id, 32 hex>:<data blocks>:<root hash, 64 hex> on the kernel command line.
struct slot_boot {
    uint8_t id[SLOT_ID_BYTES];
    uint64_t data_blocks; // of 4096 bytes
    uint8_t root_hash[32];
};
#define SLOT_BOOT_TEXT_BYTES 128
int slot_boot_format(const struct slot_boot *boot, char ret_text[SLOT_BOOT_TEXT_BYTES]); // value without "webops.slot="
int slot_boot_parse(const char *value, struct slot_boot *ret_boot, struct err *err) must_check nonnull(1, 2, 3);
// Finds "webops.slot=" in a whole kernel command line; -ENOENT when missing, -EINVAL when it stands there twice.
int slot_boot_find(const char *command_line, struct slot_boot *ret_boot, struct err *err) must_check nonnull(1, 2, 3);
// Bytes of the dm-verity hash tree (SHA-256, 4096/4096, no superblock) over data_blocks; 0 for a single block, which is its own root.
uint64_t slot_tree_bytes(uint64_t data_blocks);
// `2 * size + 1` bytes at ret_text, lower case.
void hex_format(const uint8_t *bytes, size_t size, char *ret_text);
bool hex_parse(const char *text, size_t size, uint8_t *ret_bytes);
