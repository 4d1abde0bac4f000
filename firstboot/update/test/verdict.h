// SPDX-License-Identifier: Apache-2.0
// What tests of the engine ask of a tree afterwards: whose bytes are where, and that what may be started is whole.
#pragma once
#include "firstboot/update/slotwriter.h"
#include "firstboot/update/test/tree.h"
#include "firstboot/update/trial.h"

static inline bool holds(const struct tree *tree, const char *device, const struct tree_generation *generation) {
    cleanup_free char *data = NULL;
    size_t size;
    assert_ok(file_read(tree->root.fd, device, TREE_SLOT_BYTES, &data, &size, &tree_failure));
    return memcmp(data, generation->slot.data, generation->slot.size) == 0;
}

static inline bool esp_holds(const struct tree *tree, const char *slot, const struct tree_generation *generation) {
    cleanup_free char *path = str_printf("esp/EFI/webops/%s.efi", slot), *data = NULL;
    size_t size;
    return file_read(tree->root.fd, path, TREE_SLOT_BYTES, &data, &size, &tree_failure) == 0 && size == generation->uki.size &&
           memcmp(data, generation->uki.data, size) == 0;
}

static inline struct journal journal_of(const struct tree *tree) {
    struct journal journal;
    assert_ok(journal_load(tree->root.fd, &journal, &tree_failure));
    return journal;
}

// Whatever happened: A is started as before, and B only if it is whole.
static inline void assert_old_or_new(const struct tree *tree, const struct tree_generation *old, const struct tree_generation *new) {
    assert_true(holds(tree, "dev/vda3", old));
    assert_true(esp_holds(tree, "a", old));
    for (size_t i = 0; boot_backends[i]; i++) {
        assert_int_equal(tree_entry(tree, i, BOOT_SLOT_A).state, BOOT_GOOD);
        struct boot_entry entry = tree_entry(tree, i, BOOT_SLOT_B);
        assert_true(entry.state != BOOT_GOOD ||
                    entry.order < tree_entry(tree, i, BOOT_SLOT_A).order); // GRUB's configuration before its word
        if (entry.state != BOOT_TRIAL)
            continue; // the boot loader does not start it
        assert_true(holds(tree, "dev/vda4", new));
        assert_true(esp_holds(tree, "b", new));
        assert_int_equal(journal_of(tree).state, JOURNAL_TRIAL);
        assert_true(file_exists(tree->root.fd, TRIAL_MARK_PATH));
    }
}

static inline void assert_published(const struct tree *tree, const struct tree_generation *old, const struct tree_generation *new) {
    assert_old_or_new(tree, old, new);
    for (size_t i = 0; boot_backends[i]; i++) {
        struct boot_entry entry = tree_entry(tree, i, BOOT_SLOT_B);
        assert_int_equal(entry.state, BOOT_TRIAL);
        assert_int_equal(entry.tries_left, 2);
    }
    struct journal journal = journal_of(tree);
    assert_int_equal(journal.state, JOURNAL_TRIAL);
    assert_string_equal(journal.manifest.version, new->manifest.version);
    assert_string_equal(journal.from_version, old->manifest.version);
}
