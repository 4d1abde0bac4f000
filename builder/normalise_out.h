// SPDX-License-Identifier: Apache-2.0
// The writing half of the normaliser (private to normalise*.c): one clean pax entry after the other, parents first, nothing twice.
#pragma once
#include "builder/normalise.h"
#include <locale.h>

struct archive;
struct archive_entry;

struct normalise {
    struct normalise_options options;
    struct archive *out;
    struct index index; // what was written, in order
    uint32_t *table; // hash table over index.entries: position + 1, 0 = free
    size_t table_size; // power of two
    struct index later; // excluded directories, written when something below them is
    struct index overrides, opaque;
    struct buf status; // dpkg's
    bool kernel_seen;
    locale_t locale;
};

struct normalise_out_entry {
    const char *path;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    uint64_t size;
    const char *target, *hardlink;
    const void *data;
    int fd;
    struct archive_entry *xattrs; // where to take extended attributes from; NULL = none
};

int normalise_out_open(struct normalise *n, int out_fd, struct err *err) must_check nonnull(1, 3);
void normalise_out_free(struct normalise *n) nonnull(1);
// Writes one entry; file content comes from `in` when it is given, else from data or fd. A directory that was written already is left as it
// is; any other path that comes twice is -EEXIST.
int normalise_out_write(struct normalise *n, const struct normalise_out_entry *entry, struct archive *in, struct err *err) must_check
    nonnull(1, 2, 4);
const struct index_entry *normalise_out_find(const struct normalise *n, const char *path) nonnull(1, 2);
bool normalise_out_is_opaque(struct archive_entry *entry) nonnull(1);
int normalise_out_close(struct normalise *n, struct err *err) must_check nonnull(1, 2);
