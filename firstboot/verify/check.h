// SPDX-License-Identifier: Apache-2.0
// What webops-verify does with the bytes, without its processes: head, then signature, then (not before) the manifest. Pure, no I/O.
#pragma once
#include "common/buf.h"
#include "common/bundle.h"
#include "common/signature.h"

struct check_trust {
    char *ca_pem;
    char *crl_pem; // NULL: none
};
void check_trust_done(struct check_trust *trust);

struct check {
    int64_t time; // at which certificates must be valid
    uint64_t updater; // highest minimum_updater that is taken
};

// `head` is exactly fixed bytes, manifest and signature. Appends the flat manifest and a line SIGNER=subject to `text`; nothing on failure.
int check_head(const struct check *check, const struct check_trust *trust, const void *head, size_t size, struct buf *text,
               struct err *err) must_check nonnull(1, 2, 3, 5, 6);

#define cleanup_check_trust cleanup(check_trust_done)
