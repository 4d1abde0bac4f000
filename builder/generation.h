// SPDX-License-Identifier: Apache-2.0
// What an image says of itself to its own updater: generation.env and the root certificates of the top layer (docs/FORMATS.md, "Generation").
#pragma once
#include "builder/recipe.h"

struct generation {
    char *compatible, *channel;
    int64_t created; // seconds since 1970: SOURCE_DATE_EPOCH of the build
    bool is_development; // trusts development keys
    char *text; // generation.env
    char *trust; // PEM
    size_t trust_size;
};

// `trust`: file to use instead of the profile's; without either the development keys are made or found.
int generation_load(const struct recipe *recipe, const char *trust, int64_t created, struct generation *ret_generation,
                    struct err *err) must_check nonnull(1, 4, 5);
void generation_done(struct generation *generation);
