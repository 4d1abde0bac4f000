// SPDX-License-Identifier: Apache-2.0
// /run/webops/rendered: what webops wrote into the volatile /etc. One line each, sorted by path: "<mode|link> <sha256> <path>". Format
// and parser are pure.
#pragma once
#include "common/buf.h"
#include "common/sha256.h"
#include "firstboot/plan.h"

#define RENDERED_PATH "run/webops/rendered"
#define RENDERED_MAX_BYTES (1 << 20)

struct rendered_file {
    char *path; // relative to the root
    bool is_link;
    mode_t mode;
    char sha256[2 * SHA256_BYTES + 1]; // of the content, or of a link's target
};
struct rendered {
    struct rendered_file *entries;
    size_t count;
};

void rendered_done(struct rendered *rendered);
// Files and links of a plan; directories are not part of /etc's content.
void rendered_make(const struct plan *plan, struct rendered *ret_rendered) nonnull(1, 2);
// Adds a copy of an entry in its place.
void rendered_add(struct rendered *rendered, const struct rendered_file *file) nonnull(1, 2);
void rendered_format(const struct rendered *rendered, struct buf *buf) nonnull(1, 2);
int rendered_parse(const char *text, struct rendered *ret_rendered, struct err *err) must_check nonnull(1, 2, 3);
// An absent file is an empty list.
int rendered_load(int root_fd, struct rendered *ret_rendered, struct err *err) must_check nonnull(2, 3);
const struct rendered_file *rendered_find(const struct rendered *rendered, const char *path) nonnull(1, 2);
// Lower-case hexadecimal SHA-256 of some bytes.
void rendered_hash(const void *data, size_t size, char ret_text[2 * SHA256_BYTES + 1]);

#define cleanup_rendered cleanup(rendered_done)
