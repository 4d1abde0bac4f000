// SPDX-License-Identifier: Apache-2.0
// Carries a plan out below a root directory: writes what differs, removes what is no longer planned, remembers what was written.
// Knows nothing of running services; firstboot/react.h does.
#pragma once
#include "firstboot/plan.h"

struct apply {
    int root_fd; // a directory descriptor of the root ("/" on a machine)
    const char *stage; // "early", "late" or "manual", for the log
    bool is_dry_run; // changes nothing: `changed` is what would be
    char **changed; // paths that were written or removed, in the words of `changed_actions`
    const char **changed_actions; // "write", "remove", …; texts of the caller
    size_t changed_count;
};

void apply_done(struct apply *apply);
// Goes on after a failure, so that one bad path does not keep the rest from being applied; returns the first failure.
int apply_plan(struct apply *apply, const struct plan *plan, struct err *err) must_check nonnull(1, 2, 3);
// Whether a planned file stands there already, with content, mode and owner.
bool apply_is_right(int root_fd, const struct plan_entry *entry) nonnull(2);
// Whether something below a path was changed; a path that ends in '/' is a directory.
bool apply_has_changed(const struct apply *apply, const char *path) nonnull(1, 2);
// Records a change of something that is no file ("hostname", "swap") and logs it. `action` must outlive `apply`.
void apply_note(struct apply *apply, const char *action, const char *object) nonnull(1, 2, 3);

#define cleanup_apply cleanup(apply_done)
