// SPDX-License-Identifier: Apache-2.0
// What is in the volatile /etc that nobody rendered: walks the overlay's upper layer and compares it with that list.
#pragma once
#include "firstboot/rendered.h"

#define DRIFT_UPPER "run/webops/etc/upper" // becomes etc/

enum drift_kind { DRIFT_ADDED, DRIFT_CHANGED, DRIFT_REMOVED };
struct drift_item {
    enum drift_kind kind;
    char *path; // relative to the root
};
struct drift {
    struct drift_item *items; // sorted by path
    size_t count;
};

void drift_done(struct drift *drift);
extern const char *const drift_words[]; // by enum drift_kind
// -ENOENT when this machine has no volatile /etc, -EACCES when we may not look.
int drift_find(int root_fd, const struct rendered *rendered, struct drift *ret_drift, struct err *err) must_check nonnull(2, 3, 4);
// Files that the system itself writes while it runs; '*' as in fnmatch(3).
bool drift_is_expected(const char *path) nonnull(1);

#define cleanup_drift cleanup(drift_done)
