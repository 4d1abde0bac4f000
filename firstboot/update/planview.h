// SPDX-License-Identifier: Apache-2.0
// What an update would do, for people and as JSON. Pure.
#pragma once
#include "common/buf.h"
#include "firstboot/update/check.h"
#include "firstboot/update/delta.h"
#include "firstboot/update/packages.h"
#include <jansson.h>

struct plan_view {
    const struct manifest *manifest;
    const struct update_facts *facts;
    const struct update_verdict *verdict;
    const struct slot_header *running; // NULL: unknown
    const struct delta_estimate *estimate; // NULL: not asked for
    const struct packages *old_packages, *new_packages; // NULL: unknown
    enum boot_slot slot; // to be written
    unsigned tries;
    const char *stacks; // enabled ones, separated by ", ": a restart interrupts them; "" = none
    bool wants_reboot;
};
void plan_format(const struct plan_view *view, struct buf *text) nonnull(1, 2);
json_t *plan_json(const struct plan_view *view) nonnull(1);
// {"rule", "text"} of one of the verdict's refusals.
json_t *plan_refusal_json(const struct update_verdict *verdict, unsigned index) nonnull(1);
