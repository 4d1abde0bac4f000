// SPDX-License-Identifier: Apache-2.0
// Both boot backends on a directory that stands for the ESP: states, refusals, and every operation stopped before each of its durable
// steps, which is what a power cut between two writes leaves.
#include "firstboot/test/support.h"
#include "common/grubenv.h"
#include "firstboot/update/boot.h"
#include "firstboot/update/esp.h"
#include <errno.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct err failure;

// In place of libc's: a child of the test ends before the step whose turn it is.
static int steps_left = -1;

static void step(void) {
    if (steps_left >= 0 && steps_left-- == 0)
        _exit(42);
}
int syncfs(int fd) {
    step();
    return (int)syscall(SYS_syncfs, fd);
}
int unlinkat(int dir_fd, const char *path, int flags) {
    step();
    return (int)syscall(SYS_unlinkat, dir_fd, path, flags);
}
int fdatasync(int fd) {
    step();
    return (int)syscall(SYS_fdatasync, fd);
}
int ftruncate(int fd, off_t size) {
    step();
    return (int)syscall(SYS_ftruncate, fd, size);
}

static const struct boot_generation generation = {.title = "webops test 2", .cmdline = "webops.slot=00:1:00 panic=10"};

static struct support_root esp_make(void) {
    struct support_root root = support_root_make();
    struct grubenv env = {.number = 1, .good = 'a'};
    uint8_t bytes[GRUBENV_BYTES];
    grubenv_format(&env, bytes);
    support_write(&root, "loader/entries/a.conf", "title webops test 1\nsort-key webops\nversion 7\nefi /EFI/webops/a.efi\n");
    support_write(&root, "webops/a.cfg", "set webops_cmdline=\"x\"\n");
    assert_int_equal(file_mkdirs(root.fd, "grub", 0755, &failure), 0);
    assert_int_equal(file_publish(root.fd, "grub/env1", bytes, sizeof(bytes), 0644, &failure), 0);
    assert_int_equal(file_publish(root.fd, "grub/env2", bytes, sizeof(bytes), 0644, &failure), 0);
    return root;
}

static struct boot_entries load(const struct boot_backend *backend, const struct support_root *root) {
    struct boot_entries entries;
    if (backend->load(root->fd, &entries, &failure) < 0)
        fail_msg("%s: %s", backend->name, failure.text);
    return entries;
}

#define assert_entry(backend, root, slot, wanted, left, done)                                                                              \
    do {                                                                                                                                   \
        struct boot_entry entry_ = load(backend, root).slots[slot];                                                                        \
        assert_string_equal(boot_state_name(entry_.state), boot_state_name(wanted));                                                       \
        assert_int_equal(entry_.tries_left, left);                                                                                         \
        assert_int_equal(entry_.tries_done, done);                                                                                         \
    } while (0)
#define assert_ok(call)                                                                                                                    \
    do {                                                                                                                                   \
        if ((call) < 0)                                                                                                                    \
            fail_msg("%s", failure.text);                                                                                                  \
    } while (0)

static size_t count_entries(const struct support_root *root) {
    int fd = openat(root->fd, "loader/entries", O_RDONLY | O_DIRECTORY);
    cleanup_dir DIR *dir = fdopendir(fd);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    return count;
}

static void test_life_of_an_update(void **state) {
    (void)state;
    for (size_t i = 0; boot_backends[i]; i++) {
        const struct boot_backend *backend = boot_backends[i];
        cleanup_root struct support_root root = esp_make();
        assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
        assert_entry(backend, &root, BOOT_SLOT_B, BOOT_EMPTY, 0, 0);
        assert_ok(backend->remove(root.fd, BOOT_SLOT_B, &failure));
        assert_ok(backend->publish(root.fd, BOOT_SLOT_B, &generation, 3, &failure));
        assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
        assert_entry(backend, &root, BOOT_SLOT_B, BOOT_TRIAL, 3, 0);
        assert_ok(backend->commit(root.fd, BOOT_SLOT_B, &failure));
        assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
        assert_entry(backend, &root, BOOT_SLOT_B, BOOT_GOOD, 0, 0);
        struct boot_entries entries = load(backend, &root);
        assert_true(entries.slots[BOOT_SLOT_B].order > entries.slots[BOOT_SLOT_A].order);
        assert_ok(backend->commit(root.fd, BOOT_SLOT_B, &failure)); // again
        assert_ok(backend->reject(root.fd, BOOT_SLOT_B, &failure)); // rollback
        assert_entry(backend, &root, BOOT_SLOT_B, BOOT_BAD, 0, 0);
        assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
        assert_ok(backend->reject(root.fd, BOOT_SLOT_B, &failure)); // again
        assert_ok(backend->publish(root.fd, BOOT_SLOT_B, &generation, 1, &failure));
        assert_entry(backend, &root, BOOT_SLOT_B, BOOT_TRIAL, 1, 0);
        assert_ok(backend->remove(root.fd, BOOT_SLOT_B, &failure));
        assert_ok(backend->remove(root.fd, BOOT_SLOT_B, &failure));
        assert_entry(backend, &root, BOOT_SLOT_B, BOOT_EMPTY, 0, 0);
    }
}

static void test_the_way_back_and_forth(void **state) {
    (void)state;
    for (size_t i = 0; boot_backends[i]; i++) {
        const struct boot_backend *backend = boot_backends[i];
        cleanup_root struct support_root root = esp_make();
        enum boot_slot slot = BOOT_SLOT_B;
        for (unsigned round = 0; round < 20; round++, slot = boot_slot_other(slot)) {
            assert_ok(backend->remove(root.fd, slot, &failure));
            assert_ok(backend->publish(root.fd, slot, &generation, 3, &failure));
            assert_ok(backend->commit(root.fd, slot, &failure));
            struct boot_entries entries = load(backend, &root);
            assert_true(entries.slots[slot].order > entries.slots[boot_slot_other(slot)].order);
            assert_true(count_entries(&root) <= 2);
        }
    }
}

static void test_the_last_good_one_stays(void **state) {
    (void)state;
    for (size_t i = 0; boot_backends[i]; i++) {
        const struct boot_backend *backend = boot_backends[i];
        cleanup_root struct support_root root = esp_make();
        assert_int_equal(backend->remove(root.fd, BOOT_SLOT_A, &failure), -EBUSY);
        assert_int_equal(backend->reject(root.fd, BOOT_SLOT_A, &failure), -EBUSY);
        assert_int_equal(backend->publish(root.fd, BOOT_SLOT_A, &generation, 3, &failure), -EBUSY);
        assert_int_equal(backend->commit(root.fd, BOOT_SLOT_B, &failure), -ENOENT);
        assert_ok(backend->publish(root.fd, BOOT_SLOT_B, &generation, 3, &failure));
        assert_int_equal(backend->remove(root.fd, BOOT_SLOT_A, &failure), -EBUSY); // a trial is not good yet
        assert_int_equal(backend->publish(root.fd, BOOT_SLOT_B, &generation, 0, &failure), -EINVAL);
        assert_int_equal(backend->publish(root.fd, BOOT_SLOT_B, &generation, BOOT_MAX_TRIES + 1, &failure), -EINVAL);
        assert_ok(backend->reject(root.fd, BOOT_SLOT_B, &failure));
        assert_int_equal(backend->remove(root.fd, BOOT_SLOT_A, &failure), -EBUSY); // nor is a bad one
        assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
    }
}

static void test_texts(void **state) {
    (void)state;
    cleanup_root struct support_root root = esp_make();
    assert_ok(boot_backends[0]->publish(root.fd, BOOT_SLOT_B, &generation, 3, &failure));
    assert_ok(boot_backends[1]->publish(root.fd, BOOT_SLOT_B, &generation, 3, &failure));
    cleanup_free char *entry = support_read(&root, "loader/entries/b+3.conf"), *config = support_read(&root, "webops/b.cfg");
    assert_string_equal(entry, "title webops test 2\nsort-key webops\nversion 8\nefi /EFI/webops/b.efi\n");
    assert_string_equal(config, "set webops_cmdline=\"webops.slot=00:1:00 panic=10\"\n");
    struct boot_generation bad = {.title = "a\noptions init=/bin/sh", .cmdline = "x\"; reboot"};
    assert_int_equal(boot_backends[0]->publish(root.fd, BOOT_SLOT_B, &bad, 3, &failure), -EINVAL);
    assert_int_equal(boot_backends[1]->publish(root.fd, BOOT_SLOT_B, &bad, 3, &failure), -EINVAL);
    assert_entry(boot_backends[0], &root, BOOT_SLOT_B, BOOT_TRIAL, 3, 0);
    assert_entry(boot_backends[1], &root, BOOT_SLOT_B, BOOT_TRIAL, 3, 0);
}

// What the boot loader made of "b+3.conf", and what crashes and operators leave beside it.
static void test_entries_that_are_there(void **state) {
    (void)state;
    static const char text[] = "title t\nversion 9\nefi /EFI/webops/b.efi\n";
    static const struct {
        const char *files[4];
        enum boot_state wanted;
        unsigned left, done;
    } cases[] = {
        {{"b+2-1.conf"}, BOOT_TRIAL, 2, 1},
        {{"b+0-3.conf"}, BOOT_BAD, 0, 3},
        {{"b.conf", "b+2-1.conf"}, BOOT_GOOD, 0, 0},
        {{"b.conf", "b+0-3.conf"}, BOOT_GOOD, 0, 0},
        {{"b+3.conf", "b+2-1.conf"}, BOOT_TRIAL, 2, 1},
        {{"b+1-1.conf", "b+0-2.conf", "b+3.conf"}, BOOT_BAD, 0, 2},
        {{"b+.conf", "b+-1.conf", "b+9999999999.conf", "b+3-.conf"}, BOOT_EMPTY, 0, 0},
        {{"B.conf", "b.CONF", "b+3+2.conf", "c.conf"}, BOOT_EMPTY, 0, 0},
        {{"b+03.conf", "b+3.conf~", "b+3 .conf", " b.conf"}, BOOT_EMPTY, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_root struct support_root root = esp_make();
        for (size_t f = 0; f < ARRAY_SIZE(cases[i].files) && cases[i].files[f]; f++) {
            cleanup_free char *path = str_printf("loader/entries/%s", cases[i].files[f]);
            support_write(&root, path, text);
        }
        size_t before = count_entries(&root);
        assert_entry(boot_backends[0], &root, BOOT_SLOT_B, cases[i].wanted, cases[i].left, cases[i].done);
        assert_ok(boot_reconcile(root.fd, &failure));
        assert_entry(boot_backends[0], &root, BOOT_SLOT_B, cases[i].wanted, cases[i].left, cases[i].done);
        assert_entry(boot_backends[0], &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
        // What is not ours stays; of ours one stays.
        assert_int_equal(count_entries(&root), cases[i].wanted == BOOT_EMPTY ? before : 2);
    }
}

static void test_unfinished_entries_do_not_count(void **state) {
    (void)state;
    static const char *const texts[] = {"", "title webops\nversion 99\nefi /EFI/webops/a.efi\n", "title webops\nsort-key webops\nvers"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        cleanup_root struct support_root root = esp_make();
        support_write(&root, "loader/entries/b+2-1.conf", "version 8\nefi /EFI/webops/b.efi\n");
        support_write(&root, "loader/entries/b.conf", texts[i]);
        assert_entry(boot_backends[0], &root, BOOT_SLOT_B, BOOT_TRIAL, 2, 1);
        assert_ok(boot_reconcile(root.fd, &failure));
        assert_int_equal(count_entries(&root), 2);
        assert_ok(boot_backends[0]->commit(root.fd, BOOT_SLOT_B, &failure));
        cleanup_free char *text = support_read(&root, "loader/entries/b.conf");
        assert_string_equal(text, "title webops\nsort-key webops\nversion 8\nefi /EFI/webops/b.efi\n");
    }
}

static void test_commit_comes_first(void **state) {
    (void)state;
    cleanup_root struct support_root root = esp_make();
    const struct boot_backend *backend = boot_backends[0];
    support_write(&root, "loader/entries/b+1-2.conf", "title t\nversion 3\nefi /EFI/webops/b.efi\n"); // somebody's, older than a's
    assert_ok(backend->commit(root.fd, BOOT_SLOT_B, &failure));
    assert_int_equal(load(backend, &root).slots[BOOT_SLOT_B].order, 8);
    assert_ok(backend->commit(root.fd, BOOT_SLOT_A, &failure));
    assert_int_equal(load(backend, &root).slots[BOOT_SLOT_A].order, 9);
    assert_int_equal(count_entries(&root), 2);
    support_write(&root, "loader/entries/b.conf", "title t\nversion 18446744073709551615\nefi /EFI/webops/b.efi\n");
    assert_int_equal(backend->publish(root.fd, BOOT_SLOT_A, &generation, 3, &failure), -EOVERFLOW);
    assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
}

static void put_env(const struct support_root *root, const char *path, const void *bytes, size_t size) {
    assert_int_equal(file_publish(root->fd, path, bytes, size, 0644, &failure), 0);
}

// Damage of one copy changes nothing; of both, the slot that the other backend starts first is good.
static void test_grub_environments_damaged(void **state) {
    (void)state;
    const struct boot_backend *grub = boot_backends[1];
    static const size_t sizes[] = {0, 1, 511, 512, 1023, 1025};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        for (unsigned which = 1; which <= 3; which++) {
            cleanup_root struct support_root root = esp_make();
            char garbage[1025];
            memset(garbage, 0xff, sizeof(garbage));
            assert_ok(grub->publish(root.fd, BOOT_SLOT_B, &generation, 3, &failure));
            if (which & 1)
                put_env(&root, "grub/env1", garbage, sizes[i]);
            if (which & 2)
                put_env(&root, "grub/env2", garbage, sizes[i]);
            if (which != 3)
                assert_entry(grub, &root, BOOT_SLOT_B, BOOT_TRIAL, 3, 0);
            else // the script starts slot A then
                assert_true(load(grub, &root).slots[BOOT_SLOT_A].order > load(grub, &root).slots[BOOT_SLOT_B].order);
            assert_ok(boot_reconcile(root.fd, &failure));
            assert_entry(grub, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
            cleanup_free char *one = support_read(&root, "grub/env1"), *two = support_read(&root, "grub/env2");
            assert_int_equal(strlen(one), GRUBENV_BYTES);
            assert_string_equal(one, two);
        }
}

static void test_both_environments_lost_after_a_commit(void **state) {
    (void)state;
    cleanup_root struct support_root root = esp_make();
    for (size_t i = 0; boot_backends[i]; i++) {
        assert_ok(boot_backends[i]->publish(root.fd, BOOT_SLOT_B, &generation, 3, &failure));
        assert_ok(boot_backends[i]->commit(root.fd, BOOT_SLOT_B, &failure));
    }
    assert_int_equal(unlinkat(root.fd, "grub/env1", 0), 0);
    put_env(&root, "grub/env2", "", 0);
    assert_ok(boot_reconcile(root.fd, &failure));
    struct boot_entries entries = load(boot_backends[1], &root);
    assert_true(entries.slots[BOOT_SLOT_B].order > entries.slots[BOOT_SLOT_A].order);
}

static int op_publish(const struct boot_backend *backend, int fd, struct err *err) {
    return backend->publish(fd, BOOT_SLOT_B, &generation, 3, err);
}
static int op_remove(const struct boot_backend *backend, int fd, struct err *err) {
    return backend->remove(fd, BOOT_SLOT_B, err);
}
static int op_commit(const struct boot_backend *backend, int fd, struct err *err) {
    return backend->commit(fd, BOOT_SLOT_B, err);
}
static int op_reject(const struct boot_backend *backend, int fd, struct err *err) {
    return backend->reject(fd, BOOT_SLOT_B, err);
}
static int op_none(const struct boot_backend *backend, int fd, struct err *err) {
    (void)backend, (void)fd, (void)err;
    return 0;
}

// Runs `operation` in a child that ends before its n-th step; false when it had fewer steps.
static bool run_until(const struct boot_backend *backend, int (*operation)(const struct boot_backend *, int, struct err *), int fd, int n) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        steps_left = n;
        _exit(operation(backend, fd, &failure) < 0 ? 1 : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 1);
    return WEXITSTATUS(status) == 42;
}

static void test_every_step_may_be_the_last(void **state) {
    (void)state;
    static const struct {
        int (*before)(const struct boot_backend *, int, struct err *), (*before_that)(const struct boot_backend *, int, struct err *);
        int (*operation)(const struct boot_backend *, int, struct err *);
        enum boot_state wanted;
    } cases[] = {
        {op_none, op_none, op_publish, BOOT_TRIAL},      {op_publish, op_none, op_remove, BOOT_EMPTY},
        {op_publish, op_none, op_commit, BOOT_GOOD},     {op_publish, op_none, op_reject, BOOT_BAD},
        {op_commit, op_publish, op_remove, BOOT_EMPTY},  {op_commit, op_publish, op_reject, BOOT_BAD},
        {op_commit, op_publish, op_publish, BOOT_TRIAL}, {op_reject, op_publish, op_publish, BOOT_TRIAL},
    };
    unsigned cuts = 0;
    for (size_t b = 0; boot_backends[b]; b++)
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
            bool is_cut = true;
            for (int n = 0; is_cut; n++) {
                cleanup_root struct support_root root = esp_make();
                const struct boot_backend *backend = boot_backends[b];
                assert_ok(cases[i].before_that(backend, root.fd, &failure));
                assert_ok(cases[i].before(backend, root.fd, &failure));
                is_cut = run_until(backend, cases[i].operation, root.fd, n);
                cuts += is_cut;
                assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
                assert_ok(boot_reconcile(root.fd, &failure));
                assert_entry(backend, &root, BOOT_SLOT_A, BOOT_GOOD, 0, 0);
                if (cases[i].operation != op_commit || load(backend, &root).slots[BOOT_SLOT_B].state != BOOT_EMPTY)
                    assert_ok(cases[i].operation(backend, root.fd, &failure));
                assert_int_equal(load(backend, &root).slots[BOOT_SLOT_B].state, cases[i].wanted);
                assert_true(count_entries(&root) <= 2);
            }
        }
    if (cuts < 60) // the steps are really counted
        fail_msg("%u cuts", cuts);
}

static void test_names(void **state) {
    (void)state;
    enum boot_slot slot = BOOT_SLOT_A;
    assert_int_equal(boot_slot_parse("b", &slot, &failure), 0);
    assert_int_equal(slot, BOOT_SLOT_B);
    assert_int_equal(boot_slot_parse("c", &slot, &failure), -EINVAL);
    assert_int_equal(boot_slot_parse("", &slot, &failure), -EINVAL);
    assert_int_equal(slot, BOOT_SLOT_B);
    assert_int_equal(boot_slot_other(BOOT_SLOT_B), BOOT_SLOT_A);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life_of_an_update),
        cmocka_unit_test(test_the_way_back_and_forth),
        cmocka_unit_test(test_the_last_good_one_stays),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_entries_that_are_there),
        cmocka_unit_test(test_unfinished_entries_do_not_count),
        cmocka_unit_test(test_commit_comes_first),
        cmocka_unit_test(test_grub_environments_damaged),
        cmocka_unit_test(test_both_environments_lost_after_a_commit),
        cmocka_unit_test(test_every_step_may_be_the_last),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
