// SPDX-License-Identifier: Apache-2.0
// Block maps of images with holes: what is written is read again, what bmaptool makes is read, and what is odd is refused.
#include "builder/flash/bmap.h"
#include "builder/test/support.h"
#include <inttypes.h>

// 16 MiB with data in blocks 0, 768 … 841 and 4095.
static char *make_image(struct scratch *scratch) {
    struct err err = {0};
    char *path = scratch_file(scratch, "disk.raw");
    cleanup_free char *data = mem_array(300000, 1);
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    memset(data, 'x', 300000);
    assert_int_equal(ftruncate(fd, 16 * MIB), 0);
    assert_ok(pwrite_all(fd, path, data, 4096, 0, &err));
    assert_ok(pwrite_all(fd, path, data, 300000, 3 * MIB, &err));
    assert_ok(pwrite_all(fd, path, data, 1, 16 * MIB - 1, &err));
    return path;
}

static void scan(const char *path, struct bmap *bmap) {
    struct err err = {0};
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_ok(bmap_scan(fd, path, bmap, &err));
}

static void assert_same(const struct bmap *one, const struct bmap *two) {
    assert_int_equal(one->image_bytes, two->image_bytes);
    assert_int_equal(one->mapped_bytes, two->mapped_bytes);
    assert_int_equal(one->count, two->count);
    for (size_t i = 0; i < one->count; i++)
        assert_memory_equal(&one->ranges[i], &two->ranges[i], sizeof(one->ranges[i]));
    uint8_t first[DIGEST_BYTES], second[DIGEST_BYTES];
    bmap_identity(one, first);
    bmap_identity(two, second);
    assert_memory_equal(first, second, DIGEST_BYTES);
}

static void is_read_as_it_was_written(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *path = make_image(scratch), *map = scratch_file(scratch, "theirs.bmap"), *theirs = NULL;
    cleanup_bmap struct bmap scanned = {0}, read = {0}, read_theirs = {0};
    cleanup_buf struct buf xml = {0};
    size_t size;
    scan(path, &scanned);
    assert_int_equal(scanned.count, 3);
    assert_int_equal(scanned.ranges[1].offset, 768 * 4096);
    assert_int_equal(scanned.ranges[1].size, 74 * 4096);
    assert_int_equal(scanned.mapped_bytes, 76 * 4096);
    bmap_format(&scanned, &xml);
    assert_ok(bmap_parse(xml.data, xml.size, "ours", &read, &err));
    assert_same(&scanned, &read);
    free(tool(RUN_ARGV("bmaptool", "create", "-o", map, path)));
    assert_ok(file_read(AT_FDCWD, map, 1 << 20, &theirs, &size, &err));
    assert_ok(bmap_parse(theirs, size, "theirs", &read_theirs, &err));
    assert_same(&scanned, &read_theirs);
}

static void identity_follows_the_bytes(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *path = make_image(scratch);
    cleanup_bmap struct bmap before = {0}, after = {0};
    uint8_t first[DIGEST_BYTES], second[DIGEST_BYTES];
    scan(path, &before);
    flip_bit(path, 3 * MIB);
    scan(path, &after);
    bmap_identity(&before, first);
    bmap_identity(&after, second);
    assert_memory_not_equal(first, second, DIGEST_BYTES);
}

#define SHA "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// A map of one image of ten blocks, with its checksum made right again.
static void format(const char *head, const char *ranges, struct buf *xml) {
    static const char none[] = "0000000000000000000000000000000000000000000000000000000000000000";
    uint8_t sha256[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    buf_printf(
        xml, "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">%s<BmapFileChecksum> %s </BmapFileChecksum><BlockMap>%s</BlockMap></bmap>\n",
        head, none, ranges);
    digest_bytes(xml->data, xml->size, sha256);
    hex_format(sha256, sizeof(sha256), hex);
    memcpy(strstr(xml->data, none), hex, sizeof(hex) - 1);
}

#define HEAD(image, block, blocks, mapped, type)                                                                                           \
    "<ImageSize>" image "</ImageSize><BlockSize>" block "</BlockSize><BlocksCount>" blocks "</BlocksCount><MappedBlocksCount>" mapped      \
    "</MappedBlocksCount><ChecksumType>" type "</ChecksumType>"
#define GOOD HEAD("40960", "4096", "10", "3", "sha256")
#define RANGE(text) "<Range chksum=\"" SHA "\">" text "</Range>"

static void odd_maps_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *head, *ranges, *says; // NULL = taken
    } rows[] = {
        {GOOD, RANGE("0-2"), NULL},
        {GOOD, RANGE(" 0 ") RANGE("\n8-9\n"), NULL},
        {HEAD("40960", "4096", "10", "0", "sha256"), "", NULL},
        {GOOD, RANGE("0-1"), "do not fit"},
        {GOOD, RANGE("8-10"), "do not fit"},
        {GOOD, RANGE("2-0"), "no range"},
        {GOOD, RANGE("0-2x"), "no range"},
        {GOOD, RANGE("-2"), "no range"},
        {GOOD, RANGE(""), "no range"},
        {GOOD, RANGE("0-99999999999999999999999999"), "no range"},
        {GOOD, RANGE("8-9") RANGE("0"), "in order"},
        {GOOD, RANGE("0-1") RANGE("2"), NULL},
        {GOOD, RANGE("0-1") RANGE("1"), "in order"},
        {GOOD, "<Range>0-2</Range>", "without SHA-256"},
        {GOOD, "<Range chksum=\"abc\">0-2</Range>", "without SHA-256"},
        {GOOD, "<Range chksum=\"" SHA "\">0-<ImageSize>2</ImageSize></Range>", "where none may be"},
        {HEAD("40961", "4096", "10", "3", "sha256"), RANGE("0-2"), "whole blocks"},
        {HEAD("40960", "512", "80", "3", "sha256"), RANGE("0-2"), "whole blocks"},
        {HEAD("40960", "4096", "11", "3", "sha256"), RANGE("0-2"), "whole blocks"},
        {HEAD("40960", "4096", "10", "3", "md5"), RANGE("0-2"), "another kind"},
        {HEAD("", "4096", "10", "3", "sha256"), RANGE("0-2"), "missing"},
        {HEAD("-1", "4096", "10", "3", "sha256"), RANGE("0-2"), "missing"},
        {GOOD GOOD, RANGE("0-2"), "where none may be"},
        {HEAD("40960", "4096", "10", "3", "sha256" SHA SHA), RANGE("0-2"), "too long"},
        {GOOD, RANGE("0-2") "<open>", "mismatched tag"},
        {"<!DOCTYPE x [<!ENTITY a \"1\">]>" GOOD, RANGE("0-2"), "no block map"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        cleanup_buf struct buf xml = {0};
        cleanup_bmap struct bmap bmap = {0};
        format(rows[i].head, rows[i].ranges, &xml);
        int r = bmap_parse(xml.data, xml.size, "a.bmap", &bmap, &err);
        if ((r < 0) != (rows[i].says != NULL) || (r < 0 && (r != -EINVAL || !strstr(err.text, rows[i].says) || bmap.ranges)))
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
}

// Every single bit and every cut of a map: the checksum, or the syntax, tells.
static void damage_is_seen(void **state) {
    (void)state;
    cleanup_buf struct buf xml = {0};
    struct err err = {0};
    format(GOOD, RANGE("0-2"), &xml);
    for (size_t bit = 0; bit < xml.size * 8; bit++) {
        cleanup_bmap struct bmap bmap = {0};
        xml.data[bit / 8] ^= (char)(1 << bit % 8);
        int r = bmap_parse(xml.data, xml.size, "a.bmap", &bmap, &err);
        xml.data[bit / 8] ^= (char)(1 << bit % 8);
        if (r != -EINVAL)
            fail_msg("bit %zu: %d", bit, r);
    }
    for (size_t size = 0; size + 1 < xml.size; size++) { // without its last line end it is still whole, but for the checksum
        struct bmap bmap;
        assert_int_equal(bmap_parse(xml.data, size, "a.bmap", &bmap, &err), -EINVAL);
    }
}

static void odd_images(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct bmap bmap;
    cleanup_free char *odd = scratch_file(scratch, "odd");
    put_file(odd, "x", 1);
    cleanup_fd int fd = open(odd, O_RDWR | O_CLOEXEC);
    assert_int_equal(bmap_scan(fd, odd, &bmap, &err), -EINVAL);
    assert_contains(err.text, odd);
}

// Also what its holes hid when the map was made, and a copy without holes is the same image.
static void images_are_held_against_maps(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    static const struct {
        uint64_t offset;
        const char *says; // NULL = as it was
    } rows[] = {{0, "at offset 0 "},
                {3 * MIB + 299999, "at offset 3145728 "},
                {5 * MIB + 7, "at offset 5242887 "},
                {16 * MIB - 2, "at offset 16773120 "},
                {16 * MIB, NULL}};
    cleanup_free char *path = make_image(scratch), *copy = scratch_file(scratch, "copy.raw");
    cleanup_bmap struct bmap bmap = {0};
    scan(path, &bmap);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        free(tool(RUN_ARGV("cp", rows[i].says ? "--sparse=always" : "--sparse=never", path, copy)));
        if (rows[i].says)
            flip_bit(copy, rows[i].offset);
        cleanup_fd int fd = open(copy, O_RDONLY | O_CLOEXEC);
        err.text[0] = 0;
        int r = bmap_verify(&bmap, fd, copy, &err);
        if (r != (rows[i].says ? -EBADMSG : 0) || !strstr(err.text, rows[i].says ?: ""))
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
    cleanup_fd int fd = open(copy, O_RDONLY | O_CLOEXEC);
    assert_int_equal(truncate(copy, 3 * MIB), 0);
    assert_int_equal(bmap_verify(&bmap, fd, copy, &err), -ENODATA);
}

#define WITH_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(is_read_as_it_was_written),
        WITH_SCRATCH(identity_follows_the_bytes),
        cmocka_unit_test(odd_maps_are_refused),
        cmocka_unit_test(damage_is_seen),
        WITH_SCRATCH(odd_images),
        WITH_SCRATCH(images_are_held_against_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
