// SPDX-License-Identifier: Apache-2.0
// SELinux labels of what webops writes. A new file gets the label that its directory hands down; where the policy wants another one (shadow_t for
// /etc/shadow), restorecon(8) gives it. What is there before webops runs is the init's and /usr/lib/webops/label's.
#pragma once
#include "common/cleanup.h"
#include "common/err.h"
#include "firstboot/apply.h"

struct label_paths {
    char **items; // with a NULL behind them
    size_t count;
};

void label_paths_done(struct label_paths *paths);
bool label_is_on(int root_fd);
// What restorecon is to look at, as absolute paths: what was written, with the directories above, and what other steps may have made.
void label_list(const struct apply *apply, struct label_paths *ret_paths) nonnull(1, 2);
// Nothing without SELinux.
int label_restore(const struct apply *apply, struct err *err) must_check nonnull(1, 2);

#define cleanup_label_paths cleanup(label_paths_done)
