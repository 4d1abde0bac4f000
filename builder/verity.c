// SPDX-License-Identifier: Apache-2.0
// The hash tree: made with libcryptsetup, checked by recomputing it level by level. No superblock, no salt, SHA-256.
#include "builder/verity.h"
#include "common/digest.h"
#include "common/buf.h"
#include "common/log.h"
#include <errno.h>
#include <libcryptsetup.h>
#include <openssl/evp.h>
#include <string.h>

#define HASHES_PER_BLOCK (VERITY_BLOCK_BYTES / VERITY_HASH_BYTES)
#define MAX_LEVELS 8 // 128^8 blocks are beyond any file

static void device_done(struct crypt_device **device) {
    crypt_free(*device);
}

static void collect_message(int level, const char *message, void *usrptr) {
    if (level == CRYPT_LOG_ERROR)
        snprintf(usrptr, sizeof((struct err){0}.text), "%.*s", (int)strcspn(message, "\n"), message);
}

int verity_create(int fd, const char *name, uint64_t data_bytes, uint8_t ret_root[VERITY_HASH_BYTES], struct err *err) {
    cleanup(device_done) struct crypt_device *device = NULL;
    cleanup_free char *path = str_printf("/proc/self/fd/%d", fd);
    struct err detail = {0};
    struct crypt_params_verity params = {
        .hash_name = "sha256",
        .data_device = path,
        .hash_type = 1,
        .data_block_size = VERITY_BLOCK_BYTES,
        .hash_block_size = VERITY_BLOCK_BYTES,
        .data_size = data_bytes / VERITY_BLOCK_BYTES,
        .hash_area_offset = data_bytes,
        .flags = CRYPT_VERITY_NO_HEADER | CRYPT_VERITY_CREATE_HASH,
    };
    int r = crypt_init(&device, path);
    if (r < 0)
        return err_sys(err, r, "making the hash tree of %s", name);
    crypt_set_log_callback(device, collect_message, detail.text);
    r = crypt_format(device, CRYPT_VERITY, NULL, NULL, NULL, NULL, 0, &params);
    size_t size = VERITY_HASH_BYTES;
    if (r >= 0)
        r = crypt_volume_key_get(device, CRYPT_ANY_SLOT, (char *)ret_root, &size, NULL, 0);
    if (r >= 0 && size != VERITY_HASH_BYTES)
        r = -EINVAL;
    if (r < 0)
        return err_sys(err, r, "making the hash tree of %s: %s", name, detail.text);
    return 0;
}

struct level {
    uint64_t offset; // of the level's first block, from the start of data
    uint64_t blocks;
};

// Levels from the data (0) to the root block (count - 1). The tree is stored root first, so offsets fall as levels rise.
static unsigned levels_plan(uint64_t data_bytes, struct level levels[MAX_LEVELS]) {
    unsigned count = 1;
    uint64_t tree_blocks = 0;
    levels[0] = (struct level){0, data_bytes / VERITY_BLOCK_BYTES};
    while (levels[count - 1].blocks > 1 && count < MAX_LEVELS) {
        levels[count].blocks = (levels[count - 1].blocks + HASHES_PER_BLOCK - 1) / HASHES_PER_BLOCK;
        tree_blocks += levels[count++].blocks;
    }
    uint64_t end = data_bytes + tree_blocks * VERITY_BLOCK_BYTES;
    for (unsigned i = 1; i < count; i++) {
        end -= levels[i].blocks * VERITY_BLOCK_BYTES;
        levels[i].offset = end;
    }
    return count;
}

struct checker {
    int fd;
    const char *name;
    uint64_t offset;
    EVP_MD_CTX *md;
    uint8_t *blocks; // HASHES_PER_BLOCK of them
};

static void checker_done(struct checker *checker) {
    EVP_MD_CTX_free(checker->md);
    free(checker->blocks);
}

static void hash_block(struct checker *checker, const uint8_t *block, uint8_t ret_hash[VERITY_HASH_BYTES]) {
    EVP_DigestInit_ex(checker->md, NULL, NULL);
    EVP_DigestUpdate(checker->md, block, VERITY_BLOCK_BYTES);
    EVP_DigestFinal_ex(checker->md, ret_hash, NULL);
}

// One block of the level above: recomputes it from up to 128 blocks of `below` and compares.
static int check_parent(struct checker *checker, const struct level *below, const struct level *above, uint64_t index, struct err *err) {
    uint8_t wanted[VERITY_BLOCK_BYTES], computed[VERITY_BLOCK_BYTES] = {0};
    uint64_t first = index * HASHES_PER_BLOCK;
    unsigned count = below->blocks - first < HASHES_PER_BLOCK ? (unsigned)(below->blocks - first) : HASHES_PER_BLOCK;
    int r =
        pread_all(checker->fd, checker->name, wanted, sizeof(wanted), checker->offset + above->offset + index * VERITY_BLOCK_BYTES, err);
    if (r == 0)
        r = pread_all(checker->fd, checker->name, checker->blocks, count * (size_t)VERITY_BLOCK_BYTES,
                      checker->offset + below->offset + first * VERITY_BLOCK_BYTES, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < count; i++) {
        uint8_t *hash = computed + i * (size_t)VERITY_HASH_BYTES;
        hash_block(checker, checker->blocks + i * (size_t)VERITY_BLOCK_BYTES, hash);
        if (memcmp(hash, wanted + i * (size_t)VERITY_HASH_BYTES, VERITY_HASH_BYTES) != 0)
            return err_set(err, -EBADMSG, "%s: block %llu does not match its hash", checker->name,
                           (unsigned long long)(below->offset / VERITY_BLOCK_BYTES + first + i));
    }
    if (memcmp(computed, wanted, sizeof(wanted)) != 0)
        return err_set(err, -EBADMSG, "%s: block %llu of the hash tree is not zero behind its last hash", checker->name,
                       (unsigned long long)(above->offset / VERITY_BLOCK_BYTES + index));
    return 0;
}

static int check_root(struct checker *checker, const struct level *top, const uint8_t root[VERITY_HASH_BYTES], struct err *err) {
    uint8_t hash[VERITY_HASH_BYTES];
    int r = pread_all(checker->fd, checker->name, checker->blocks, VERITY_BLOCK_BYTES, checker->offset + top->offset, err);
    if (r < 0)
        return r;
    hash_block(checker, checker->blocks, hash);
    if (memcmp(hash, root, sizeof(hash)) != 0)
        return err_set(err, -EBADMSG, "%s: the hash tree does not match the root hash", checker->name);
    return 0;
}

int verity_check(int fd, const char *name, uint64_t offset, uint64_t data_bytes, const uint8_t root[VERITY_HASH_BYTES], struct err *err) {
    struct level levels[MAX_LEVELS];
    if (data_bytes == 0 || data_bytes % VERITY_BLOCK_BYTES != 0)
        return err_set(err, -EINVAL, "%s: %llu bytes of data are not a multiple of %d", name, (unsigned long long)data_bytes,
                       VERITY_BLOCK_BYTES);
    unsigned count = levels_plan(data_bytes, levels);
    cleanup(checker_done) struct checker checker = {
        .fd = fd,
        .name = name,
        .offset = offset,
        .md = EVP_MD_CTX_new(),
        .blocks = mem_array(HASHES_PER_BLOCK, VERITY_BLOCK_BYTES),
    };
    if (!checker.md || EVP_DigestInit_ex(checker.md, EVP_sha256(), NULL) != 1)
        return err_set(err, -ENOSYS, "OpenSSL offers no SHA-256");
    int r = check_root(&checker, &levels[count - 1], root, err);
    for (unsigned i = count - 1; r == 0 && i > 0; i--) // from the root down: what a level says is trusted once it was checked itself
        for (uint64_t index = 0; r == 0 && index < levels[i].blocks; index++)
            r = check_parent(&checker, &levels[i - 1], &levels[i], index, err);
    return r;
}
