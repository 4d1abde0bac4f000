// SPDX-License-Identifier: Apache-2.0
// Where this program finds what came with it, and where its cache is.
#pragma once
#include "builder/recipe.h"

struct places {
    char *data_dir; // images/ overlays/ profiles/: the source tree, or PREFIX/share/webops
    char *programs_dir; // webops, webops-fetch, init: the build directory, or PREFIX/libexec/webops
    char *cache_dir; // WEBOPS_CACHE, else XDG_CACHE_HOME/webops, else ~/.cache/webops
};

// WEBOPS_DATA and WEBOPS_PROGRAMS override what follows from the program's own location.
int places_find(struct places *ret_places, struct err *err) must_check nonnull(1, 2);
void places_done(struct places *places);

#define cleanup_places cleanup(places_done)
