// SPDX-License-Identifier: Apache-2.0
// Damage is done on a real overlay of a real GPT disk, and found by the slot's own verification; nothing else changes.
#include "builder/damage.h"
#include "builder/gpt.h"
#include "builder/test/support.h"

#define DISK_BYTES (16 * MIB)
#define SLOT_AT (2 * MIB)
#define SLOT_SPACE (8 * MIB)

struct made {
    char *raw, *disk, *layer, *slot;
    struct slotimage image;
};

static void made_done(struct made *made) {
    free(made->raw);
    free(made->disk);
    free(made->layer);
    free(made->slot);
}

// A disk whose partition `name` holds a generation with one layer of about 2 MiB, and a qcow2 overlay on it.
static void make(const struct scratch *scratch, const char *name, bool with_slot, struct made *made) {
    struct err err = {0};
    made->raw = scratch_file(scratch, "disk.raw");
    made->disk = scratch_file(scratch, "disk.qcow2");
    made->layer = scratch_file(scratch, "base.squashfs");
    made->slot = scratch_file(scratch, "slot.img");
    put_random(made->layer, 2000001, 3);
    struct slotimage_layer layer = layer_of("base", made->layer);
    struct slotimage_input input = {
        .profile = "dev", .version = "1", .sequence = 1, .slot_bytes = SLOT_SPACE, .layers = &layer, .layer_count = 1};
    assert_ok(slotimage_create(&input, AT_FDCWD, made->slot, &made->image, &err));
    struct gpt_partition partition = {.type = GPT_TYPE_LINUX, .uuid = "11111111-2222-4333-8444-555555555555"};
    partition.offset = SLOT_AT;
    partition.size = SLOT_SPACE;
    snprintf(partition.name, sizeof(partition.name), "%s", name);
    cleanup_fd int fd = open(made->raw, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, DISK_BYTES), 0);
    assert_ok(gpt_write(fd, made->raw, "99999999-2222-4333-8444-555555555555", &partition, 1, &err));
    if (with_slot) {
        cleanup_free char *target = str_printf("of=%s", made->raw);
        cleanup_free char *source = str_printf("if=%s", made->slot);
        free(tool(RUN_ARGV("dd", source, target, "bs=1M", "seek=2", "conv=notrunc", "status=none")));
    }
    free(tool(RUN_ARGV("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", made->raw, made->disk)));
}

static int damage(const struct scratch *scratch, const struct made *made, uint64_t *ret_offset, struct err *err) {
    return damage_slot(made->disk, scratch->path, "b", ret_offset, err);
}

static void one_block_of_the_layer_changes(void **state) {
    const struct scratch *scratch = *state;
    cleanup(made_done) struct made made = {0};
    cleanup_free char *after = scratch_file(scratch, "after.raw");
    struct err err = {0};
    uint64_t offset = 0;
    make(scratch, "webops-b", true, &made);
    assert_ok(damage(scratch, &made, &offset, &err));
    free(tool(RUN_ARGV("qemu-img", "convert", "-f", "qcow2", "-O", "raw", made.disk, after)));
    const struct slot_layer *layer = &made.image.header.layers[0];
    assert_true(offset >= SLOT_AT + layer->offset && offset + 4096 <= SLOT_AT + layer->offset + layer->length);
    cleanup_free char *before_text = NULL, *after_text = NULL;
    size_t before_bytes = 0, after_bytes = 0;
    assert_ok(file_read(AT_FDCWD, made.raw, DISK_BYTES, &before_text, &before_bytes, &err));
    assert_ok(file_read(AT_FDCWD, after, DISK_BYTES, &after_text, &after_bytes, &err));
    assert_int_equal(before_bytes, after_bytes);
    for (size_t block = 0; block < DISK_BYTES; block += 4096)
        assert_int_equal(memcmp(before_text + block, after_text + block, 4096) != 0, block == offset);
}

static void the_slot_no_longer_verifies(void **state) {
    const struct scratch *scratch = *state;
    cleanup(made_done) struct made made = {0};
    cleanup_free char *after = scratch_file(scratch, "after.raw");
    struct err err = {0};
    uint64_t offset = 0;
    make(scratch, "webops-b", true, &made);
    assert_ok(damage(scratch, &made, &offset, &err));
    free(tool(RUN_ARGV("qemu-img", "convert", "-f", "qcow2", "-O", "raw", made.disk, after)));
    struct slot_header header;
    struct slot_boot boot = {.data_blocks = made.image.header.data_bytes / 4096};
    memcpy(boot.id, made.image.header.id, sizeof(boot.id));
    memcpy(boot.root_hash, made.image.root_hash, sizeof(boot.root_hash));
    cleanup_fd int good = open(made.raw, O_RDONLY | O_CLOEXEC), bad = open(after, O_RDONLY | O_CLOEXEC);
    assert_ok(slotimage_verify(good, "before", SLOT_AT, SLOT_SPACE, &boot, &header, &err));
    assert_int_equal(slotimage_verify(bad, "after", SLOT_AT, SLOT_SPACE, &boot, &header, &err), -EBADMSG);
}

static void a_disk_without_the_partition_is_refused(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    uint64_t offset = 7;
    make(*state, "webops-a", true, &made);
    assert_int_equal(damage(*state, &made, &offset, &err), -ENOENT);
    assert_contains(err.text, "no partition webops-b");
    assert_int_equal(offset, 7);
}

static void an_empty_slot_is_refused(void **state) {
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    uint64_t offset = 7;
    make(*state, "webops-b", false, &made);
    assert_int_equal(damage(*state, &made, &offset, &err), -EINVAL);
    assert_contains(err.text, "damaging slot b");
    assert_int_equal(offset, 7);
}

static void a_missing_disk_is_named(void **state) {
    struct err err = {0};
    uint64_t offset = 0;
    assert_true(damage_slot("/nonexistent/disk.qcow2", ((const struct scratch *)*state)->path, "b", &offset, &err) < 0);
    assert_contains(err.text, "/nonexistent/disk.qcow2");
}

static void nothing_is_left_behind(void **state) {
    const struct scratch *scratch = *state;
    cleanup(made_done) struct made made = {0};
    struct err err = {0};
    uint64_t offset = 0;
    make(scratch, "webops-b", true, &made);
    assert_ok(damage(scratch, &made, &offset, &err));
    assert_false(file_exists(scratch->fd, "table.raw"));
    assert_false(file_exists(scratch->fd, "header.raw"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_block_of_the_layer_changes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(the_slot_no_longer_verifies, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_disk_without_the_partition_is_refused, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(an_empty_slot_is_refused, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_missing_disk_is_named, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(nothing_is_left_behind, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
