// SPDX-License-Identifier: Apache-2.0
// A disk image as a snapshot of Hetzner Cloud, through a server that is made for it, started in the rescue system, written over SSH and removed again.
#pragma once
#include "builder/progress.h"
#include "builder/upload/hetzner_plan.h"
#include "builder/upload/hetzner_call.h"
#include <stdbool.h>

struct hetzner_request {
    const char *image; // a raw image, its zstd stream, a build.json, or a directory with one build in it
    const char *type, *location; // of the server; NULL = the cheapest that fits
    const char *host_key; // "SHA256:…" of the rescue system; NULL = the first that is seen
    bool replaces; // also what an upload of this image from another computer left
};

struct hetzner_result {
    int64_t image; // id of the snapshot
    bool was_there; // by an earlier upload of the same bytes
    uint64_t sent_bytes; // through ssh
};

#define HETZNER_STAGES 8

// Everything that is made bears a name and labels made of the image's SHA-256. Whatever the result, server and key are removed again; what could not be
// is in the error's text, and the next run removes it. -EBUSY: the same image is being uploaded, here or elsewhere.
int hetzner_upload(const struct api *api, const struct hetzner_request *request, struct progress *progress,
                   struct hetzner_result *ret_result, struct err *err) must_check nonnull(1, 2, 3, 4, 5);
