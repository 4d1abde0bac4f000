// SPDX-License-Identifier: Apache-2.0
// Notes on state: an attempt is counted only for the generation that is on trial, and a failure is told in one bounded line.
#include "common/test/support.h"
#include "firstboot/init/boot.h"
#include "firstboot/init/note.h"
#include <errno.h>

#define HASH "0101010101010101010101010101010101010101010101010101010101010101"
static uint8_t root_hash[32];

static int setup(void **state) {
    struct err err;
    memset(root_hash, 1, sizeof(root_hash));
    int r = scratch_setup(state);
    return r < 0 ? r : file_mkdirs(((struct scratch *)*state)->fd, "var/lib/webops", 0755, &err);
}

static void put(int fd, const char *name, const char *text) {
    struct err err;
    cleanup_free char *path = str_printf(NOTE_DIRECTORY "/%s", name);
    assert_int_equal(file_mkdirs(fd, NOTE_DIRECTORY, 0700, &err), 0);
    assert_int_equal(file_publish(fd, path, text, strlen(text), 0600, &err), 0);
}

static void expect(int fd, const char *name, const char *wanted) {
    struct err err;
    cleanup_free char *path = str_printf(NOTE_DIRECTORY "/%s", name), *text = NULL;
    int r = file_read(fd, path, 1 << 16, &text, NULL, &err);
    if (!wanted) {
        assert_int_equal(r, -ENOENT);
        return;
    }
    assert_int_equal(r, 0);
    assert_string_equal(text, wanted);
}

static void no_trial_no_attempt(void **state) {
    int fd = ((struct scratch *)*state)->fd;
    struct err err = {0};
    static const char *const others[] = {"",         "0202020202020202020202020202020202020202020202020202020202020202\n",
                                         HASH "0\n", HASH "\n" HASH "\n",
                                         "x",        "01010101010101010101010101010101010101010101010101010101010101\n"};
    assert_int_equal(note_attempt(fd, root_hash, &err), 0); // no directory
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        put(fd, "trial", others[i]);
        assert_int_equal(note_attempt(fd, root_hash, &err), 0);
    }
    cleanup_free char *endless = mem_array(100000, 1);
    memset(endless, '0', 99999);
    put(fd, "trial", endless);
    assert_int_equal(note_attempt(fd, root_hash, &err), 0);
    expect(fd, "attempts", NULL);
}

static void attempts_add_up(void **state) {
    int fd = ((struct scratch *)*state)->fd;
    struct err err = {0};
    put(fd, "trial", HASH "\n");
    assert_int_equal(note_attempt(fd, root_hash, &err), 1);
    expect(fd, "attempts", "init " HASH "\n");
    put(fd, "attempts", "early " HASH "\n");
    assert_int_equal(note_attempt(fd, root_hash, &err), 1);
    assert_int_equal(note_attempt(fd, root_hash, &err), 1);
    expect(fd, "attempts", "early " HASH "\ninit " HASH "\ninit " HASH "\n");
    put(fd, "attempts", "early 01"); // torn
    assert_int_equal(note_attempt(fd, root_hash, &err), 1);
    expect(fd, "attempts", "early 01\ninit " HASH "\n");
}

static void attempts_do_not_follow_links(void **state) {
    int fd = ((struct scratch *)*state)->fd;
    struct err err = {0};
    put(fd, "trial", HASH "\n");
    assert_int_equal(symlinkat("/etc/passwd", fd, NOTE_DIRECTORY "/attempts"), 0);
    assert_int_equal(note_attempt(fd, root_hash, &err), -ELOOP);
    assert_contains(err.text, "attempts");
}

static void failure_is_told(void **state) {
    int fd = ((struct scratch *)*state)->fd;
    struct err err = {0};
    assert_int_equal(note_failure(fd, root_hash, "layers", "mounting /dev/dm-1: I/O error", &err), 0);
    expect(fd, "init-failure", HASH " layers: mounting /dev/dm-1: I/O error\n");
    cleanup_free char *endless = mem_array(5001, 1);
    memset(endless, 'x', 5000);
    assert_int_equal(note_failure(fd, root_hash, "etc", endless, &err), 0);
    struct stat st;
    assert_int_equal(fstatat(fd, NOTE_DIRECTORY "/init-failure", &st, 0), 0);
    assert_int_equal(st.st_size, NOTE_FAILURE_BYTES);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    cleanup_free char *text = NULL;
    assert_int_equal(file_read(fd, NOTE_DIRECTORY "/init-failure", 4096, &text, NULL, &err), 0);
    assert_memory_equal(text, HASH " etc: xxx", 73);
    assert_string_equal(text + NOTE_FAILURE_BYTES - 3, "xx\n");
}

static void failure_without_our_directory(void **state) {
    int fd = ((struct scratch *)*state)->fd;
    struct err err = {0};
    assert_int_equal(unlinkat(fd, "var/lib/webops", AT_REMOVEDIR), 0);
    assert_int_equal(note_failure(fd, root_hash, "layers", "x", &err), -ENOENT);
}

static void failed_boot_with_mounted_state(void **state) {
    const struct scratch *scratch = *state;
    struct boot boot = {.state_fd = scratch->fd};
    const struct err reason = {"no init there"};
    memcpy(boot.wanted.root_hash, root_hash, sizeof(root_hash));
    note_failed_boot(&boot, "switch-root", &reason); // the state is not known yet: nothing to write to
    expect(scratch->fd, "init-failure", NULL);
    strcpy(boot.disk.state.device, "no-such-device");
    note_failed_boot(&boot, "switch-root", &reason);
    expect(scratch->fd, "init-failure", HASH " switch-root: no init there\n");
    boot.state_fd = -1; // not mounted, and cannot be: it only comes back
    note_failed_boot(&boot, "verity", &reason);
    expect(scratch->fd, "init-failure", HASH " switch-root: no init there\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_trial_no_attempt, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(attempts_add_up, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(attempts_do_not_follow_links, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(failure_is_told, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(failure_without_our_directory, setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(failed_boot_with_mounted_state, setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
