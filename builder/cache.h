// SPDX-License-Identifier: Apache-2.0
// The content-addressed cache: one directory per built node, published by rename when it is complete. Several builds may use it at once.
//
//   nodes/<kind>-<key>/      files of the node, `inputs` (what it was made from), `files` (bytes, SHA-256 and name of each)
//   tmp/<random>/            being built; swept when its builder is gone
//   locks/                   one file per node that is or was being built
//   last/<profile>/<label>   inputs of the last build, for `plan` to explain what changed
//   packages/ metadata/ downloads/   of the package backends
#pragma once
#include "builder/inputs.h"
#include <stdbool.h>

struct cache {
    char *path; // absolute
    int dir_fd;
};

struct cache_entry { // between cache_begin and cache_commit or cache_abort
    char *dir; // absolute path of the temporary directory to fill
    char *name; // <kind>-<key>
    int lock_fd; // of the temporary directory
    int node_lock_fd; // of the node, -1 for scratch space
};

// Makes the directory (0700) and its rooms; removes what dead builds left in tmp/.
int cache_open(const char *path, struct cache *ret_cache, struct err *err) must_check nonnull(1, 2, 3);
void cache_done(struct cache *cache);

// Complete and of the recorded sizes; whoever goes on to use an entry comes through cache_begin, which reads and hashes it. A damaged entry
// is removed with a warning and counts as missing.
bool cache_has(const struct cache *cache, const char *kind, const char *key) nonnull(1, 2, 3);
// Absolute path of a file in an entry; the caller frees.
char *cache_path(const struct cache *cache, const char *kind, const char *key, const char *file) nonnull(1, 2, 3, 4);
// Removes an entry that was found to be damaged.
int cache_drop(const struct cache *cache, const char *kind, const char *key, struct err *err) must_check nonnull(1, 2, 3, 4);

// Waits for the node's lock. Returns 1 when the node is there and every byte of it is what was built (another build may have finished it
// meanwhile), 0 with *ret_entry to fill.
int cache_begin(const struct cache *cache, const char *kind, const char *key, struct cache_entry *ret_entry, struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);
// Writes inputs and hashes, flushes every file, renames. The entry is done in either case.
int cache_commit(const struct cache *cache, struct cache_entry *entry, const struct inputs *inputs, struct err *err) must_check
    nonnull(1, 2, 3, 4);
// Removes the temporary directory.
void cache_abort(struct cache_entry *entry) nonnull(1);

// A temporary directory beside the cache's own, swept like them; the caller removes it with cache_abort().
int cache_scratch(const struct cache *cache, struct cache_entry *ret_entry, struct err *err) must_check nonnull(1, 2, 3);

int cache_save_last(const struct cache *cache, const char *profile, const char *label, const struct inputs *inputs,
                    struct err *err) must_check nonnull(1, 2, 3, 4, 5);
// False when nothing was recorded (or it cannot be read).
bool cache_load_last(const struct cache *cache, const char *profile, const char *label, struct inputs *ret_inputs) nonnull(1, 2, 3, 4);

#define cleanup_cache cleanup(cache_done)
