// SPDX-License-Identifier: Apache-2.0
// The paths of a layer, or of a stack of layers, with type, mode and owner: what a layer above has to know without unpacking anything.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct index_entry {
    char *path; // relative, without leading slash; "" is the root
    mode_t mode; // type and permissions; S_IFCHR stands for a whiteout
    uid_t uid;
    gid_t gid;
};

struct index {
    struct index_entry *entries; // sorted by path when `sorted`
    size_t count, capacity;
    bool sorted;
};

void index_done(struct index *index);
void index_add(struct index *index, const char *path, mode_t mode, uid_t uid, gid_t gid) nonnull(1, 2);
// Sorts when needed. NULL when the path is not there.
const struct index_entry *index_find(struct index *index, const char *path) nonnull(1, 2);
bool index_is_whiteout(const struct index_entry *entry) nonnull(1);
// Puts `above` on top of `index`: whiteouts hide a path and everything under it, a non-directory hides what was under a directory.
void index_merge(struct index *index, struct index *above) nonnull(1, 2);
void index_copy(const struct index *from, struct index *to) nonnull(1, 2); // appends
// "<mode octal> <uid> <gid> <path>" lines, sorted. Paths hold no newline: the normaliser refuses them.
void index_format(struct index *index, struct buf *ret_text) nonnull(1, 2);
int index_parse(const char *text, size_t size, struct index *ret_index, struct err *err) must_check nonnull(1, 3, 4);

#define cleanup_index cleanup(index_done)
