// SPDX-License-Identifier: Apache-2.0
// The entries of a FAT directory, with long names. Pure: where they lie is fat.c's business.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FATDIR_MAX_NAME 200

struct fatdir {
    uint8_t *data;
    size_t size; // bytes, a multiple of 512
};

struct fatdir_entry {
    size_t first, last; // where it begins, with its long name, and its short entry
    bool is_directory;
    uint32_t cluster; // 0 = none
};

// By its long or its short name; case does not matter.
bool fatdir_find(const struct fatdir *dir, const char *name, struct fatdir_entry *ret_entry) nonnull(1, 2, 3);
void fatdir_remove(struct fatdir *dir, const struct fatdir_entry *entry) nonnull(1, 2);
// What size the directory must have for another entry of this name.
size_t fatdir_size_with(const struct fatdir *dir, const char *name) nonnull(1, 2);
// The name is ASCII, and the size suffices.
void fatdir_add(struct fatdir *dir, const char *name, bool is_directory, uint32_t cluster, size_t file_bytes) nonnull(1, 2);
// "." and "..", which every directory but the root begins with; `parent` is 0 when that is the root.
void fatdir_begin(struct fatdir *dir, uint32_t own, uint32_t parent) nonnull(1);
