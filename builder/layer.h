// SPDX-License-Identifier: Apache-2.0
// A layer: packages installed on top of the lower layers, then its own files, units, programs and downloads; one squashfs that holds only the
// difference. The base is one with nothing below it.
#pragma once
#include "builder/package_set.h"
#include "builder/layer_files.h"
#include "builder/recipe.h"

struct layer_extra { // a file given by the caller: a default configuration, a manifest
    const char *path; // relative to the root, without leading slash
    const void *data;
    size_t size;
    unsigned mode;
};

struct layer_request {
    const struct recipe_image *image; // whose backend installs packages; may be NULL without any
    bool is_base; // nothing lies below: the backend makes a whole system
    const struct recipe_layer *layer;
    const struct package_set *set; // packages to install, downloaded; NULL or empty = none
    const char *packages_dir; // absolute: the package cache; may be NULL without packages
    const struct strings *exclude; // of the image; may be NULL
    const char *const *lower; // directories of the finished lower layers (layer_files.h), base first
    size_t lower_count;
    const char *programs_dir; // where our own programs lie
    const char *runtime_dir; // loader and libraries that they bring with them; NULL = they use the image's
    const char *downloads_dir; // absolute: cache of downloads, by hash; may be NULL when nothing is fetched
    bool is_offline; // what is not there is not fetched
    const struct layer_extra *extra;
    size_t extra_count;
    const char *label_rules, *label_aliases; // of a base with a policy: what webops adds to it (labels.h)
    const char *out_dir; // absolute, exists
    struct layer_format format;
};

// A layer without packages starts no container and needs no privilege. Nothing in out_dir is valid after a failure.
int layer_build(const struct layer_request *request, struct err *err) must_check nonnull(1, 2);
