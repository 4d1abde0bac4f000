// SPDX-License-Identifier: Apache-2.0
// Parts that do not belong together, and files that change between their verification and their use.
#include "firstboot/update/test/verdict.h"
#include <errno.h>

static const char *program;

// Everything is signed and by itself consistent, but the kernel image is another slot's.
static void a_kernel_of_another_slot(void **state) {
    (void)state;
    cleanup_generation struct tree_generation old, new;
    tree_generation_make(&old, "1", 1, 2);
    tree_generation_make(&new, "2", 2, 3);
    cleanup_tree struct tree tree = tree_make(program, &old);
    char *cmdline = new.uki.data + new.manifest.cmdline_in_uki.offset;
    size_t size = strlen(new.manifest.cmdline);
    cmdline[size - 1] = cmdline[size - 1] == '0' ? '1' : '0'; // the root hash ends there
    tree_part(&new.uki, &new.manifest.uki);
    buf_done(&new.uki_index);
    tree_index(&new.uki, &new.uki_index);
    tree_part(&new.uki_index, &new.manifest.uki_index);
    manifest_seal(&new.manifest);
    cleanup_free char *bundle = tree_bundle(&tree, &new, "new.bundle");
    assert_int_equal(tree_update(&tree, &(struct update_options){.location = bundle}), -EBADMSG);
    assert_non_null(strstr(tree_failure.text, "do not belong together"));
    assert_old_or_new(&tree, &old, &new);
    for (size_t i = 0; boot_backends[i]; i++)
        assert_int_equal(tree_entry(&tree, i, BOOT_SLOT_B).state, BOOT_EMPTY);
    assert_false(file_exists(tree.root.fd, "esp/EFI/webops/b.efi"));
    assert_false(file_exists(tree.root.fd, TRIAL_MARK_PATH));
}

// Somebody who can write where bundles lie waits until the signature was checked, and changes what will be read then.
static struct swap {
    struct tree tree;
    struct tree_generation old, new, other; // other is signed, too, and newer
    char *bundle, *other_bundle;
    void (*act)(void);
} * swap;

static void swap_after_head(const char *step) {
    if (strcmp(step, "head") == 0)
        swap->act();
}

static void swap_make(struct swap *made, const char *name) {
    cleanup_free char *other = str_printf("%s.other", name);
    tree_generation_make(&made->old, "1", 1, 2);
    tree_generation_make(&made->new, "2", 2, 3);
    tree_generation_make(&made->other, "3", 3, 4);
    made->tree = tree_make(program, &made->old);
    assert_ok(file_mkdirs(made->tree.root.fd, "www", 0755, &tree_failure));
    made->bundle = tree_bundle(&made->tree, &made->new, name);
    made->other_bundle = tree_bundle(&made->tree, &made->other, other);
    swap = made;
}
static void swap_done(struct swap *made) {
    tree_done(&made->tree);
    tree_generation_done(&made->old);
    tree_generation_done(&made->new);
    tree_generation_done(&made->other);
    free(made->bundle);
    free(made->other_bundle);
    swap = NULL;
}
#define cleanup_swap cleanup(swap_done)

static int swap_update(const char *location, void (*act)(void)) {
    swap->act = act;
    return tree_update(&swap->tree, &(struct update_options){.location = location, .after_step = swap_after_head});
}

static void rename_over(void) {
    assert_int_equal(rename(swap->other_bundle, swap->bundle), 0);
}

static void a_bundle_renamed_over(void **state) {
    (void)state;
    cleanup_swap struct swap made;
    swap_make(&made, "www/new.bundle");
    assert_int_equal(swap_update(made.bundle, rename_over), UPDATE_PUBLISHED);
    assert_published(&made.tree, &made.old, &made.new);
}

static void point_elsewhere(void) {
    assert_int_equal(unlink(swap->bundle), 0);
    assert_int_equal(symlink(swap->other_bundle, swap->bundle), 0);
}

static void a_link_turned_elsewhere(void **state) {
    (void)state;
    cleanup_swap struct swap made;
    swap_make(&made, "www/new.bundle");
    cleanup_free char *real = str_printf("%s.real", made.bundle);
    assert_int_equal(rename(made.bundle, real), 0);
    assert_int_equal(symlink(real, made.bundle), 0);
    assert_int_equal(swap_update(made.bundle, point_elsewhere), UPDATE_PUBLISHED);
    assert_published(&made.tree, &made.old, &made.new);
}

static void name_in_channel(const struct tree *tree, const struct tree_generation *generation) {
    cleanup_buf struct buf head = {0};
    tree_head(tree, generation, &head);
    tree_write(tree, "www/stable.channel", head.data, head.size);
}

// The channel's head stays the verified one, and the bundle the one that was opened for it.
static void swap_directory(void) {
    name_in_channel(&swap->tree, &swap->other);
    rename_over();
}

static void a_published_directory_swapped(void **state) {
    (void)state;
    cleanup_swap struct swap made;
    swap_make(&made, "www/edge-2.bundle");
    cleanup_free char *www = str_printf("%s/www/", made.tree.root.path);
    name_in_channel(&made.tree, &made.new);
    assert_int_equal(swap_update(www, swap_directory), UPDATE_PUBLISHED);
    assert_published(&made.tree, &made.old, &made.new);
}

// The bundle's head is that of the channel no more before it is opened: signed or not, its bytes are not those of the verified manifest.
static void a_directory_that_mixes_two_generations(void **state) {
    (void)state;
    cleanup_swap struct swap made;
    swap_make(&made, "www/edge-2.bundle");
    cleanup_free char *www = str_printf("%s/www/", made.tree.root.path);
    name_in_channel(&made.tree, &made.new);
    rename_over();
    assert_int_equal(tree_update(&made.tree, &(struct update_options){.location = www}), -EBADMSG);
    assert_old_or_new(&made.tree, &made.old, &made.new);
    assert_int_equal(tree_entry(&made.tree, 0, BOOT_SLOT_B).state, BOOT_EMPTY);
}

static uint64_t rewrite_offset; // in the file
static void rewrite_in_place(void) {
    char bytes[64];
    cleanup_fd int fd = open(swap->bundle, O_RDWR | O_CLOEXEC);
    assert_ok(pread_all(fd, "the bundle", bytes, sizeof(bytes), rewrite_offset, &tree_failure));
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] ^= 0x55;
    assert_ok(pwrite_all(fd, "the bundle", bytes, sizeof(bytes), rewrite_offset, &tree_failure));
}

static void a_payload_rewritten_in_place(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        cleanup_swap struct swap made;
        cleanup_buf struct buf head = {0};
        swap_make(&made, "www/new.bundle");
        const struct manifest *manifest = &made.new.manifest;
        const struct manifest_part *parts[] = {&manifest->uki, &manifest->layers[1].data};
        tree_head(&made.tree, &made.new, &head);
        tree_pad(&head);
        rewrite_offset = head.size + parts[i]->offset + parts[i]->bytes / 2;
        assert_int_equal(swap_update(made.bundle, rewrite_in_place), -EBADMSG);
        assert_old_or_new(&made.tree, &made.old, &made.new);
        for (size_t b = 0; boot_backends[b]; b++)
            assert_int_equal(tree_entry(&made.tree, b, BOOT_SLOT_B).state, BOOT_EMPTY);
        rewrite_in_place(); // turned over twice: as it was
        assert_int_equal(tree_update(&made.tree, &(struct update_options){.location = made.bundle}), UPDATE_PUBLISHED);
        assert_published(&made.tree, &made.old, &made.new);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    program = argv[0];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kernel_of_another_slot),
        cmocka_unit_test(a_bundle_renamed_over),
        cmocka_unit_test(a_link_turned_elsewhere),
        cmocka_unit_test(a_published_directory_swapped),
        cmocka_unit_test(a_directory_that_mixes_two_generations),
        cmocka_unit_test(a_payload_rewritten_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
