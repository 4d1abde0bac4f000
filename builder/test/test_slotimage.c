// SPDX-License-Identifier: Apache-2.0
// Slot images: veritysetup agrees, every kind of damage is seen, and the slot's size is kept to the byte.
#include "builder/test/support.h"
#include "builder/verity.h"
#include "common/hashtree.h"

struct made {
    char *layers[2], *path;
    struct slotimage_layer parts[2];
    struct slotimage_input input;
    struct slotimage image;
};

static void made_done(struct made *made) {
    free(made->layers[0]);
    free(made->layers[1]);
    free(made->path);
}

// Two layers, the first of `size` bytes; the image is not built yet.
static void prepare(const struct scratch *scratch, size_t size, struct made *made) {
    made->layers[0] = scratch_file(scratch, "base.squashfs");
    made->layers[1] = scratch_file(scratch, "top.squashfs");
    made->path = scratch_file(scratch, "slot.img");
    put_random(made->layers[0], size, 1);
    put_random(made->layers[1], 5000, 2);
    made->parts[0] = layer_of("base", made->layers[0]);
    made->parts[1] = layer_of("hardening", made->layers[1]);
    made->input = (struct slotimage_input){
        .profile = "quickstart", .version = "1.0", .sequence = 7, .slot_bytes = 64 * MIB, .layers = made->parts, .layer_count = 2};
}

static void build(const struct scratch *scratch, size_t size, struct made *made) {
    struct err err = {0};
    prepare(scratch, size, made);
    assert_ok(slotimage_create(&made->input, AT_FDCWD, made->path, &made->image, &err));
}

static int verify(const struct made *made, struct err *err) {
    struct slot_header header;
    struct slot_boot boot;
    char text[SLOT_BOOT_TEXT_BYTES];
    struct stat st;
    slotimage_boot_text(&made->image, text);
    assert_int_equal(slot_boot_parse(text, &boot, err), 0);
    cleanup_fd int fd = open(made->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(fstat(fd, &st), 0);
    return slotimage_verify(fd, made->path, 0, (uint64_t)st.st_size, &boot, &header, err);
}

static void veritysetup_agrees(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    // One tree block, exactly one full tree block (128 blocks of data), two levels.
    static const size_t sizes[] = {4096, 125 * 4096, 130 * 4096, 3000001};
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        made_done(&made);
        build(*state, sizes[i], &made);
        char root[65], offset[32], blocks[32];
        hex_format(made.image.root_hash, 32, root);
        snprintf(offset, sizeof(offset), "--hash-offset=%llu", (unsigned long long)made.image.header.data_bytes);
        snprintf(blocks, sizeof(blocks), "--data-blocks=%llu", (unsigned long long)made.image.header.data_bytes / 4096);
        cleanup_free char *out = tool(
            RUN_ARGV("veritysetup", "verify", "--no-superblock", "--salt=-", "--hash=sha256", offset, blocks, made.path, made.path, root));
        struct stat st;
        assert_int_equal(stat(made.path, &st), 0);
        assert_int_equal((uint64_t)st.st_size, made.image.size_bytes);
        assert_ok(verify(&made, &err));
    }
}

static void layers_lie_where_the_header_says(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    struct slot_header header;
    build(*state, 10000, &made);
    cleanup_fd int fd = open(made.path, O_RDONLY | O_CLOEXEC);
    assert_ok(slotimage_read_header(fd, made.path, 0, made.image.size_bytes, &header, &err));
    assert_int_equal(header.layer_count, 2);
    assert_int_equal(header.sequence, 7);
    assert_string_equal(header.profile, "quickstart");
    assert_string_equal(header.layers[1].name, "hardening");
    assert_int_equal(header.layers[0].offset, 4096);
    assert_int_equal(header.layers[1].offset, 4096 + 12288);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t sha256[DIGEST_BYTES];
        assert_ok(digest_range(fd, made.path, header.layers[i].offset, header.layers[i].length, sha256, &err));
        assert_memory_equal(sha256, made.parts[i].sha256, sizeof(sha256));
    }
}

static void same_inputs_same_bytes(void **state) {
    struct scratch *scratch = *state;
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    struct slotimage again;
    build(scratch, 300000, &made);
    cleanup_free char *second = scratch_file(scratch, "second.img");
    mode_t old = umask(077);
    int r = slotimage_create(&made.input, scratch->fd, "second.img", &again, &err);
    umask(old);
    assert_ok(r);
    assert_same_files(made.path, second);
    assert_memory_equal(&again.root_hash, &made.image.root_hash, 32);
}

static void exact_fit_and_one_byte_over(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    struct slotimage image;
    build(*state, 300000, &made);
    made.input.slot_bytes = made.image.size_bytes;
    assert_ok(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err));
    made.input.slot_bytes--;
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -EFBIG);
    cleanup_free char *need = str_printf("%llu", (unsigned long long)made.image.size_bytes);
    cleanup_free char *have = str_printf("%llu", (unsigned long long)made.image.size_bytes - 1);
    assert_contains(err.text, need);
    assert_contains(err.text, have);
}

static void corrupt_layer_is_refused_by_name(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    struct slotimage image = {.size_bytes = 1234};
    prepare(*state, 300000, &made);
    flip_bit(made.layers[0], 299999);
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -EBADMSG);
    assert_contains(err.text, made.layers[0]);
    assert_int_equal(access(made.path, F_OK), -1); // nothing half-written stays
    assert_int_equal(image.size_bytes, 1234); // and the output is untouched
    flip_bit(made.layers[0], 299999);
    made.parts[1].length++; // the file is shorter than it was when it was built
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -EBADMSG);
    assert_contains(err.text, made.layers[1]);
    made.parts[1].path = "/nonexistent/layer";
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -ENOENT);
}

static void bad_inputs(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    struct slotimage image;
    prepare(*state, 5000, &made);
    made.input.layer_count = 0;
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -EINVAL);
    made.input.layer_count = SLOT_MAX_LAYERS + 1;
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -EINVAL);
    made.input.layer_count = 2;
    made.input.version = "a-version-of-many-more-characters-than-the-header-has-room-for";
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -EINVAL);
    made.input.version = "1.0";
    made.parts[0].name = "a-layer-name-of-many-more-characters-than-the-header-has-room-for";
    assert_int_equal(slotimage_create(&made.input, AT_FDCWD, made.path, &image, &err), -EINVAL);
}

// A flip in every block of header, data, padding and tree must be seen.
static void every_block_is_covered(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    build(*state, 140 * 4096 + 17, &made);
    uint64_t blocks = made.image.size_bytes / 4096;
    assert_true(blocks > 140);
    for (uint64_t i = 0; i < blocks; i++) {
        uint64_t at = i * 4096 + (i * 997) % 4096;
        flip_bit(made.path, at);
        err = (struct err){0};
        if (verify(&made, &err) >= 0)
            fail_msg("a flipped bit at byte %llu is not seen", (unsigned long long)at);
        assert_true(err.text[0]);
        flip_bit(made.path, at);
    }
    assert_ok(verify(&made, &err));
}

static void damage_is_located(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    build(*state, 200 * 4096, &made);
    flip_bit(made.path, 150 * 4096 + 5);
    assert_int_equal(verify(&made, &err), -EBADMSG);
    assert_contains(err.text, "block 150 ");
}

static void wrong_root_or_generation(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    build(*state, 100000, &made);
    struct slotimage kept = made.image;
    made.image.root_hash[31] ^= 1;
    assert_int_equal(verify(&made, &err), -EBADMSG);
    assert_contains(err.text, "root hash");
    made.image = kept;
    made.image.header.id[0] ^= 1;
    assert_int_equal(verify(&made, &err), -EBADMSG);
    assert_contains(err.text, "slot id");
    made.image = kept;
    made.image.header.data_bytes += 4096;
    assert_int_equal(verify(&made, &err), -EBADMSG);
    assert_contains(err.text, "blocks");
}

static void cut_off_images(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    struct slot_header header;
    build(*state, 100000, &made);
    static const uint64_t cuts[] = {0, 1, 4095, 4096, 50000};
    for (unsigned i = 0; i < ARRAY_SIZE(cuts); i++) {
        assert_int_equal(truncate(made.path, (off_t)cuts[i]), 0);
        cleanup_fd int fd = open(made.path, O_RDONLY | O_CLOEXEC);
        assert_true(slotimage_read_header(fd, made.path, 0, cuts[i], &header, &err) < 0);
        assert_true(slotimage_read_header(fd, made.path, 0, 64 * MIB, &header, &err) < 0 || verify(&made, &err) < 0);
    }
}

// The machine computes the tree by itself (common/hashtree.c); libcryptsetup made the one here.
static void machine_makes_the_same_tree(void **state) {
    static const size_t sizes[] = {1, 126 * 4096, 127 * 4096, 3000001};
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        cleanup(made_done) struct made made = {0};
        cleanup_hashtree struct hashtree tree;
        cleanup_free uint8_t *computed = NULL;
        cleanup_free char *image = NULL;
        size_t tree_bytes = 0, image_bytes = 0;
        uint8_t root[32];
        struct err err = {0};
        build(*state, sizes[i], &made);
        assert_ok(file_read(AT_FDCWD, made.path, 64 * MIB, &image, &image_bytes, &err));
        uint64_t data_bytes = made.image.header.data_bytes;
        hashtree_init(&tree, data_bytes / 4096);
        hashtree_add(&tree, image, data_bytes);
        assert_ok(hashtree_finish(&tree, &computed, &tree_bytes, root, &err));
        assert_memory_equal(root, made.image.root_hash, 32);
        assert_int_equal(tree_bytes, image_bytes - data_bytes);
        assert_memory_equal(computed, image + data_bytes, tree_bytes);
    }
}

static void verity_refuses_odd_sizes(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *path = scratch_file(scratch, "odd");
    uint8_t root[32] = {0};
    struct err err = {0};
    put_random(path, 8192, 3);
    cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(verity_check(fd, path, 0, 0, root, &err), -EINVAL);
    assert_int_equal(verity_check(fd, path, 0, 4097, root, &err), -EINVAL);
    digest_range(fd, path, 0, 4096, root, &err) < 0 ? fail() : (void)0;
    assert_ok(verity_check(fd, path, 0, 4096, root, &err)); // a single block is its own tree
    assert_int_equal(verity_check(fd, path, 4096, 4096, root, &err), -EBADMSG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(veritysetup_agrees),
        cmocka_unit_test(layers_lie_where_the_header_says),
        cmocka_unit_test(same_inputs_same_bytes),
        cmocka_unit_test(exact_fit_and_one_byte_over),
        cmocka_unit_test(corrupt_layer_is_refused_by_name),
        cmocka_unit_test(bad_inputs),
        cmocka_unit_test(every_block_is_covered),
        cmocka_unit_test(damage_is_located),
        cmocka_unit_test(wrong_root_or_generation),
        cmocka_unit_test(cut_off_images),
        cmocka_unit_test(machine_makes_the_same_tree),
        cmocka_unit_test(verity_refuses_odd_sizes),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
