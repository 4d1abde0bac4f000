// SPDX-License-Identifier: Apache-2.0
// The part of a plan that is no file: kernel parameters, the kernel's host name, softdog; and telling services about changed files.
#pragma once
#include "firstboot/apply.h"

// Sets what differs. Failures are warnings in `errors` (one line each, appended), because no single parameter is worth an unconfigured
// machine. Only for the running system.
void runtime_apply(struct apply *apply, const struct plan *plan, struct buf *errors) nonnull(1, 2, 3);

// What has to happen when a file changed while its reader runs already.
struct runtime_reaction {
    const char *path; // of the changed file; a directory ends in '/'
    bool is_early; // its reader runs before the early stage
    const char *const *argv;
};
// The reactions that `apply`'s changes call for: pointers into a fixed table, in its order. Returns their number. Pure.
size_t runtime_plan_reactions(const struct apply *apply, bool is_early, const struct runtime_reaction **ret_reactions,
                              size_t capacity) must_check nonnull(1, 3);
void runtime_react(struct apply *apply, bool is_early, struct buf *errors) nonnull(1, 3);
