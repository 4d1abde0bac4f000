// SPDX-License-Identifier: Apache-2.0
// A resolved set of Debian packages: exactly what is installed, by name, version and hash. Pure text and lists, no I/O.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct apt_package {
    char *name, *version, *architecture;
    char *file; // name of the .deb in the package cache
    char *sha256; // 64 hex digits
    char *uri; // where it was offered
    uint64_t size_bytes; // of the .deb
};

struct apt_set {
    struct apt_package *packages; // sorted by name, then architecture
    size_t count;
};

void apt_set_done(struct apt_set *set);
// NULL when the set has no such package.
const struct apt_package *apt_set_find(const struct apt_set *set, const char *name) nonnull(1, 2);

// One line per package, tab-separated; the same set is always the same text, so it can be hashed as a node's input.
void apt_set_format(const struct apt_set *set, struct buf *ret_text) nonnull(1, 2);
int apt_set_parse(const char *text, size_t size, struct apt_set *ret_set, struct err *err) must_check nonnull(1, 3, 4);
// Reads what `apt-get --print-uris -o Acquire::ForceHash=SHA256` prints: 'URI' file size SHA256:hash. Other lines are refused.
int apt_set_parse_uris(const char *text, size_t size, struct apt_set *ret_set, struct err *err) must_check nonnull(1, 3, 4);

// Compares the packages that a dpkg status file (`text`) calls installed with `set` and the sets below it (`parents`, bottom to top; a set above
// replaces packages of the ones below). -EINVAL names the first difference.
int apt_set_verify_status(const struct apt_set *const *sets, size_t count, const char *text, size_t size, struct err *err) must_check
    nonnull(1, 3, 5);
// Only that everything of `set` is installed in the right version.
int apt_set_verify_installed(const struct apt_set *set, const char *text, size_t size, struct err *err) must_check nonnull(1, 2, 4);

#define cleanup_apt_set cleanup(apt_set_done)
