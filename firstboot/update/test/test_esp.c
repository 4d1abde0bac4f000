// SPDX-License-Identifier: Apache-2.0
// Files on the ESP: what is there after success and after every failure of a system call, and that a disk which gives back other bytes is
// noticed.
#include "firstboot/test/support.h"
#include "common/digest.h"
#include "firstboot/update/esp.h"
#include <errno.h>
#include <sys/syscall.h>

static struct err failure;

// In place of libc's: the n-th of these calls fails with `fault_code`; reads of the file under test may be falsified.
static int fault_at = -1, fault_code, calls;
static bool falsifies;

static bool fails(void) {
    if (fault_at < 0 || calls++ != fault_at)
        return false;
    errno = fault_code;
    return true;
}
int fallocate(int fd, int mode, off_t offset, off_t length) {
    return fails() ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, length);
}
int fsync(int fd) {
    return fails() ? -1 : (int)syscall(SYS_fsync, fd);
}
int syncfs(int fd) {
    return fails() ? -1 : (int)syscall(SYS_syncfs, fd);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    return fails() ? -1 : syscall(SYS_pwrite64, fd, data, size, offset);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    ssize_t got = fails() ? -1 : syscall(SYS_pread64, fd, data, size, offset);
    char path[64], target[256] = "";
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (falsifies && got > 0 && readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "/b.efi"))
        *(char *)data ^= 1;
    return got;
}

struct source {
    int fd;
    size_t size;
    uint8_t sha256[DIGEST_BYTES];
};

static struct source source_make(const struct support_root *root, size_t size) {
    cleanup_free char *bytes = mem_array(size + 1, 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)('a' + i % 23);
    support_write(root, "source", bytes);
    struct source source = {.fd = openat(root->fd, "source", O_RDONLY | O_CLOEXEC), .size = size};
    digest_bytes(bytes, size, source.sha256);
    return source;
}

static void assert_ok(int r) {
    if (r < 0)
        fail_msg("%s", failure.text);
}

static void written_once_and_left_alone(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct source source = source_make(&root, 300000);
    struct stat before, after;
    assert_ok(esp_write(root.fd, "b.efi", source.fd, 0, source.size, source.sha256, &failure));
    assert_int_equal(esp_has(root.fd, "b.efi", source.size, source.sha256, &failure), 1);
    assert_int_equal(fstatat(root.fd, "b.efi", &before, 0), 0);
    assert_int_equal(before.st_size, source.size);
    assert_ok(esp_write(root.fd, "b.efi", source.fd, 0, source.size, source.sha256, &failure));
    assert_int_equal(fstatat(root.fd, "b.efi", &after, 0), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_memory_equal(&after.st_mtim, &before.st_mtim, sizeof(after.st_mtim));
    close(source.fd);
}

static void a_range_replaces_what_was_there(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct source source = source_make(&root, 5000);
    uint8_t sha256[DIGEST_BYTES];
    assert_int_equal(digest_range(source.fd, "source", 100, 50, sha256, &failure), 0);
    support_write(&root, "webops/b.linux",
                  "what was there before, and is longer than what comes now: ....................................");
    assert_ok(esp_write(root.fd, "webops/b.linux", source.fd, 100, 50, sha256, &failure));
    assert_int_equal(esp_has(root.fd, "webops/b.linux", 50, sha256, &failure), 1);
    assert_int_equal(esp_has(root.fd, "webops/b.linux", 51, sha256, &failure), 0);
    assert_int_equal(esp_has(root.fd, "webops/b.initrd", 50, sha256, &failure), 0);
    assert_ok(esp_write(root.fd, "webops/empty", source.fd, 0, 0, (digest_bytes("", 0, sha256), sha256), &failure));
    assert_int_equal(esp_has(root.fd, "webops/empty", 0, sha256, &failure), 1);
    close(source.fd);
}

static void wrong_bytes_are_not_kept(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct source source = source_make(&root, 5000);
    assert_int_equal(esp_write(root.fd, "b.efi", source.fd, 1, source.size - 1, source.sha256, &failure), -EBADMSG);
    assert_false(file_exists(root.fd, "b.efi"));
    assert_int_equal(esp_write(root.fd, "b.efi", source.fd, 0, source.size + 1, source.sha256, &failure), -ENODATA); // it ends before
    assert_false(file_exists(root.fd, "b.efi"));
    assert_int_equal(esp_write(root.fd, "b.efi", source.fd, 0, (uint64_t)1 << 32, source.sha256, &failure), -EFBIG);
    falsifies = true;
    assert_int_equal(esp_write(root.fd, "b.efi", source.fd, 0, source.size, source.sha256, &failure), -EIO);
    falsifies = false;
    assert_non_null(strstr(failure.text, "gave back other bytes"));
    assert_false(file_exists(root.fd, "b.efi"));
    close(source.fd);
}

// Whatever fails, the result is the whole file or none, and a failure is told.
static void every_call_may_fail(void **state) {
    (void)state;
    static const int codes[] = {EIO, ENOSPC, EROFS};
    unsigned faults = 0;
    for (size_t c = 0; c < ARRAY_SIZE(codes); c++)
        for (int n = 0;; n++) {
            cleanup_root struct support_root root = support_root_make();
            struct source source = source_make(&root, 3000);
            support_write(&root, "b.efi", "old");
            fault_code = codes[c];
            calls = 0;
            fault_at = n;
            int r = esp_write(root.fd, "b.efi", source.fd, 0, source.size, source.sha256, &failure);
            bool is_over = calls <= n;
            fault_at = -1;
            int has = esp_has(root.fd, "b.efi", source.size, source.sha256, &failure);
            close(source.fd);
            if (is_over) {
                assert_int_equal(r, 0);
                assert_int_equal(has, 1);
                break;
            }
            faults++;
            assert_int_equal(has, r == 0);
            if (r < 0 && file_exists(root.fd, "b.efi")) { // not even the removal was sure
                cleanup_free char *text = support_read(&root, "b.efi");
                assert_string_equal(text, "old");
            }
            assert_true(r == 0 || r == -codes[c] || r == -EIO);
        }
    assert_true(faults >= 3 * 6);
}

static void no_space_says_how_much(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    struct source source = source_make(&root, 3000);
    fault_code = ENOSPC;
    calls = 0;
    fault_at = 1; // the first is the flush after the removal
    assert_int_equal(esp_write(root.fd, "b.efi", source.fd, 0, source.size, source.sha256, &failure), -ENOSPC);
    fault_at = -1;
    assert_non_null(strstr(failure.text, "ESP: b.efi needs 3000 bytes, "));
    assert_non_null(strstr(failure.text, " are free"));
    assert_false(file_exists(root.fd, "b.efi"));
    close(source.fd);
}

static void remove_and_rename(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    support_write(&root, "one", "1");
    support_write(&root, "two", "2");
    assert_int_equal(esp_rename(root.fd, "one", "two", &failure), -EEXIST);
    assert_ok(esp_remove(root.fd, "two", &failure));
    assert_ok(esp_remove(root.fd, "two", &failure));
    assert_ok(esp_rename(root.fd, "one", "two", &failure));
    cleanup_free char *text = support_read(&root, "two");
    assert_string_equal(text, "1");
    assert_int_equal(esp_rename(root.fd, "one", "three", &failure), -ENOENT);
    assert_ok(esp_flush(root.fd, &failure));
}

static void opened_in_a_test_tree_or_not_at_all(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    const struct config none = {0};
    assert_int_equal(esp_open(root.fd, &none, true, &failure), -ENOENT);
    assert_non_null(strstr(failure.text, "names no disk"));
    support_write(&root, "esp/mark", "x");
    cleanup_fd int fd = esp_open(root.fd, &none, true, &failure);
    assert_true(fd >= 0 && file_exists(fd, "mark"));
}

static void texts(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    assert_ok(esp_write_text(root.fd, "b.conf", "title x\n", &failure));
    cleanup_free char *text = support_read(&root, "b.conf");
    assert_string_equal(text, "title x\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_once_and_left_alone),
        cmocka_unit_test(a_range_replaces_what_was_there),
        cmocka_unit_test(wrong_bytes_are_not_kept),
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(no_space_says_how_much),
        cmocka_unit_test(remove_and_rename),
        cmocka_unit_test(opened_in_a_test_tree_or_not_at_all),
        cmocka_unit_test(texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
