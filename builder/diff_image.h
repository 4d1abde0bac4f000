// SPDX-License-Identifier: Apache-2.0
// An image as lists that can be compared.
#pragma once
#include "builder/diff.h"
#include "builder/inspect.h"

enum diff_section { DIFF_LAYERS, DIFF_PACKAGES, DIFF_CMDLINE, DIFF_KERNEL, DIFF_FILES, DIFF_SECTIONS };
extern const char *const diff_section_names[DIFF_SECTIONS]; // for people
extern const char *const diff_section_keys[DIFF_SECTIONS]; // in JSON

struct diff_image {
    char *path; // of the raw image
    struct inspect inspect;
    const struct inspect_slot *slot; // the first one with a generation
    struct diff_list lists[DIFF_SECTIONS];
};

// `path`: a raw image, a build.json, or a directory with one build in it. Verifies it; -EBADMSG when it does not verify. Fills all lists but files and
// kernel options. Empty after a failure.
int diff_image_load(const char *path, struct diff_image *ret_image, struct err *err) must_check nonnull(1, 2, 3);
// Files of the layers that the other image does not have in the same bytes ("layer: path", with mode, owner, size and the start of the SHA-256), and the
// kernel options of a usr/lib/modules/*/config among them. Of extended attributes each is an entry of its own: "layer: path (security.capability)".
int diff_image_add_files(struct diff_image *image, const struct diff_image *other, struct err *err) must_check nonnull(1, 2, 3);
void diff_image_done(struct diff_image *image);

#define cleanup_diff_image cleanup(diff_image_done)
