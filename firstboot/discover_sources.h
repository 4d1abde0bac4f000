// SPDX-License-Identifier: Apache-2.0
// The sources beside state and default, as a table in order of discovery.
#pragma once
#include "firstboot/candidate.h"
#include "firstboot/discover.h"

struct discover_source {
    bool late_only;
    // Fills in the nth (from 0) configuration of this kind; false when there is none with that number. What goes wrong becomes a problem of
    // the candidate. NULL ends the table.
    bool (*find)(const struct discover *discover, unsigned nth, struct candidate *ret_candidate);
};
extern const struct discover_source discover_sources[];

const struct discover_io *discover_io_of(const struct discover *discover) nonnull(1);
// Opens the candidate's envelope, if it has one, with the first key of any volume that fits; what goes wrong becomes a problem.
void discover_unseal(const struct discover *discover, struct candidate *candidate) nonnull(1, 2);
// Secrets that the hypervisor hands over beside whatever configuration there is: fw_cfg, then system credentials.
void discover_add_shared_secrets(const struct discover *discover, struct candidate *candidate) nonnull(1, 2);
