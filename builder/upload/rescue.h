// SPDX-License-Identifier: Apache-2.0
// A rescue system at the other end of ssh(1): a key made for this run, the host key pinned, a disk written from a stream and read back. Knows no vendor.
// Commands there are plain POSIX shell, bash for a pipe's failures, and coreutils.
#pragma once
#include "builder/progress.h"
#include "builder/upload/stop.h"
#include "builder/upload/zstream.h"

#define RESCUE_MAX_DISK 32

struct rescue {
    const char *address; // of the server
    const char *dir; // private; key and known_hosts go there
    struct stop *stop;
    char fingerprint[64]; // "SHA256:…" of the host key that is pinned; "" = none yet
    char disk[RESCUE_MAX_DISK]; // "sda"
};

// Makes a new pair of keys in `dir` (an old one is replaced). The caller frees *ret_public, a line without its end.
int rescue_make_key(const char *dir, const char *comment, char **ret_public, struct err *err) must_check nonnull(1, 2, 3, 4);
// Waits until the server shows a host key, and pins it for all that follows. `wanted`: the fingerprint that it must have, NULL = whatever comes first.
// -EACCES: another one; -ETIMEDOUT.
int rescue_pin(struct rescue *rescue, const char *wanted, int64_t timeout_ms, struct err *err) must_check nonnull(1, 4);
// Waits until commands run, then finds the only disk. -EINVAL: none, several, one that is mounted, or one smaller than `least_bytes`.
int rescue_find_disk(struct rescue *rescue, uint64_t least_bytes, int64_t timeout_ms, struct err *err) must_check nonnull(1, 4);
// Discards the disk and writes the stream to it. `is_sparse`: zeros are left out, which only a disk that reads as zeros where it was discarded bears.
// *ret_sent: bytes given to ssh. -EAGAIN: the connection broke.
int rescue_write(const struct rescue *rescue, struct zstream *stream, bool is_sparse, struct progress *progress, uint64_t *ret_sent,
                 struct err *err) must_check nonnull(1, 2, 4, 5, 6);
// SHA-256 of the disk's first bytes, read anew from the disk.
int rescue_hash(const struct rescue *rescue, uint64_t bytes, uint8_t ret_sha256[DIGEST_BYTES], struct err *err) must_check nonnull(1, 3, 4);
