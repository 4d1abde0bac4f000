// SPDX-License-Identifier: Apache-2.0
// The exact packages of a build, kept beside its profile: what `webops-image lock` writes and `build --locked` takes instead of asking apt. Text
// and lists, no I/O. Format: docs/FORMATS.md.
#pragma once
#include "builder/package_set.h"
#include "builder/recipe.h"

#define LOCKFILE_MAX_BYTES (16 << 20)
#define LOCKFILE_MAX_PARTS 16

struct lockfile_part {
    char *name; // the image definition's for the base, else the layer's
    char *wants; // what the recipe asked for, separated by blanks
    struct package_set set; // what that came to
};

struct lockfile {
    char *image, *architecture;
    struct lockfile_part *parts; // base first
    size_t count;
};

void lockfile_format(const struct lockfile *lockfile, struct buf *ret_text) nonnull(1, 2);
// -EINVAL names the line.
int lockfile_parse(const char *text, size_t size, const char *name, struct lockfile *ret_lockfile, struct err *err) must_check
    nonnull(1, 3, 4, 5);
void lockfile_done(struct lockfile *lockfile);
// Adds a part: a copy of the recipe's words and of the set.
void lockfile_add(struct lockfile *lockfile, const char *name, const struct strings *wants, const struct package_set *set)
    nonnull(1, 2, 3, 4);
// Copies the set of part number `index`, if that is the recipe's part and asks for what it was made for: each part was resolved on top of those below,
// so that another order is another choice. -ESTALE names both.
int lockfile_take(const struct lockfile *lockfile, size_t index, const char *name, const struct strings *wants, struct package_set *ret_set,
                  struct err *err) must_check nonnull(1, 3, 4, 5, 6);
// After the last part: -ESTALE when the lock has more than `count`.
int lockfile_end(const struct lockfile *lockfile, size_t count, struct err *err) must_check nonnull(1, 3);

#define cleanup_lockfile cleanup(lockfile_done)
