// SPDX-License-Identifier: Apache-2.0
// A NoCloud seed that carries config.env and secrets to a machine: an ISO 9660 image, a FAT volume or a directory.
#pragma once
#include "common/schema.h"

struct seed {
    const char *config; // path of config.env, becomes `user-data`
    const char *secrets; // directory of *.secret files, become `secrets/…`; NULL = none
    const char *encrypt_to; // PEM file of certificates: the secrets go into one envelope, `secrets.cms`, for their keys; NULL = plain files
    // What to write. "….iso": ISO 9660 with Joliet and Rock Ridge, made with xorriso; "….img": FAT, made with mkfs.vfat and mtools; both labelled
    // `cidata`, and replaced when they exist. Any other name: a directory, which must not exist.
    const char *path;
};

// Parses and checks config.env with the machine's own parser and the schema of its image, and the secret files it names when `secrets` is given. All
// problems are logged with file and line; the result is then -EINVAL, as for a pipe: it would be empty when seed_save() reads it.
int seed_check(const struct schema *schema, const char *path, const char *secrets, struct err *err) must_check nonnull(1, 2, 4);
// Why these three do not go together on a command line; NULL when they do.
const char *seed_conflict(const struct seed *seed) nonnull(1);
// Writes the seed, for nobody else to read from its first byte. The same files give the same bytes, but for envelopes. -ENOENT names a missing tool
// or file, -EEXIST the directory; -ENOSPC when the files do not fit, -EINVAL a config.env that is a pipe.
int seed_save(const struct seed *seed, struct err *err) must_check nonnull(1, 2);
// Gives config.env, "secrets/NAME" or "secrets.cms" to whoever puts them somewhere, one after the other; seed->path is not read.
// -EINVAL names two secrets whose names differ only in case, -E2BIG means more than a machine takes; no secret was given then.
typedef int seed_take(void *context, const char *path, const void *data, size_t size, struct err *err);
int seed_give(const struct seed *seed, seed_take *take, void *context, struct err *err) must_check nonnull(1, 2, 4);
// Reads and seals all that seed_give() would give, for nobody: a secret or a certificate that is no good is found before anything is written or sent.
// -EINVAL for a pipe, too: it would be empty when its turn comes.
int seed_try(const struct seed *seed, struct err *err) must_check nonnull(1, 2);
