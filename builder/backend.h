// SPDX-License-Identifier: Apache-2.0
// A package manager as the builder sees it: what a base and its layers need of one. Which one an image has is its definition's `backend`.
#pragma once
#include "builder/fingerprint.h"
#include "builder/layer.h"
#include "builder/package_set.h"
#include "builder/sandbox.h"

struct backend {
    const char *name;
    // What the mirrors offer now, as a hash over all that a resolution depends on; max_age_s as in fingerprint_mirrors().
    int (*fingerprint)(const struct recipe_image *image, const struct package_dirs *dirs, long max_age_s,
                       char ret_hex[FINGERPRINT_HEX_BYTES], struct err *err);
    // What has to be installed for `packages` on top of `parents` (sets bottom to top; none = a base: the image's own list is added). No weak
    // dependencies. A layer may add packages but neither upgrade nor remove what lies below it.
    int (*resolve)(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                   const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set, struct err *err);
    // Makes sure that every package of the set is in the package cache with the right hash (and signature, where packages carry one).
    int (*download)(const struct recipe_image *image, const struct package_dirs *dirs, const struct package_set *set, unsigned *ret_fetched,
                    struct err *err);
    // Start the job whose tar stream is the base, and the one whose stream is the difference that a layer's packages make. `work` is the sandbox's
    // directory, `scratch` a path for files that must outlive the start; whoever calls removes both after the job's end.
    int (*bootstrap)(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                     struct err *err);
    int (*install)(const struct layer_request *request, const char *work, const char *scratch, struct sandbox *ret_sandbox,
                   struct err *err);
};

// The definition was checked: there is one (assert).
const struct backend *backend_of(const struct recipe_image *image) nonnull(1);
// The same by name.
const struct backend *backend_find(const char *name) nonnull(1);

extern const struct backend apt_backend, dnf_backend, vendor_backend;
