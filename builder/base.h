// SPDX-License-Identifier: Apache-2.0
// The base of an image: a resolved package set becomes one squashfs, streamed from its backend through the normaliser into mksquashfs.
#pragma once
#include "builder/package_set.h"
#include "builder/layer_files.h"
#include "builder/recipe.h"

struct base_request {
    const struct recipe_image *image;
    const struct package_set *set; // resolved, downloaded
    const char *packages_dir; // absolute: the package cache
    const char *out_dir; // absolute, exists: gets the files of layer_files.h
    struct layer_format format;
};

// Works as root, or through a user namespace (needs newuidmap and an entry in /etc/subuid and /etc/subgid). Nothing in out_dir is valid
// after a failure.
int base_build(const struct base_request *request, struct err *err) must_check nonnull(1, 2);
