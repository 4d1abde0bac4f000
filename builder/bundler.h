// SPDX-License-Identifier: Apache-2.0
// Makes a bundle (docs/FORMATS.md, "Bundle") of a finished image: verifies the image, indexes its parts, signs, writes one file.
#pragma once
#include "builder/progress.h"
#include "builder/release.h"
#include "builder/signer.h"

#define BUNDLER_STAGES 4 // of the progress

struct bundler_request {
    const struct release *release;
    const struct signer *signer;
    const char *channel; // NULL = the build's
    int64_t valid_until; // seconds since 1970
    const char *path; // of the bundle; it appears there whole or not at all, and replaces what was there
};

struct bundler_result {
    uint64_t bytes, index_bytes; // of the file; of all chunk indexes
    char sha256[65]; // of the file
};

int bundler_make(const struct bundler_request *request, struct progress *progress, struct bundler_result *ret_result,
                 struct err *err) must_check nonnull(1, 2, 3, 4);
