// SPDX-License-Identifier: Apache-2.0
// A NoCloud seed volume (FAT, label "cidata") that carries config.env and secrets to a machine under test. Made with cloud-localds, so
// that what we read on the machine is what other tools write.
#pragma once
#include "common/schema.h"

#define SEED_MAX_SECRETS 64

struct seed {
    const char *config; // path of config.env, becomes `user-data`
    const char *secrets; // directory of *.secret files, become `secrets/…`; NULL = none
    const char *image; // path of the volume to write; replaced when it exists
};

// Parses and checks config.env with the machine's own parser and the schema of its image, and the secret files it names when `secrets` is given. All
// problems are logged with file and line; the result is then -EINVAL.
int seed_check(const struct schema *schema, const char *path, const char *secrets, struct err *err) must_check nonnull(1, 2, 4);
// Writes the volume, mode 0600 from its first byte. -ENOENT names a missing tool or file; -ENOSPC when the files do not fit.
int seed_save(const struct seed *seed, struct err *err) must_check nonnull(1, 2);
