// SPDX-License-Identifier: Apache-2.0
// /run/webops/rendered: what webops wrote into the volatile /etc. One line each, sorted by path: "<mode|link> <sha256> <path>". Format
// and parser are pure.
#pragma once
#include "common/buf.h"
#include "common/sha256.h"
#include "firstboot/plan.h"

#define MANIFEST_PATH "run/webops/rendered"
#define MANIFEST_MAX_BYTES (1 << 20)

struct manifest_entry {
    char *path; // relative to the root
    bool is_link;
    mode_t mode;
    char sha256[2 * SHA256_BYTES + 1]; // of the content, or of a link's target
};
struct manifest {
    struct manifest_entry *entries;
    size_t count;
};

void manifest_done(struct manifest *manifest);
// Files and links of a plan; directories are not part of /etc's content.
void manifest_make(const struct plan *plan, struct manifest *ret_manifest) nonnull(1, 2);
void manifest_format(const struct manifest *manifest, struct buf *buf) nonnull(1, 2);
int manifest_parse(const char *text, struct manifest *ret_manifest, struct err *err) must_check nonnull(1, 2, 3);
// An absent file is an empty manifest.
int manifest_load(int root_fd, struct manifest *ret_manifest, struct err *err) must_check nonnull(2, 3);
const struct manifest_entry *manifest_find(const struct manifest *manifest, const char *path) nonnull(1, 2);
// Lower-case hexadecimal SHA-256 of some bytes.
void manifest_hash(const void *data, size_t size, char ret_text[2 * SHA256_BYTES + 1]);

#define cleanup_manifest cleanup(manifest_done)
