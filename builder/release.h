// SPDX-License-Identifier: Apache-2.0
// A finished build as it lies in its output directory: the image, its package list, and what build.json says of them.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

struct release {
    char *image_path; // <base>.raw
    char *packages_path; // <base>.packages
    char *profile, *version, *compatible, *channel;
    char *trust; // PEM: the root certificates in the image
    uint64_t sequence;
    int64_t created; // seconds since 1970
    uint32_t config_schema;
    bool is_development; // the image trusts development keys
};

// `path`: a raw image, its build.json, or a directory with exactly one build in it. -ENOENT and -EINVAL say what is missing.
int release_load(const char *path, struct release *ret_release, struct err *err) must_check nonnull(1, 2, 3);
// The image that `path` means: a file as it is; of a build.json, or a directory with one build in it, the raw image, or its zstd stream where only
// that is there. The caller frees *ret_path.
int release_find_image(const char *path, char **ret_path, struct err *err) must_check nonnull(1, 2, 3);
void release_done(struct release *release);

#define cleanup_release cleanup(release_done)
