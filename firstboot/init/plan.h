// SPDX-License-Identifier: Apache-2.0
// The init plan: text that the builder wrote → arrays. Grammar and limits: docs/FORMATS.md, "Init plan".
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define PLAN_MAX_BYTES (1 << 20)
#define PLAN_MAX_LINE 4096
#define PLAN_MAX_MODULES 1024
#define PLAN_MAX_ALIASES 65536
#define PLAN_MAX_TIMEOUT_S 600

struct plan_module {
    const char *path;
    const char *parameters; // "" when there are none
};

struct plan_list { // of module numbers: plan.numbers[first] … [first + count - 1]
    uint32_t first;
    uint32_t count;
};

struct plan_alias {
    const char *pattern; // see match.h
    uint32_t literal; // bytes of the pattern before its first special character
    struct plan_list modules;
};

// Memory is bounded by the limits above: the text once, 24 bytes per alias, 2 bytes per number; under 5 MiB.
struct plan {
    char *text; // everything else points into it
    struct plan_module *modules;
    struct plan_alias *aliases;
    uint16_t *numbers;
    uint32_t module_count;
    uint32_t alias_count;
    uint32_t number_count;
    struct plan_list load;
    unsigned timeout_s;
};

// Parses a whole plan. -EINVAL names the line and the rule it breaks; -ENOMEM. *ret_plan is untouched on failure; the caller frees it.
int plan_parse(const char *text, size_t size, struct plan *ret_plan, struct err *err) must_check nonnull(3, 4);
void plan_done(struct plan *plan) nonnull(1);
