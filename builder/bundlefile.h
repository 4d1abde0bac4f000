// SPDX-License-Identifier: Apache-2.0
// A bundle or channel file as it lies on disk: its head, read and checked; its signature; and whether all it carries is what it says.
#pragma once
#include "common/bundle.h"
#include "common/manifest.h"
#include <stdbool.h>
#include <stdint.h>

struct bundlefile {
    int fd;
    char *path; // for messages
    uint64_t bytes; // of the file
    bool is_channel; // a head without payload
    struct bundle_head head;
    char *head_bytes; // the whole head: bundle_head_bytes(&head)
    struct manifest manifest;
};

// What verification found.
struct bundlefile_findings {
    char *signer; // subject of the signing certificate
    bool is_trusted; // it chains up to the given roots
    uint64_t chunks; // in all indexes
};

// Whether the file begins like a bundle; false for everything else, unreadable files among it.
bool bundlefile_is(const char *path) nonnull(1);
// Reads the head and checks that the file has exactly the size that follows from it.
int bundlefile_open(const char *path, struct bundlefile *ret_file, struct err *err) must_check nonnull(1, 2, 3);
void bundlefile_close(struct bundlefile *file);

// bundlefile_verify.c
// The signature: against the roots in the PEM file `trust` at `time`; without trust only that it is the certificate's that it carries.
int bundlefile_verify_signature(const struct bundlefile *file, const char *trust, int64_t time, struct bundlefile_findings *findings,
                                struct err *err) must_check nonnull(1, 4, 5);
// Everything else: hashes of all parts, padding, chunk indexes chunk by chunk, the slot header's id, the root hash over header and layers, the
// ranges and the command line in the UKI. Reads the payload several times. Nothing to do for a channel file.
int bundlefile_verify_payload(const struct bundlefile *file, struct bundlefile_findings *findings, struct err *err) must_check
    nonnull(1, 2, 3);
void bundlefile_findings_done(struct bundlefile_findings *findings);

// bundlefile_report.c; `problem` NULL = verified.
struct buf;
void bundlefile_format_text(const struct bundlefile *file, const struct bundlefile_findings *findings, const struct err *problem,
                            struct buf *text) nonnull(1, 2, 4);
void bundlefile_format_json(const struct bundlefile *file, const struct bundlefile_findings *findings, const struct err *problem,
                            struct buf *text) nonnull(1, 2, 4);

#define cleanup_bundlefile cleanup(bundlefile_close)
#define cleanup_findings cleanup(bundlefile_findings_done)
