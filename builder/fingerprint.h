// SPDX-License-Identifier: Apache-2.0
// What the mirrors of an image offer now, as one hash: all their index files (InRelease, repomd.xml) in one round of conditional requests. Nothing is
// believed here; the package manager checks signatures when it refreshes its lists.
#pragma once
#include "builder/recipe.h"

#define FINGERPRINT_HEX_BYTES 65
#define FINGERPRINT_MAX_BYTES (4u << 20) // of an index file

// Where the copy of what is behind an address lies; the caller frees.
char *fingerprint_copy(const char *url, const char *metadata) nonnull(1, 2);

// SHA-256 (hex) over `text` (the configuration that the addresses come from), the files behind the addresses, and the image's keyrings. Copies are
// kept in directory `metadata`; what was asked for less than `max_age_s` seconds ago is not asked again, -1 asks nothing at all (offline).
// -EAGAIN when a mirror cannot be reached.
int fingerprint_mirrors(const struct recipe_image *image, const char *text, const struct strings *urls, const char *metadata,
                        long max_age_s, char ret_hex[FINGERPRINT_HEX_BYTES], struct err *err) must_check nonnull(1, 2, 3, 4, 6, 7);
