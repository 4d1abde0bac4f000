// SPDX-License-Identifier: Apache-2.0
// When the state partition is checked, and what each exit status of e2fsck leads to: all of them.
#include "common/test/support.h"
#include "common/run.h"
#include "firstboot/init/ext4.h"
#include <fcntl.h>
#include <unistd.h>

static void make(uint8_t ret_superblock[EXT4_SUPERBLOCK_BYTES], unsigned fs_state, uint32_t incompat) {
    memset(ret_superblock, 0, EXT4_SUPERBLOCK_BYTES);
    ret_superblock[56] = 0x53;
    ret_superblock[57] = 0xef;
    ret_superblock[58] = (uint8_t)fs_state;
    ret_superblock[59] = (uint8_t)(fs_state >> 8);
    for (int i = 0; i < 4; i++)
        ret_superblock[96 + i] = (uint8_t)(incompat >> (8 * i));
}

static void test_conditions(void **state) {
    (void)state;
    uint8_t superblock[EXT4_SUPERBLOCK_BYTES];
    const uint32_t usual = 0x2c2; // filetype, extents, 64bit, flex_bg: what mkfs.ext4 sets, without needs_recovery (4)
    make(superblock, 1, usual);
    assert_int_equal(ext4_examine(superblock), EXT4_CLEAN);
    make(superblock, 1, usual | 4);
    assert_int_equal(ext4_examine(superblock), EXT4_JOURNAL);
    for (unsigned fs_state = 0; fs_state <= 0xffff; fs_state++) {
        make(superblock, fs_state, usual);
        assert_int_equal(ext4_examine(superblock), fs_state == 1 ? EXT4_CLEAN : EXT4_DAMAGED);
        make(superblock, fs_state, usual | 4);
        assert_int_equal(ext4_examine(superblock), fs_state == 1 ? EXT4_JOURNAL : EXT4_DAMAGED);
    }
}

static void read_superblock(const char *path, uint8_t ret_superblock[EXT4_SUPERBLOCK_BYTES]) {
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, ret_superblock, EXT4_SUPERBLOCK_BYTES, EXT4_SUPERBLOCK_OFFSET), EXT4_SUPERBLOCK_BYTES);
}

static void write_superblock(const char *path, const uint8_t superblock[EXT4_SUPERBLOCK_BYTES]) {
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, superblock, EXT4_SUPERBLOCK_BYTES, EXT4_SUPERBLOCK_OFFSET), EXT4_SUPERBLOCK_BYTES);
}

static bool fsck_accepts(const char *path, const char *option) {
    struct err err;
    const struct run run = {.argv = RUN_ARGV("/sbin/e2fsck", option, path), .timeout_ms = 60000};
    return run_quiet(&run, &err) == 0;
}

// mkfs.ext4, tune2fs and e2fsck are the judges: a superblock of whose two sectors one is older is refused, mended, and accepted.
static void test_torn_superblock(void **state) {
    struct scratch *scratch = *state;
    struct err err;
    uint8_t old[EXT4_SUPERBLOCK_BYTES], new[EXT4_SUPERBLOCK_BYTES], torn[EXT4_SUPERBLOCK_BYTES];
    cleanup_free char *path = str_printf("%s/ext4", scratch->path);
    assert_int_equal(run_quiet(&(struct run){.argv = RUN_ARGV("/sbin/mkfs.ext4", "-q", path, "8M")}, &err), 0);
    read_superblock(path, old);
    assert_false(ext4_mend(old)); // mkfs.ext4's own checksum is right
    assert_int_equal(run_quiet(&(struct run){.argv = RUN_ARGV("/sbin/tune2fs", "-C", "7", path)}, &err), 0);
    read_superblock(path, new);
    assert_false(ext4_mend(new));
    for (unsigned first = 0; first < 2; first++) {
        memcpy(torn, first ? new : old, 512);
        memcpy(torn + 512, first ? old + 512 : new + 512, 512);
        write_superblock(path, torn);
        assert_false(fsck_accepts(path, "-n"));
        assert_true(ext4_mend(torn));
        assert_int_equal(ext4_examine(torn), EXT4_DAMAGED);
        write_superblock(path, torn);
        const struct run repair = {.argv = RUN_ARGV("/sbin/e2fsck", "-p", path), .timeout_ms = 60000};
        (void)!run_quiet(&repair, &err); // 1: corrected
        assert_true(fsck_accepts(path, "-fn"));
        read_superblock(path, torn);
        assert_int_equal(ext4_examine(torn), EXT4_CLEAN);
    }
    new[0x175] = 2; // not ours to mend
    assert_false(ext4_mend(new));
}

static void test_only_the_magic_is_ext4(void **state) {
    (void)state;
    uint8_t superblock[EXT4_SUPERBLOCK_BYTES];
    for (unsigned magic = 0; magic <= 0xffff; magic++) {
        make(superblock, 1, 0);
        superblock[56] = (uint8_t)magic;
        superblock[57] = (uint8_t)(magic >> 8);
        assert_int_equal(ext4_examine(superblock) == EXT4_NOT, magic != 0xef53);
    }
    memset(superblock, 0xff, sizeof(superblock));
    assert_int_equal(ext4_examine(superblock), EXT4_NOT);
}

// e2fsck(8): 1 corrected, 2 restart, 4 errors left, 8 operational error, 16 usage, 32 cancelled, 128 library error; sums of them.
static void test_every_exit_status(void **state) {
    (void)state;
    static const enum ext4_condition dirty[] = {EXT4_JOURNAL, EXT4_DAMAGED};
    for (size_t i = 0; i < ARRAY_SIZE(dirty); i++)
        for (int status = 0; status < 256; status++) {
            enum ext4_action expected = status >= 4 ? EXT4_MOUNT_READ_ONLY : status >= 2 ? EXT4_RESTART : EXT4_MOUNT;
            assert_int_equal(ext4_decide(dirty[i], status), expected);
            const char *word = status >= 4 ? "damaged" : status ? "repaired" : "checked";
            assert_string_equal(ext4_describe(dirty[i], status), word);
        }
}

static void test_without_check(void **state) {
    (void)state;
    assert_int_equal(ext4_decide(EXT4_CLEAN, EXT4_CHECK_NOT_RUN), EXT4_MOUNT);
    assert_int_equal(ext4_decide(EXT4_JOURNAL, EXT4_CHECK_NOT_RUN), EXT4_MOUNT);
    assert_int_equal(ext4_decide(EXT4_DAMAGED, EXT4_CHECK_NOT_RUN), EXT4_MOUNT_READ_ONLY);
    assert_string_equal(ext4_describe(EXT4_CLEAN, 0), "clean");
    assert_string_equal(ext4_describe(EXT4_CLEAN, EXT4_CHECK_NOT_RUN), "clean");
    assert_string_equal(ext4_describe(EXT4_JOURNAL, EXT4_CHECK_NOT_RUN), "unchecked");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test_setup_teardown(test_torn_superblock, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_only_the_magic_is_ext4),
        cmocka_unit_test(test_every_exit_status),
        cmocka_unit_test(test_without_check),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
