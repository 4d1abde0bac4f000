// SPDX-License-Identifier: Apache-2.0
// The bootable disk: GPT, BIOS GRUB, ESP, slot A, empty slot B, state (docs/FORMATS.md "Partitions"), in one sparse plain file.
#pragma once
#include "builder/esp.h"
#include "builder/gpt.h"
#include "common/err.h"
#include <stdint.h>

#define DISK_PARTITIONS 5
enum disk_partition { DISK_BIOS, DISK_ESP, DISK_SLOT_A, DISK_SLOT_B, DISK_STATE };

struct disk_sizes { // bytes, multiples of 1 MiB
    uint64_t esp, slot, state;
};

struct disk_input {
    struct esp_input esp; // with the seed of all identifiers
    struct disk_sizes sizes;
    const char *slot_path; // slot image for A
    const char *grub_dir; // …/lib/grub/i386-pc
    const char *temp_dir; // for small intermediate files, which are removed
};

// Where everything goes. Pure. Returns the size of the disk in *ret_disk_bytes.
int disk_plan(const struct identity *identity, const struct disk_sizes *sizes, struct gpt_partition ret_partitions[DISK_PARTITIONS],
              uint64_t *ret_disk_bytes, struct err *err) must_check nonnull(1, 2, 4, 5);
// Writes the disk to `path` (replaced when it exists, removed on failure). Holes in the file are bytes whose value does not matter:
// what must be zero on a disk that had an earlier life is written as zeros, so that flashing by block map is safe.
int disk_create(const struct disk_input *input, const char *path, struct err *err) must_check nonnull(1, 2, 3);
