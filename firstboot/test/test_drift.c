// SPDX-License-Identifier: Apache-2.0
#include "firstboot/test/support.h"
#include "common/test/older_kernel.h"
#include "firstboot/drift.h"
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#define UPPER DRIFT_UPPER "/"

// A root whose upper layer holds what the rendered says.
static struct support_root rendered_root(struct rendered *rendered) {
    struct support_root root = support_root_make();
    struct err err;
    char hash[65], text[512];
    rendered_hash("one\n", 4, hash);
    snprintf(text, sizeof(text), "0644 %s etc/hostname\n", hash);
    rendered_hash("../zone", 7, hash);
    snprintf(text + strlen(text), sizeof(text) - strlen(text), "link %s etc/localtime\n", hash);
    assert_int_equal(rendered_parse(text, rendered, &err), 0);
    support_write(&root, UPPER "hostname", "one\n");
    assert_int_equal(symlinkat("../zone", root.fd, UPPER "localtime"), 0);
    return root;
}

static void expect(const struct support_root *root, const struct rendered *rendered, size_t count, enum drift_kind kind, const char *path) {
    cleanup_drift struct drift drift = {0};
    struct err err;
    assert_int_equal(drift_find(root->fd, rendered, &drift, &err), 0);
    assert_int_equal(drift.count, count);
    if (count == 0)
        return;
    assert_int_equal(drift.items[0].kind, kind);
    assert_string_equal(drift.items[0].path, path);
}

static void nothing_differs(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    expect(&root, &rendered, 0, 0, NULL);
}

static void the_systems_own_files_are_no_drift(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    support_write(&root, UPPER "machine-id", "x");
    support_write(&root, UPPER "adjtime", "x");
    support_write(&root, UPPER "passwd-", "x");
    expect(&root, &rendered, 0, 0, NULL);
    assert_false(drift_is_expected("etc/passwd"));
    assert_false(drift_is_expected("etc/x/machine-id"));
}

static void an_edit_is_seen(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    support_write(&root, UPPER "hostname", "two\n");
    expect(&root, &rendered, 1, DRIFT_CHANGED, "etc/hostname");
}

static void a_mode_is_seen(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    assert_int_equal(fchmodat(root.fd, UPPER "hostname", 0666, 0), 0);
    expect(&root, &rendered, 1, DRIFT_CHANGED, "etc/hostname");
}

static void another_link_is_seen(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    assert_int_equal(unlinkat(root.fd, UPPER "localtime", 0), 0);
    assert_int_equal(symlinkat("../other", root.fd, UPPER "localtime"), 0);
    expect(&root, &rendered, 1, DRIFT_CHANGED, "etc/localtime");
    assert_int_equal(unlinkat(root.fd, UPPER "localtime", 0), 0);
    support_write(&root, UPPER "localtime", "../zone"); // a file with the link's target as content
    expect(&root, &rendered, 1, DRIFT_CHANGED, "etc/localtime");
}

static void an_added_file_is_seen(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    support_write(&root, UPPER "systemd/system/evil.service", "x");
    expect(&root, &rendered, 1, DRIFT_ADDED, "etc/systemd/system/evil.service");
}

static void a_missing_rendered_file_is_seen(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    assert_int_equal(unlinkat(root.fd, UPPER "hostname", 0), 0);
    expect(&root, &rendered, 1, DRIFT_REMOVED, "etc/hostname");
}

static void a_whiteout_is_a_removed_file(void **state) {
    (void)state;
    cleanup_rendered struct rendered rendered = {0};
    cleanup_root struct support_root root = rendered_root(&rendered);
    if (mknodat(root.fd, UPPER "fstab", S_IFCHR, makedev(0, 0)) < 0) {
        print_message("this user may not make a whiteout: nothing to look at\n");
        assert_int_equal(errno, EPERM);
        return;
    }
    expect(&root, &rendered, 1, DRIFT_REMOVED, "etc/fstab");
}

// The image has etc/issue, hidden by what is mounted on /etc: an edit of it is a change, and no new file, on kernels without open_tree, too.
static void looks_below_etc(void *data) {
    struct support_root *root = data;
    const struct rendered none = {0};
    cleanup_free char *etc = str_printf("%s/etc", root->path);
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("tmpfs", etc, "tmpfs", 0, NULL), 0);
    root->fd = open(root->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); // in this namespace
    assert_false(file_exists(root->fd, "etc/issue"));
    expect(root, &none, 1, DRIFT_CHANGED, "etc/issue"); // and nothing of what was written anew as it was
    assert_int_equal(fchmodat(root->fd, UPPER "same", 0600, 0), 0);
    support_write(root, UPPER "issue", "image\n");
    expect(root, &none, 1, DRIFT_CHANGED, "etc/same");
    assert_int_equal(fchmodat(root->fd, UPPER "same", 0644, 0), 0);
    assert_int_equal(unlinkat(root->fd, UPPER "link", 0), 0);
    assert_int_equal(symlinkat("../locale.c", root->fd, UPPER "link"), 0);
    expect(root, &none, 1, DRIFT_CHANGED, "etc/link");
    assert_int_equal(unlinkat(root->fd, UPPER "link", 0), 0);
    assert_int_equal(symlinkat("../locale.conf", root->fd, UPPER "link"), 0);
    support_write(root, UPPER "issue", "edited\n");
    cleanup_free char *mounts = NULL;
    struct err err;
    assert_int_equal(file_read(AT_FDCWD, "/proc/self/mounts", 1 << 20, &mounts, NULL, &err), 0);
    assert_null(strstr(mounts, "run/webops/mount."));
    cleanup_free char *place = str_printf("run/webops/mount.%d", (int)getpid());
    assert_false(file_exists(root->fd, place));
}

static void the_image_is_seen_on_older_kernels(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    if (geteuid() != 0) {
        print_message("only root may mount: nothing to look at\n");
        return;
    }
    support_write(&root, "etc/issue", "image\n");
    support_write(&root, UPPER "issue", "edited\n");
    support_write(&root, "etc/same", "image\n");
    support_write(&root, UPPER "same", "image\n");
    assert_int_equal(symlinkat("../locale.conf", root.fd, "etc/link"), 0);
    assert_int_equal(symlinkat("../locale.conf", root.fd, UPPER "link"), 0);
    on_kernel_without(0, looks_below_etc, &root);
    on_kernel_without(SYS_open_tree, looks_below_etc, &root);
}

static void no_volatile_etc(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    const struct rendered rendered = {0};
    cleanup_drift struct drift drift = {0};
    struct err err;
    assert_int_equal(drift_find(root.fd, &rendered, &drift, &err), -ENOENT);
    assert_int_equal(drift.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_differs),
        cmocka_unit_test(the_systems_own_files_are_no_drift),
        cmocka_unit_test(an_edit_is_seen),
        cmocka_unit_test(a_mode_is_seen),
        cmocka_unit_test(another_link_is_seen),
        cmocka_unit_test(an_added_file_is_seen),
        cmocka_unit_test(a_missing_rendered_file_is_seen),
        cmocka_unit_test(a_whiteout_is_a_removed_file),
        cmocka_unit_test(the_image_is_seen_on_older_kernels),
        cmocka_unit_test(no_volatile_etc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
