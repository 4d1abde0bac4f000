// SPDX-License-Identifier: Apache-2.0
// Bulk SHA-256 and positioned copies between files. Knows nothing of what the bytes mean.
#include "common/digest.h"
#include "common/buf.h"
#include "common/slot.h"
#include "common/file.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stddef.h>
#include <sys/stat.h>

#define COPY_CHUNK_BYTES (1 << 20)

static void md_done(EVP_MD_CTX **md) {
    EVP_MD_CTX_free(*md);
}

int pread_all(int fd, const char *name, void *data, size_t size, uint64_t offset, struct err *err) {
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, -errno, "reading %s", name);
        if (got == 0)
            return err_set(err, -ENODATA, "%s ends at byte %llu, expected %zu bytes from %llu", name, (unsigned long long)(offset + done),
                           size, (unsigned long long)offset);
        done += (size_t)got;
    }
    return 0;
}

int pwrite_all(int fd, const char *name, const void *data, size_t size, uint64_t offset, struct err *err) {
    for (size_t done = 0; done < size;) {
        ssize_t put = pwrite(fd, (const char *)data + done, size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_sys(err, -errno, "writing %s", name);
        done += (size_t)put;
    }
    return 0;
}

int digest_copy(int fd, const char *name, uint64_t offset, uint64_t length, int to, uint64_t to_offset, uint8_t ret_sha256[DIGEST_BYTES],
                struct err *err) {
    cleanup(md_done) EVP_MD_CTX *md = EVP_MD_CTX_new();
    cleanup_free char *chunk = mem_array(COPY_CHUNK_BYTES, 1);
    if (!md || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
        return err_set(err, -ENOSYS, "OpenSSL offers no SHA-256");
    for (uint64_t done = 0; done < length;) {
        size_t size = length - done < COPY_CHUNK_BYTES ? (size_t)(length - done) : COPY_CHUNK_BYTES;
        int r = pread_all(fd, name, chunk, size, offset + done, err);
        if (r == 0 && to >= 0)
            r = pwrite_all(to, name, chunk, size, to_offset + done, err);
        if (r < 0)
            return r;
        EVP_DigestUpdate(md, chunk, size);
        done += size;
    }
    EVP_DigestFinal_ex(md, ret_sha256, NULL);
    return 0;
}

void digest_init(struct digest *digest) {
    digest->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    digest->context = EVP_MD_CTX_new();
    assert(digest->md && digest->context);
    digest_start(digest);
}

void digest_done(struct digest *digest) {
    EVP_MD_CTX_free(digest->context);
    EVP_MD_free(digest->md);
    *digest = (struct digest){0};
}

void digest_start(struct digest *digest) {
    int r = EVP_DigestInit_ex2(digest->context, digest->md, NULL);
    assert(r == 1);
}

void digest_add(struct digest *digest, const void *data, size_t size) {
    int r = EVP_DigestUpdate(digest->context, data, size);
    assert(r == 1);
}

void digest_end(struct digest *digest, uint8_t ret_sha256[DIGEST_BYTES]) {
    int r = EVP_DigestFinal_ex(digest->context, ret_sha256, NULL);
    assert(r == 1);
}

void digest_hash(struct digest *digest, const void *data, size_t size, uint8_t ret_sha256[DIGEST_BYTES]) {
    digest_start(digest);
    digest_add(digest, data, size);
    digest_end(digest, ret_sha256);
}

int digest_range(int fd, const char *name, uint64_t offset, uint64_t length, uint8_t ret_sha256[DIGEST_BYTES], struct err *err) {
    return digest_copy(fd, name, offset, length, -1, 0, ret_sha256, err);
}

void digest_bytes(const void *data, uint64_t size, uint8_t ret_sha256[DIGEST_BYTES]) {
    EVP_Digest(data, size, ret_sha256, NULL, EVP_sha256(), NULL);
}

int digest_copy_dense(int from, const char *name, uint64_t offset, uint64_t length, int to, uint64_t to_offset, struct err *err) {
    cleanup_free char *chunk = mem_array(COPY_CHUNK_BYTES, 1);
    for (uint64_t done = 0; done < length;) {
        size_t size = length - done < COPY_CHUNK_BYTES ? (size_t)(length - done) : COPY_CHUNK_BYTES;
        int r = pread_all(from, name, chunk, size, offset + done, err);
        if (r == 0)
            r = pwrite_all(to, name, chunk, size, to_offset + done, err);
        if (r < 0)
            return r;
        done += size;
    }
    return 0;
}

int digest_copy_plain(int from, const char *name, uint64_t offset, uint64_t length, int to, uint64_t to_offset, struct err *err) {
    off_t in = (off_t)offset, out = (off_t)to_offset;
    while ((uint64_t)in - offset < length) {
        ssize_t copied = copy_file_range(from, &in, to, &out, length - ((uint64_t)in - offset), 0);
        if (copied < 0 && errno == EINTR)
            continue;
        if (copied <= 0) // other file systems on either side, an old kernel, or the end of the file: the plain loop tells which
            return digest_copy_dense(from, name, (uint64_t)in, length - ((uint64_t)in - offset), to, (uint64_t)out, err);
    }
    return 0;
}

int digest_file(int dir_fd, const char *path, char ret_sha256[2 * DIGEST_BYTES + 1], uint64_t *ret_size, struct err *err) {
    cleanup_fd int fd = file_open(dir_fd, path, O_RDONLY, 0, err);
    struct stat st;
    uint8_t digest[DIGEST_BYTES];
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return err_sys(err, -errno, "cannot look at %s", path);
    int r = digest_range(fd, path, 0, (uint64_t)st.st_size, digest, err);
    if (r < 0)
        return r;
    if (ret_size)
        *ret_size = (uint64_t)st.st_size;
    hex_format(digest, DIGEST_BYTES, ret_sha256);
    return 0;
}
