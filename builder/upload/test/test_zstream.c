// SPDX-License-Identifier: Apache-2.0
// What goes over the wire unpacks to the image, whatever the image is; checked by the zstd program.
#include "builder/output.h"
#include "builder/test/support.h"
#include "builder/upload/zstream.h"
#include <signal.h>
#include <unistd.h>

#define SIZE (5 * MIB + 4096)

// An image of data, zeros and a hole.
static char *make_image(const struct scratch *scratch, const char *name) {
    char *path = scratch_file(scratch, name);
    put_random(path, MIB + 512, 7);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)SIZE), 0);
    assert_int_equal(pwrite(fd, "\0\0\0\0", 4, 3 * MIB), 4);
    assert_int_equal(pwrite(fd, "end", 3, SIZE - 3), 3);
    close(fd);
    return path;
}

static void drain(const char *image, const char *to, struct zstream *stream) {
    struct err err = {0};
    cleanup_buf struct buf all = {0};
    uint64_t before = 0;
    assert_ok(zstream_open(image, stream, &err));
    for (;;) {
        const uint8_t *data;
        size_t size = 0;
        assert_ok(zstream_next(stream, &data, &size, &err));
        assert_true(stream->read_bytes >= before && stream->read_bytes <= stream->total_bytes);
        before = stream->read_bytes;
        if (size == 0)
            break;
        buf_add(&all, data, size);
    }
    assert_int_equal(stream->read_bytes, stream->total_bytes);
    put_file(to, all.data, all.size);
}

static void assert_hash(const char *image, const char *raw) {
    struct err err = {0};
    uint8_t expected[DIGEST_BYTES], found[DIGEST_BYTES];
    uint64_t bytes = 0;
    hash_file(raw, expected);
    assert_ok(zstream_hash(image, NULL, NULL, NULL, &bytes, found, &err));
    assert_int_equal(bytes, SIZE);
    assert_memory_equal(found, expected, DIGEST_BYTES);
}

static void raw_images(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *raw = make_image(scratch, "disk.raw"), *sent = scratch_file(scratch, "sent.zst"),
                      *back = scratch_file(scratch, "back");
    cleanup_zstream struct zstream stream = ZSTREAM_INIT;
    drain(raw, sent, &stream);
    assert_int_equal(stream.total_bytes, SIZE);
    free(tool(RUN_ARGV("zstd", "-q", "-d", "-o", back, sent)));
    free(tool(RUN_ARGV("cmp", raw, back)));
    assert_hash(raw, raw);
    struct stat st;
    assert_int_equal(stat(sent, &st), 0);
    assert_in_range(st.st_size, MIB, MIB + 16384); // data that do not compress, and next to nothing for the zeros
}

// A compressed image goes as it is, byte for byte, and is the same image.
static void compressed_images(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *raw = make_image(scratch, "disk.raw"), *zst = scratch_file(scratch, "disk.raw.zst"),
                      *map = scratch_file(scratch, "disk.bmap"), *sent = scratch_file(scratch, "sent.zst");
    cleanup_zstream struct zstream stream = ZSTREAM_INIT;
    assert_ok(output_zst(raw, zst, 1, &err));
    assert_ok(output_bmap(raw, map, &err));
    drain(zst, sent, &stream);
    free(tool(RUN_ARGV("cmp", zst, sent)));
    assert_hash(zst, raw);
}

static void told(void *context, uint64_t done, uint64_t total) {
    uint64_t *last = context;
    assert_true(done > *last && done <= total && total == SIZE);
    *last = done;
}

static void progress_of_hashing(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *raw = make_image(scratch, "disk.raw");
    uint8_t hash[DIGEST_BYTES];
    uint64_t bytes, last = 0;
    assert_ok(zstream_hash(raw, NULL, told, &last, &bytes, hash, &err));
    assert_int_equal(last, SIZE);
}

static void interrupt(void *context, uint64_t done, uint64_t total) {
    unsigned *pieces = context;
    (void)done, (void)total;
    if (++*pieces == 2)
        raise(SIGTERM);
}

// Signals do not end the program by then, and a large image takes minutes.
static void interrupted_hashing(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *raw = make_image(scratch, "disk.raw");
    cleanup_stop struct stop stop = {.fd = -1};
    uint8_t hash[DIGEST_BYTES];
    uint64_t bytes;
    unsigned pieces = 0;
    assert_ok(stop_open(&stop, &err));
    assert_int_equal(zstream_hash(raw, &stop, interrupt, &pieces, &bytes, hash, &err), -EINTR);
    assert_int_equal(pieces, 2);
}

static void what_is_no_image(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *none = scratch_file(scratch, "none.raw"), *small = scratch_file(scratch, "small.raw"),
                      *raw = make_image(scratch, "disk.raw"), *zst = scratch_file(scratch, "alone.raw.zst"),
                      *map = scratch_file(scratch, "alone.bmap");
    cleanup_zstream struct zstream stream = ZSTREAM_INIT;
    uint8_t hash[DIGEST_BYTES];
    uint64_t bytes;
    put_random(small, 4096, 1);
    assert_int_equal(zstream_open(none, &stream, &err), -ENOENT);
    assert_int_equal(zstream_open(small, &stream, &err), -EINVAL);
    assert_ok(output_zst(raw, zst, 1, &err));
    assert_int_equal(zstream_open(zst, &stream, &err), -ENOENT);
    assert_contains(err.text, "needs its block map");
    assert_ok(output_bmap(raw, map, &err));
    assert_int_equal(truncate(zst, MIB / 2), 0); // cut off
    assert_int_equal(zstream_hash(zst, NULL, NULL, NULL, &bytes, hash, &err), -EBADMSG);
    assert_contains(err.text, "cut off");
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_SCRATCH(raw_images), WITH_SCRATCH(compressed_images), WITH_SCRATCH(progress_of_hashing),
                                       WITH_SCRATCH(interrupted_hashing), WITH_SCRATCH(what_is_no_image)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
