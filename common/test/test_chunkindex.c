// SPDX-License-Identifier: Apache-2.0
// Chunk indexes: what is made covers the file, reads back, and no altered byte of the format is taken.
#include "common/chunkindex.h"
#include "common/digest.h"
#include "common/test/support.h"
#include <errno.h>

static int sample_file(const struct scratch *scratch, size_t size, uint32_t seed) {
    struct err err = {0};
    cleanup_free uint8_t *data = mem_array(size, 1);
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (uint8_t)(seed >> 24);
    }
    assert_int_equal(file_publish(scratch->fd, "sample", data, size, 0644, &err), 0);
    int fd = openat(scratch->fd, "sample", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void make(const struct scratch *scratch, size_t size, struct chunkindex *index, struct buf *text) {
    struct err err = {0};
    cleanup_fd int fd = sample_file(scratch, size, 7);
    assert_int_equal(chunkindex_make(fd, "sample", 0, size, index, &err), 0);
    chunkindex_format(index, text);
}

static int parse(const struct buf *text, uint64_t object_bytes, struct err *err) {
    cleanup_chunkindex struct chunkindex index = {0};
    return chunkindex_parse((const uint8_t *)text->data, text->size, object_bytes, &index, err);
}

static void chunks_cover_the_object(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    static const size_t sizes[] = {1, 4095, 4096, 4097, 65536, 1 << 20, (1 << 20) + 1, 5000000};
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        cleanup_chunkindex struct chunkindex index = {0};
        cleanup_fd int fd = sample_file(scratch, sizes[i] + 100, i);
        uint64_t at = 0;
        uint8_t sha256[32];
        assert_int_equal(chunkindex_make(fd, "sample", 50, sizes[i], &index, &err), 0);
        assert_int_equal(index.bytes, sizes[i]);
        for (size_t c = 0; c < index.count; at += index.chunks[c++].bytes) {
            assert_int_equal(index.chunks[c].offset, at);
            assert_int_equal(digest_range(fd, "sample", 50 + at, index.chunks[c].bytes, sha256, &err), 0);
            assert_memory_equal(index.chunks[c].sha256, sha256, 32);
        }
        assert_int_equal(at, sizes[i]);
    }
}

// However the reading is divided, the cuts are those of the whole object.
static void windows_do_not_cut(void **state) {
    cleanup_chunkindex struct chunkindex index = {0};
    cleanup_buf struct buf text = {0};
    cleanup_free char *data = NULL;
    size_t size = 0, at = 0;
    struct err err = {0};
    make(*state, 5000000, &index, &text);
    assert_int_equal(file_read(((struct scratch *)*state)->fd, "sample", 5000000, &data, &size, &err), 0);
    for (size_t i = 0; i < index.count; i++) {
        assert_int_equal(index.chunks[i].bytes, chunk_cut((uint8_t *)data + at, size - at, true));
        at += index.chunks[i].bytes;
    }
}

static void reads_back(void **state) {
    cleanup_chunkindex struct chunkindex made = {0}, read = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    make(*state, 3000000, &made, &text);
    assert_int_equal(text.size, CHUNKINDEX_FIXED_BYTES + made.count * CHUNKINDEX_RECORD_BYTES);
    assert_true(text.size * 400 < 3000000); // 0.25 %
    assert_int_equal(chunkindex_parse((uint8_t *)text.data, text.size, 3000000, &read, &err), 0);
    assert_int_equal(read.count, made.count);
    assert_int_equal(read.bytes, made.bytes);
    for (size_t i = 0; i < made.count; i++)
        assert_memory_equal(&read.chunks[i].sha256, &made.chunks[i].sha256, 32);
    assert_int_equal(read.chunks[made.count - 1].offset, made.chunks[made.count - 1].offset);
}

static void short_file_is_named(void **state) {
    cleanup_chunkindex struct chunkindex index = {0};
    struct err err = {0};
    cleanup_fd int fd = sample_file(*state, 1000, 1);
    assert_int_equal(chunkindex_make(fd, "the-layer", 0, 1001, &index, &err), -ENODATA);
    assert_contains(err.text, "the-layer");
    assert_null(index.chunks);
}

// Every bit of the head and of the lengths matters. A hash can be anything: it is the object's bytes that must match it.
static void every_bit_of_the_format_counts(void **state) {
    cleanup_chunkindex struct chunkindex made = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    make(*state, 200000, &made, &text);
    assert_int_equal(parse(&text, 200000, &err), 0);
    for (size_t i = 0; i < text.size; i++) {
        bool is_hash = i >= CHUNKINDEX_FIXED_BYTES && (i - CHUNKINDEX_FIXED_BYTES) % CHUNKINDEX_RECORD_BYTES >= 2;
        for (int bit = 0; bit < 8; bit++) {
            text.data[i] = (char)(text.data[i] ^ (1 << bit));
            assert_int_equal(parse(&text, 200000, &err), is_hash ? 0 : -EINVAL);
            text.data[i] = (char)(text.data[i] ^ (1 << bit));
        }
    }
}

static void every_wrong_length_is_refused(void **state) {
    cleanup_chunkindex struct chunkindex made = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    make(*state, 200000, &made, &text);
    for (size_t size = 0; size < text.size; size++) {
        cleanup_free uint8_t *cut = mem_array(size, 1); // of exactly that size, for ASan
        memcpy(cut, text.data, size);
        assert_int_equal(chunkindex_parse(cut, size, 200000, &made, &err), -EINVAL);
    }
    buf_add(&text, "", 1);
    assert_int_equal(parse(&text, 200000, &err), -EINVAL);
}

static void put_u32(struct buf *text, size_t at, uint32_t value) {
    for (int i = 0; i < 4; i++)
        text->data[at + (size_t)i] = (char)(value >> (8 * i));
}

static void lies_about_sizes(void **state) {
    cleanup_chunkindex struct chunkindex made = {0};
    cleanup_buf struct buf text = {0};
    struct err err = {0};
    make(*state, 200000, &made, &text);
    assert_int_equal(parse(&text, 199999, &err), -EINVAL);
    assert_contains(err.text, "199999");
    static const uint32_t counts[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_SIZE(counts); i++) {
        put_u32(&text, 12, counts[i]);
        assert_int_equal(parse(&text, 200000, &err), -EINVAL);
    }
    put_u32(&text, 12, (uint32_t)made.count);
    // Shorter first chunk, longer second one: the sum stays, the minimum is broken.
    text.data[CHUNKINDEX_FIXED_BYTES] = 0;
    text.data[CHUNKINDEX_FIXED_BYTES + 1] = 0;
    assert_int_equal(parse(&text, 200000, &err), -EINVAL);
    assert_contains(err.text, "chunk 0");
    cleanup_free uint8_t *huge = mem_array(CHUNKINDEX_MAX_BYTES + 1, 1);
    memcpy(huge, text.data, CHUNKINDEX_FIXED_BYTES);
    assert_int_equal(chunkindex_parse(huge, CHUNKINDEX_MAX_BYTES + 1, 200000, &made, &err), -EFBIG);
}

// Chunks whose offsets take more than 32 bits, and an object that lies behind 4 GiB of hole.
static void objects_beyond_4_gib(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    const uint64_t count = (1ULL << 32) / CHUNK_MAX_BYTES + 2, bytes = count * CHUNK_MAX_BYTES, hole = (1ULL << 32) + 5;
    cleanup_chunkindex struct chunkindex large = {.chunks = mem_array(count, sizeof(*large.chunks)), .count = count, .bytes = bytes},
                                         read = {0};
    cleanup_chunkindex struct chunkindex near = {0}, far = {0};
    cleanup_buf struct buf text = {0};
    for (uint64_t i = 0; i < count; i++)
        large.chunks[i] = (struct chunkindex_chunk){.offset = i * CHUNK_MAX_BYTES, .bytes = CHUNK_MAX_BYTES};
    chunkindex_format(&large, &text);
    assert_int_equal(parse(&text, bytes - (1ULL << 32), &err), -EINVAL);
    assert_int_equal(chunkindex_parse((const uint8_t *)text.data, text.size, bytes, &read, &err), 0);
    assert_int_equal(read.bytes, bytes);
    assert_int_equal(read.chunks[count - 1].offset, bytes - CHUNK_MAX_BYTES);
    cleanup_fd int fd = sample_file(scratch, 100000, 3), moved = openat(scratch->fd, "moved", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char data[100000];
    assert_int_equal(pread_all(fd, "sample", data, sizeof(data), 0, &err), 0);
    assert_int_equal(pwrite_all(moved, "moved", data, sizeof(data), hole, &err), 0);
    assert_int_equal(chunkindex_make(fd, "sample", 0, sizeof(data), &near, &err), 0);
    assert_int_equal(chunkindex_make(moved, "moved", hole, sizeof(data), &far, &err), 0);
    assert_int_equal(near.count, far.count);
    for (size_t i = 0; i < near.count; i++)
        assert_memory_equal(near.chunks[i].sha256, far.chunks[i].sha256, 32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_cover_the_object),
        cmocka_unit_test(windows_do_not_cut),
        cmocka_unit_test(reads_back),
        cmocka_unit_test(short_file_is_named),
        cmocka_unit_test(every_bit_of_the_format_counts),
        cmocka_unit_test(every_wrong_length_is_refused),
        cmocka_unit_test(lies_about_sizes),
        cmocka_unit_test(objects_beyond_4_gib),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
