// SPDX-License-Identifier: Apache-2.0
// A directory that any static web server can serve: bundles, and per channel one small file that names the newest. docs/FORMATS.md,
// "Publish directory".
#pragma once
#include "builder/bundlefile.h"

struct publisher_request {
    const char *bundle, *dir;
    const char *channel; // that the bundle must be for; NULL = whichever it says
    const char *trust; // PEM file; NULL = the signer is not held against roots
    int64_t time; // at which certificates must be valid
    bool force; // lower sequences, another product, a version whose bytes changed
};

struct publisher_result {
    char *bundle_path, *channel_path;
    uint64_t sequence, bytes;
    bool changed; // false: this very bundle was the channel's newest already
};

// Verifies the whole bundle, copies it under its final name, then replaces the channel file; each atomically, in this order, so the channel
// never names what is not there. -EEXIST: refused without force.
int publisher_run(const struct publisher_request *request, struct publisher_result *ret_result, struct err *err) must_check
    nonnull(1, 2, 3);
void publisher_result_done(struct publisher_result *result);
