// SPDX-License-Identifier: Apache-2.0
// The apt backend: which packages an image and its layers need, checked against the archive's signatures, and their .deb files in the
// local package cache. Works in an apt root of its own; the build host's packages are never touched.
#pragma once
#include "builder/fingerprint.h"
#include "builder/package_set.h"
#include "builder/recipe.h"

// The sources.list of an image. Where a source names no mirror, the build host's own apt configuration is asked for the address whose
// path ends in the source's `archive`. The caller frees *ret_text.
int apt_sources(const struct recipe_image *image, char **ret_text, struct err *err) must_check nonnull(1, 2, 3);
// The pure part: `host_uris` is what `apt-get update --print-uris` prints (NULL when no source needs it).
int apt_sources_format(const struct recipe_image *image, const char *host_uris, char **ret_text, struct err *err) must_check
    nonnull(1, 3, 4);

// fingerprint_mirrors() of the InRelease files.
int apt_fingerprint(const struct recipe_image *image, const struct package_dirs *dirs, long max_age_s, char ret_hex[FINGERPRINT_HEX_BYTES],
                    struct err *err) must_check nonnull(1, 2, 4, 5);

// What has to be installed for `packages` on top of `parents` (sets bottom to top; none = a base: the essential packages, the image's own
// list and its stand-ins are added). Refreshes the package lists (GPG-verified) when the fingerprint changed since the last time. No recommended
// packages. A layer may add packages but neither upgrade nor remove what lies below it.
int apt_resolve(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set, struct err *err) must_check
    nonnull(1, 2, 6, 7);

// The same for a base that was not resolved here: `base_status` is its dpkg status and stands for parents[0], of which no mirror need know.
int apt_resolve_over(const struct recipe_image *image, const struct package_dirs *dirs, const struct strings *packages,
                     const char *base_status, const struct package_set *const *parents, size_t parent_count, struct package_set *ret_set,
                     struct err *err) must_check nonnull(1, 2, 7, 8);

// Makes sure that every package of the set is in the package cache with the right hash; a damaged file is fetched again.
// *ret_fetched (may be NULL) counts downloads.
int apt_download(const struct recipe_image *image, const struct package_dirs *dirs, const struct package_set *set, unsigned *ret_fetched,
                 struct err *err) must_check nonnull(1, 2, 3, 5);
