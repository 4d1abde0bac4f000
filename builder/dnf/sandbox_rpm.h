// SPDX-License-Identifier: Apache-2.0
// What the sandbox jobs with rpm share. The tree is `root` in the present directory; `root` as an argument is its absolute path.
#pragma once
#include "common/err.h"

// Puts nothing into the place of the hooks that make boot entries when a kernel comes or goes, and takes that away again.
int sandbox_rpm_mask_hooks(struct err *err) must_check nonnull(1);
int sandbox_rpm_unmask_hooks(struct err *err) must_check nonnull(1);
// After rpm's work: the list of packages beside its database, the database made readable, what the policy ("-" = none) says of labels into `labels_dir`.
int sandbox_rpm_finish(const char *root, const char *policy, const char *labels_dir, struct err *err) must_check nonnull(1, 2, 3, 4);
