// SPDX-License-Identifier: Apache-2.0
// What stands on a seed volume, read into a candidate: config.env and secrets/, or a NoCloud seed's user-data, meta-data, network-config.
#pragma once
#include "firstboot/candidate.h"

#define SEED_ENVELOPE "secrets.cms" // an envelope of secrets, beside or in place of secrets/
#define SEED_KEY "secrets.key" // on another medium: the private key that opens it

// Takes config.env, secrets/ and the envelope below dir_fd; with `is_nocloud` also user-data in place of config.env, and what meta-data and
// network-config say about keys that are not set. candidate->is_present tells whether there was anything.
void seed_read(int dir_fd, bool is_nocloud, const struct schema *schema, struct candidate *candidate) nonnull(3, 4);
// user-data as config.env: text is taken, the other kinds that cloud-init knows are named and refused, unless
// they are one all the same: its first comment does not decide.
void seed_take_user_data(const char *data, size_t size, struct candidate *candidate) nonnull(1, 3);
// Adds the entries of `extra` (lines of `file`) to the text, each unless its key is set there; NET#_ keys only if none of them is.
void seed_merge(const struct config *extra, const char *file, const struct schema *schema, struct candidate *candidate) nonnull(1, 2, 3, 4);
