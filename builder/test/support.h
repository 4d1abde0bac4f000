// SPDX-License-Identifier: Apache-2.0
// What the tests of the image pipeline share: real tools as witnesses, small files, slots and disks made of synthetic parts.
#pragma once
#include "common/digest.h"
#include "builder/disk.h"
#include "builder/slotimage.h"
#include "builder/uki.h"
#include "common/run.h"
#include "common/test/support.h"
#include <errno.h>

#define STUB_PATH "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
#define SYSTEMD_BOOT_PATH "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
#define GRUB_DIR "/usr/lib/grub/i386-pc"
#define MIB ((uint64_t)1 << 20)

// Fails the test with err's text when the call did.
#define assert_ok(call)                                                                                                                    \
    do {                                                                                                                                   \
        int result_ = (call);                                                                                                              \
        if (result_ < 0)                                                                                                                   \
            fail_msg("%s: %d %s", #call, result_, err.text);                                                                               \
    } while (0)

static inline char *scratch_file(const struct scratch *scratch, const char *name) {
    return str_printf("%s/%s", scratch->path, name);
}

static inline void put_file(const char *path, const void *data, size_t size) {
    struct err err = {0};
    assert_ok(file_publish(AT_FDCWD, path, data, size, 0644, &err));
}

// Bytes that do not compress and differ by seed.
static inline void put_random(const char *path, size_t size, uint32_t seed) {
    cleanup_free uint8_t *data = mem_array(size, 1);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    put_file(path, data, size);
}

// Runs a tool that must succeed; returns what it printed on both streams, for the caller to free.
static inline char *tool(const char *const *argv) {
    struct redirect redirect;
    struct err err = {0};
    char *out = NULL, *error = NULL;
    redirect_begin(&redirect);
    int r = run(&(struct run){.argv = argv, .out = 1}, &err);
    redirect_end(&redirect, &out, &error);
    if (r < 0)
        fail_msg("%s: %s\n%s%s", argv[0], err.text, out, error);
    char *both = str_printf("%s%s", out, error);
    free(out);
    free(error);
    return both;
}

static inline void hash_file(const char *path, uint8_t ret_sha256[DIGEST_BYTES]) {
    struct err err = {0};
    struct stat st;
    cleanup_fd int fd = file_open(AT_FDCWD, path, O_RDONLY, 0, &err);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    assert_ok(digest_range(fd, path, 0, (uint64_t)st.st_size, ret_sha256, &err));
}

static inline void assert_same_files(const char *a, const char *b) {
    uint8_t left[DIGEST_BYTES], right[DIGEST_BYTES];
    hash_file(a, left);
    hash_file(b, right);
    assert_memory_equal(left, right, sizeof(left));
}

static inline void flip_bit(const char *path, uint64_t offset) {
    uint8_t byte;
    struct err err = {0};
    cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_ok(pread_all(fd, path, &byte, 1, offset, &err));
    byte ^= 0x10;
    assert_ok(pwrite_all(fd, path, &byte, 1, offset, &err));
}

// A layer whose file already lies at `path`.
static inline struct slotimage_layer layer_of(const char *name, const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    struct slotimage_layer layer = {.name = name, .version = "1.0", .dir_fd = AT_FDCWD, .path = path, .length = (uint64_t)st.st_size};
    hash_file(path, layer.sha256);
    return layer;
}
