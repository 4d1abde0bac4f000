// SPDX-License-Identifier: Apache-2.0
// SHA-256 of bulk data through OpenSSL (hardware help), and positioned copies between open files. For small data and the init: common/sha256.h.
#pragma once
#include "common/err.h"
#include <stddef.h>
#include <stdint.h>

#define DIGEST_BYTES 32

// Hash of `length` bytes of `fd` from `offset`; the file's own offset is not used. -ENODATA when the file ends before. `name` is for messages.
int digest_range(int fd, const char *name, uint64_t offset, uint64_t length, uint8_t ret_sha256[DIGEST_BYTES], struct err *err) must_check
    nonnull(2, 5, 6);
// The same, and writes the bytes to `to` at `to_offset` on the way; to < 0 writes nothing.
int digest_copy(int fd, const char *name, uint64_t offset, uint64_t length, int to, uint64_t to_offset, uint8_t ret_sha256[DIGEST_BYTES],
                struct err *err) must_check nonnull(2, 7, 8);
// A context for many messages: the algorithm is fetched once. Ends the program when OpenSSL has no SHA-256 or no memory.
struct digest {
    struct evp_md_st *md;
    struct evp_md_ctx_st *context;
};
void digest_init(struct digest *digest) nonnull(1);
void digest_done(struct digest *digest) nonnull(1);
// One message in pieces: start, add …, end; then start again.
void digest_start(struct digest *digest) nonnull(1);
void digest_add(struct digest *digest, const void *data, size_t size) nonnull(1);
void digest_end(struct digest *digest, uint8_t ret_sha256[DIGEST_BYTES]) nonnull(1, 2);
// One message in one piece.
void digest_hash(struct digest *digest, const void *data, size_t size, uint8_t ret_sha256[DIGEST_BYTES]) nonnull(1, 4);
#define cleanup_digest cleanup(digest_done)

// Hash of a text or block in memory.
void digest_bytes(const void *data, uint64_t size, uint8_t ret_sha256[DIGEST_BYTES]);
// Copies `length` bytes of `from` at `offset` to `to` at `to_offset` with copy_file_range where it works, which may keep holes.
int digest_copy_plain(int from, const char *name, uint64_t offset, uint64_t length, int to, uint64_t to_offset, struct err *err) must_check
    nonnull(2, 7);
// The same, but holes become written zeros.
int digest_copy_dense(int from, const char *name, uint64_t offset, uint64_t length, int to, uint64_t to_offset, struct err *err) must_check
    nonnull(2, 7);
// pread()/pwrite() of all bytes; a short read is -ENODATA.
int pread_all(int fd, const char *name, void *data, size_t size, uint64_t offset, struct err *err) must_check nonnull(2, 3, 6);
int pwrite_all(int fd, const char *name, const void *data, size_t size, uint64_t offset, struct err *err) must_check nonnull(2, 3, 6);
// SHA-256 (64 hex digits and NUL) of a whole file, and its size in bytes (ret_size may be NULL).
int digest_file(int dir_fd, const char *path, char ret_sha256[2 * DIGEST_BYTES + 1], uint64_t *ret_size, struct err *err) must_check
    nonnull(2, 3, 5);
