// SPDX-License-Identifier: Apache-2.0
// Gathers what renderers need to know about this machine: account files, secret files, zone data, watchdogs.
#pragma once
#include "firstboot/plan.h"

struct facts_store {
    struct facts facts; // points into the texts below
    char *passwd, *group, *shadow, *gshadow, *authorized_keys, *password_hash;
};

void facts_done(struct facts_store *store);
int facts_gather(int root_fd, const struct schema *schema, const struct config *config, bool has_config, struct facts_store *ret_store,
                 struct err *err) must_check nonnull(2, 3, 5, 6);

#define cleanup_facts cleanup(facts_done)
