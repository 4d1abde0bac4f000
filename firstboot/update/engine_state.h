// SPDX-License-Identifier: Apache-2.0
// What one run of the update engine knows; shared by engine.c (what changes things) and engine_plan.c (what only looks).
#pragma once
#include "firstboot/update/check.h"
#include "firstboot/update/delta.h"
#include "firstboot/update/engine.h"
#include "firstboot/update/locate.h"

struct update {
    const struct machine *machine;
    const struct update_options *options;
    struct progress *progress;
    int lock_fd, esp_fd;
    struct journal journal;
    bool is_published; // the journal's generation waits for its trial, entries and all
    char location_text[1024];
    struct location location;
    struct located located;
    struct update_facts facts;
    struct update_verdict verdict;
    struct delta_result result;
};

// Writes down for `webops status` what the last look showed; `failure`: why it, or what followed, failed; NULL = it did not. Of no weight.
void update_note(const struct update *u, const struct err *failure) nonnull(1);
void update_request(struct update *u, struct delta_request *ret_request) nonnull(1, 2);
// Steps: 0 = go on, 1 = nothing more to do.
int update_locate(struct update *u, struct err *err) must_check nonnull(1, 2);
int update_head(struct update *u, struct err *err) must_check nonnull(1, 2);
int update_policy(struct update *u, struct err *err) must_check nonnull(1, 2);
int update_plan(struct update *u, struct err *err) must_check nonnull(1, 2);
