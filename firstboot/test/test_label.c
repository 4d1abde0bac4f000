// SPDX-License-Identifier: Apache-2.0
// Which paths restorecon gets, and that it is asked where SELinux is on and nowhere else.
#include "firstboot/test/support.h"
#include "firstboot/label.h"
#include "firstboot/identity.h"
#include "firstboot/swap.h"
#include <errno.h>
#include <unistd.h>

static bool has(const struct label_paths *paths, const char *path) {
    size_t found = 0;
    for (size_t i = 0; i < paths->count; i++)
        found += strcmp(paths->items[i], path) == 0;
    assert_true(found <= 1);
    return found == 1;
}

static void lists_what_was_written(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_apply struct apply apply = {.root_fd = root.fd, .stage = "manual"};
    apply.is_dry_run = true; // no log
    apply_note(&apply, "write", "etc/shadow");
    apply_note(&apply, "write", "etc/systemd/system/a.service.d/b.conf");
    apply_note(&apply, "remove", "etc/gone");
    apply_note(&apply, "hostname", "kernel");
    apply_note(&apply, "make", "host keys");
    cleanup_label_paths struct label_paths paths = {0};
    label_list(&apply, &paths);
    static const char *const expected[] = {"/etc",
                                           "/etc/shadow",
                                           "/etc/systemd",
                                           "/etc/systemd/system",
                                           "/etc/systemd/system/a.service.d",
                                           "/etc/systemd/system/a.service.d/b.conf"};
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        if (!has(&paths, expected[i]))
            fail_msg("%s is not listed", expected[i]);
    assert_int_equal(paths.count, ARRAY_SIZE(expected));
    assert_null(paths.items[paths.count]);
}

static void lists_what_other_steps_make(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_apply struct apply apply = {.root_fd = root.fd, .stage = "manual"};
    support_write(&root, IDENTITY_SSH "/ssh_host_ed25519_key", "k");
    support_write(&root, SWAP_PATH, "s");
    support_write(&root, "webops/config.env", "");
    support_write(&root, "webops/secrets/a.secret", "s");
    support_write(&root, "webops/secrets/deep/b", "s"); // nobody's
    cleanup_label_paths struct label_paths paths = {0};
    label_list(&apply, &paths);
    assert_true(has(&paths, "/" IDENTITY_SSH "/ssh_host_ed25519_key"));
    assert_true(has(&paths, "/" SWAP_PATH));
    assert_true(has(&paths, "/webops"));
    assert_true(has(&paths, "/webops/config.env"));
    assert_true(has(&paths, "/webops/secrets/a.secret"));
    assert_true(has(&paths, "/var/lib/webops"));
    assert_false(has(&paths, "/webops/secrets/deep/b"));
}

// A restorecon that notes how it was called, first in PATH.
static void put_restorecon(const struct support_root *root, int status) {
    cleanup_free char *script = str_printf("#!/bin/sh\nprintf '%%s\\n' \"$@\" >%s/called\necho said >&2\nexit %d\n", root->path, status);
    support_write(root, "bin/restorecon", script);
    assert_int_equal(fchmodat(root->fd, "bin/restorecon", 0755, 0), 0);
    cleanup_free char *path = str_printf("%s/bin:/usr/bin:/bin", root->path);
    setenv("PATH", path, 1);
}

static void asks_only_with_selinux(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_apply struct apply apply = {.root_fd = root.fd, .stage = "manual", .is_dry_run = true};
    cleanup_free char *before = str_dup(getenv("PATH"));
    struct err err = {0};
    put_restorecon(&root, 0);
    apply_note(&apply, "write", "etc/shadow");
    assert_int_equal(label_restore(&apply, &err), 0);
    assert_false(file_exists(root.fd, "called"));
    support_write(&root, "sys/fs/selinux/enforce", "0");
    assert_int_equal(label_restore(&apply, &err), 0);
    cleanup_free char *called = support_read(&root, "called");
    assert_string_equal(called, "-i\n--\n/etc\n/etc/shadow\n");
    put_restorecon(&root, 255);
    assert_int_equal(label_restore(&apply, &err), -EIO);
    assert_non_null(strstr(err.text, "giving SELinux labels to what was written"));
    assert_non_null(strstr(err.text, "said"));
    setenv("PATH", before, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lists_what_was_written), cmocka_unit_test(lists_what_other_steps_make),
                                       cmocka_unit_test(asks_only_with_selinux)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
