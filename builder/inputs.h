// SPDX-License-Identifier: Apache-2.0
// What a node of the build graph is made from: named inputs with a value or a hash, and the key that follows from them.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define INPUTS_KEY_CHARS 64

struct input {
    char *name; // "profile cmdline", "file overlays/base/files/etc/motd"
    char *value; // short text, or SHA-256 in hex; one line
};

struct inputs {
    struct input *items;
    size_t count;
};

void inputs_done(struct inputs *inputs);
// Newlines in `value` are not allowed (assert): hash longer texts with inputs_add_hash.
void inputs_add(struct inputs *inputs, const char *name, const char *value) nonnull(1, 2, 3);
void inputs_add_number(struct inputs *inputs, const char *name, uint64_t value) nonnull(1, 2);
void inputs_add_hash(struct inputs *inputs, const char *name, const void *data, size_t size) nonnull(1, 2);
// Content of one file.
int inputs_add_file(struct inputs *inputs, const char *name, const char *path, struct err *err) must_check nonnull(1, 2, 3, 4);
// One input per file or symlink below `dir` (in byte order of their paths), named "<prefix><relative path>": type, executable bit, content.
// A directory counts by what it holds, an empty one by its name. A missing `dir` adds nothing.
int inputs_add_tree(struct inputs *inputs, const char *prefix, const char *dir, struct err *err) must_check nonnull(1, 2, 3, 4);
// SHA-256 over all names and values in order, hex.
void inputs_key(const struct inputs *inputs, char ret_key[INPUTS_KEY_CHARS + 1]) nonnull(1, 2);

// "name\tvalue\n" lines, for `plan` to compare with later.
char *inputs_format(const struct inputs *inputs) nonnull(1);
int inputs_parse(const char *text, struct inputs *ret_inputs, struct err *err) must_check nonnull(1, 2, 3);
// The first differences between what was built last and now, as one line ("changed: a, b; new: c; gone: d"); the caller frees.
char *inputs_difference(const struct inputs *before, const struct inputs *now) nonnull(1, 2);

#define cleanup_inputs cleanup(inputs_done)
