// SPDX-License-Identifier: Apache-2.0
// The table behind manifest.c (JSON) and manifest_flat.c, and the rules behind both (manifest_check.c). For manifest*.c only.
#pragma once
#include "common/manifest.h"

#define MANIFEST_LEAF_BYTES (MANIFEST_CMDLINE_BYTES + 1) // the longest value as text, and NUL

enum kind { KIND_TEXT, KIND_U64, KIND_I64, KIND_U32, KIND_BOOL, KIND_HEX, KIND_OBJECT };

// A member of an object: its name in JSON, where it lies in the structure, and the members of its own.
struct member {
    const char *name;
    enum kind kind;
    size_t offset, size;
    const struct member *members;
};

// Both end with an empty member. "format" stands before the manifest's members and "layers" behind, in every form.
extern const struct member manifest_members[], manifest_layer_members[];

// Text of one value → structure at `base`. What a text may consist of is manifest_check()'s business; here only that it fits.
bool manifest_leaf_set(const struct member *member, const char *text, char *base) must_check nonnull(1, 2, 3);
void manifest_leaf_text(const struct member *member, const char *base, char ret_text[MANIFEST_LEAF_BYTES]) nonnull(1, 2, 3);
// What a value should have been, for messages; returns ret_text.
const char *manifest_expectation(const struct member *member, char ret_text[64]) nonnull(1, 2);

// The rules between members and for what texts may consist of: -EINVAL, named.
int manifest_check(const struct manifest *manifest, struct err *err) must_check nonnull(1, 2);
