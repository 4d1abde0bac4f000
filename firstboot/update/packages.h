// SPDX-License-Identifier: Apache-2.0
// Which packages a new generation changes: dpkg's status of the running one against the bundle's package list. Pure.
#pragma once
#include "common/buf.h"
#include "common/err.h"
#include <stddef.h>

#define PACKAGES_MAX_BYTES (16 << 20)

struct package {
    char *name, *version;
};
struct packages {
    struct package *items; // by name
    size_t count;
};
void packages_done(struct packages *packages);
// The status file of the running generation: dpkg's, or the list in its format beside rpm's database. -ENOENT: there is none.
int packages_load_status(int root_fd, char **ret_text, struct err *err) must_check nonnull(2, 3);
// /var/lib/dpkg/status: paragraphs with Package, Version and Status. Only what is installed counts; foreign lines are skipped.
void packages_parse_status(const char *text, struct packages *ret_packages) nonnull(1, 2);
// Lines "layer TAB name TAB version TAB architecture". -EINVAL names the line.
int packages_parse_list(const char *text, struct packages *ret_packages, struct err *err) must_check nonnull(1, 2, 3);

struct packages_diff {
    size_t added, removed, changed;
};
// One line per difference, by name: "+ name version", "- name version", "  name old → new".
void packages_compare(const struct packages *old, const struct packages *new, struct buf *text, struct packages_diff *ret_diff)
    nonnull(1, 2, 3, 4);

#define cleanup_packages cleanup(packages_done)
