// SPDX-License-Identifier: Apache-2.0
// Between what package scripts leave behind and mksquashfs: a tar stream goes in, a deterministic one comes out, without caches, logs,
// identities and host leftovers, with /var moved to its factory place. The rules are a table in normalise_rules.c.
#pragma once
#include "builder/index.h"
#include "builder/labels.h"
#include "builder/recipe.h"
#include <stdint.h>

struct normalise_options {
    int64_t epoch; // every time stamp
    bool base; // adds mount points
    bool kernel; // takes the kernel out of /boot
    struct labels *labels; // gives every entry its SELinux label; NULL = the image has no policy
    const struct strings *exclude; // path patterns as in dpkg's path-exclude; "!pattern" includes again; may be NULL
    struct index *lower; // everything below this layer, merged; NULL for a base
    int side_fd; // directory for LAYER_KERNEL, LAYER_PASSWD, LAYER_GROUP; -1 = none
};

struct normalise_entry { // an entry that does not come from a stream
    const char *path; // relative to the root, final place
    mode_t mode; // with type: S_IFREG, S_IFDIR, S_IFLNK; S_IFCHR is a whiteout
    uid_t uid;
    gid_t gid;
    const char *target; // of a symlink
    const void *data; // of a file, when `fd` < 0
    int fd; // of a file, read from its present offset; -1 = `data`
    uint64_t size; // bytes
};

struct normalise;

int normalise_open(const struct normalise_options *options, int out_fd, struct normalise **ret_normalise, struct err *err) must_check
    nonnull(1, 3, 4);
void normalise_free(struct normalise **normalise);
// Announces a path that normalise_add() will bring: the stream's entry of that path is left out (directories excepted).
void normalise_override(struct normalise *normalise, const char *path) nonnull(1, 2);
// Copies a tar stream. `name` is for messages. Sockets, block and character devices (but overlay whiteouts), names with control
// characters or invalid UTF-8, and paths that leave the root are refused by name; FIFOs are kept.
int normalise_stream(struct normalise *normalise, int in_fd, const char *name, struct err *err) must_check nonnull(1, 3, 4);
// Adds one entry; directories that lead to it are added as they are below. A path whose parent is no directory is -ENOTDIR.
int normalise_add(struct normalise *normalise, const struct normalise_entry *from, struct err *err) must_check nonnull(1, 2, 3);
// Ends the stream: mount points of a base, whiteouts for what opaque directories hid. Closes nothing.
int normalise_finish(struct normalise *normalise, struct err *err) must_check nonnull(1, 2);
// What was written, and the dpkg status file seen ("" when none). Owned by `normalise`.
struct index *normalise_index(struct normalise *normalise) nonnull(1);
const char *normalise_dpkg_status(const struct normalise *normalise, size_t *ret_size) nonnull(1, 2);

static inline void normalise_free_fn(struct normalise **normalise) {
    normalise_free(normalise);
}
#define cleanup_normalise cleanup(normalise_free_fn)
