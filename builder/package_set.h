// SPDX-License-Identifier: Apache-2.0
// A resolved set of packages, .deb or .rpm: exactly what is installed, by name, version and hash. Pure text and lists, no I/O.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct package {
    char *name, *version, *architecture;
    char *file; // its own name; in the cache it has that of its hash, for distributions have packages of one name with other content
    char *sha256; // 64 hex digits
    char *uri; // where it was offered
    uint64_t size_bytes; // of the file
};

struct package_dirs { // absolute paths in the local cache, both exist; and whether it must do
    const char *metadata; // release files and package lists
    const char *packages; // .deb and .rpm files, by their SHA-256
    bool is_offline; // nobody is asked: what is not in the cache is missing
};

struct package_set {
    struct package *packages; // sorted by name, then architecture
    size_t count;
};

void package_done(struct package *package) nonnull(1);
void package_set_done(struct package_set *set);
// NULL when the set has no such package.
const struct package *package_set_find(const struct package_set *set, const char *name) nonnull(1, 2);

// One line per package, tab-separated; the same set is always the same text, so it can be hashed as a node's input.
void package_set_format(const struct package_set *set, struct buf *ret_text) nonnull(1, 2);
int package_set_parse(const char *text, size_t size, struct package_set *ret_set, struct err *err) must_check nonnull(1, 3, 4);
// Reads what `apt-get --print-uris -o Acquire::ForceHash=SHA256` prints: 'URI' file size SHA256:hash. Other lines are refused.
int package_set_parse_uris(const char *text, size_t size, struct package_set *ret_set, struct err *err) must_check nonnull(1, 3, 4);

// Compares the packages that a dpkg status file (`text`; dnf's images have a list in its format) calls installed with `set` and the sets below it (`parents`, bottom to top; a set above
// replaces packages of the ones below). -EINVAL names the first difference.
int package_set_verify_status(const struct package_set *const *sets, size_t count, const char *text, size_t size,
                              struct err *err) must_check nonnull(1, 3, 5);
// Only that everything of `set` is installed in the right version.
int package_set_verify_installed(const struct package_set *set, const char *text, size_t size, struct err *err) must_check nonnull(1, 2, 4);

#define cleanup_package_set cleanup(package_set_done)
