// SPDX-License-Identifier: Apache-2.0
// Where this program finds what came with it, where its cache is, and where the tools are that it starts.
#pragma once
#include "builder/recipe.h"

struct places {
    char *data_dir; // images/ overlays/ profiles/: the source tree, or PREFIX/share/webops
    char *programs_dir; // webops, webops-fetch, init: the build directory, or PREFIX/libexec/webops
    char *cache_dir; // WEBOPS_CACHE, else XDG_CACHE_HOME/webops, else ~/.cache/webops
};

// WEBOPS_DATA and WEBOPS_PROGRAMS override what follows from the program's own location.
int places_find(struct places *ret_places, struct err *err) must_check nonnull(1, 2);
// The PATH to start tools with: `path` (NULL or "": the system's usual one), and at its end /usr/sbin and /sbin where it lacks them. There
// Debian keeps mkfs and e2fsck, and an ordinary user's PATH does not name them. The caller frees the result.
char *places_tool_path(const char *path) must_check;
void places_done(struct places *places);

#define cleanup_places cleanup(places_done)
