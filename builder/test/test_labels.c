// SPDX-License-Identifier: Apache-2.0
// Labels by a policy's text and what is added to it, by the real libselinux; and which files of a policy are kept.
#include "builder/labels.h"
#include "builder/test/support.h"
#include <errno.h>
#include <selinux/selinux.h>

static void put(const struct scratch *scratch, const char *path, const char *text) {
    struct err err = {0};
    cleanup_free char *parent = str_printf("%.*s", strrchr(path, '/') ? (int)(strrchr(path, '/') - path) : 0, path);
    if (*parent)
        assert_ok(file_mkdirs(scratch->fd, parent, 0755, &err));
    assert_ok(file_publish(scratch->fd, path, text, strlen(text), 0644, &err));
}

static void expect(struct labels *labels, const char *path, mode_t mode, const char *type) {
    struct err err = {0};
    char *label = NULL;
    assert_ok(labels_find(labels, path, mode, &label, &err));
    cleanup_free char *whole = type ? str_printf("system_u:object_r:%s:s0", type) : NULL;
    if (!label != !whole || (label && strcmp(label, whole) != 0))
        fail_msg("%s: %s, and not %s", path, label ?: "no label", whole ?: "none");
    freecon(label);
}

static void test_precedence(void **state) {
    struct scratch *scratch = *state;
    put(scratch, "file_contexts",
        "/.*\tsystem_u:object_r:default_t:s0\n/usr/lib(/.*)?\tsystem_u:object_r:lib_t:s0\n"
        "/var(/.*)?\tsystem_u:object_r:var_t:s0\n/var/log(/.*)?\tsystem_u:object_r:var_log_t:s0\n/proc\t<<none>>\n"
        "/x\t-d\tsystem_u:object_r:dir_t:s0\n/x\t-l\tsystem_u:object_r:link_t:s0\n");
    put(scratch, "file_contexts.local", "/usr/lib/webops/.*\t--\tsystem_u:object_r:bin_t:s0\n");
    put(scratch, "file_contexts.subs", "/usr/share/factory/var /var\n");
    put(scratch, "file_contexts.subs_dist", "/lib64 /usr/lib\n");
    put(scratch, "file_contexts.homedirs", "/home/[^/]+/\\.ssh(/.*)?\tsystem_u:object_r:ssh_home_t:s0\n");
    cleanup_labels struct labels *labels = labels_new(scratch->path);
    expect(labels, "usr/lib/x", S_IFREG, "lib_t");
    expect(labels, "usr/lib/webops/webops-fetch", S_IFREG, "bin_t");
    expect(labels, "usr/lib/webops/lib", S_IFDIR, "lib_t"); // the added line is for files
    expect(labels, "usr/share/factory/var", S_IFDIR, "var_t"); // what it will be on the machine
    expect(labels, "usr/share/factory/var/log/x", S_IFREG, "var_log_t");
    expect(labels, "usr/share/factory/variable", S_IFREG, "default_t");
    expect(labels, "lib64/ld.so", S_IFREG, "lib_t");
    expect(labels, "home/ops/.ssh/authorized_keys", S_IFREG, "ssh_home_t");
    expect(labels, "x", S_IFDIR, "dir_t");
    expect(labels, "x", S_IFLNK, "link_t");
    expect(labels, "x", S_IFREG, "default_t");
    expect(labels, "proc", S_IFDIR, NULL);
}

// The shipped lines are understood, and say what they are for.
static void test_shipped_lines(void **state) {
    struct scratch *scratch = *state;
    static const char *const files[] = {LABELS_LOCAL, LABELS_ALIASES};
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        cleanup_free char *path = str_printf("images/selinux/%s", files[i]), *text = NULL;
        assert_ok(file_read(AT_FDCWD, path, 1 << 16, &text, NULL, &err));
        put(scratch, files[i], text);
    }
    put(scratch, "file_contexts",
        "/.*\tsystem_u:object_r:default_t:s0\n/usr/lib(/.*)?\tsystem_u:object_r:lib_t:s0\n"
        "/var(/.*)?\tsystem_u:object_r:var_t:s0\n");
    static const struct {
        const char *path;
        mode_t mode;
        const char *type;
    } cases[] = {
        {"usr/lib/webops/webops-fetch", S_IFREG, "bin_t"},
        {"usr/lib/webops/postgresql/start", S_IFREG, "bin_t"},
        {"usr/lib/webops/generation.env", S_IFREG, "usr_t"},
        {"usr/lib/webops/stacks/etcd.json", S_IFREG, "usr_t"},
        {"usr/lib/webops/trust/ca.pem", S_IFREG, "usr_t"},
        {"usr/lib/webops/lib/libc.so.6", S_IFREG, "lib_t"},
        {"usr/lib/webops/lib/ld-linux-x86-64.so.2", S_IFREG, "ld_so_t"},
        {"webops", S_IFDIR, "etc_t"},
        {"webops/secrets", S_IFDIR, "etc_t"},
        {"webops/secrets/a.secret", S_IFREG, "shadow_t"},
        {"run/webops/state/webops/secrets/a.secret", S_IFREG, "shadow_t"},
        {"usr/share/factory/var/lib/webops/ssh/key", S_IFREG, "sshd_key_t"},
        {"var/lib/webops/swapfile", S_IFREG, "swapfile_t"},
        {"run/webops/health.json", S_IFREG, "var_run_t"},
        {"var/run/webops/health.json", S_IFREG, "var_run_t"},
    };
    cleanup_labels struct labels *labels = labels_new(scratch->path);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect(labels, cases[i].path, cases[i].mode, cases[i].type);
}

static void test_no_policy(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char *label = NULL;
    cleanup_labels struct labels *labels = labels_new(scratch->path);
    assert_true(labels_find(labels, "x", S_IFREG, &label, &err) < 0);
    assert_contains(err.text, "cannot read the image's SELinux policy");
    assert_contains(err.text, scratch->path);
    assert_null(label);
}

static void test_keep(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *root = str_printf("%s/root", scratch->path), *kept = str_printf("%s/kept", scratch->path);
    assert_ok(file_mkdirs(scratch->fd, "kept", 0755, &err));
    assert_int_equal(labels_keep(root, "targeted", kept, &err), -ENOENT);
    assert_contains(err.text, "no package brings /etc/selinux/targeted/contexts/files/file_contexts");
    put(scratch, "root/etc/selinux/targeted/contexts/files/file_contexts", "/.*\tsystem_u:object_r:default_t:s0\n");
    put(scratch, "root/etc/selinux/targeted/contexts/files/file_contexts.bin", "compiled for somebody else");
    put(scratch, "root/etc/selinux/targeted/contexts/files/file_contexts.local", "not ours");
    put(scratch, "root/etc/selinux/targeted/contexts/files/file_contexts.subs_dist", "/lib64 /usr/lib\n");
    assert_ok(labels_keep(root, "targeted", kept, &err));
    assert_true(file_exists(scratch->fd, "kept/file_contexts"));
    assert_true(file_exists(scratch->fd, "kept/file_contexts.subs_dist"));
    assert_false(file_exists(scratch->fd, "kept/file_contexts.bin"));
    assert_false(file_exists(scratch->fd, "kept/file_contexts.local"));
    assert_false(file_exists(scratch->fd, "kept/file_contexts.homedirs"));
    assert_int_equal(symlinkat("/etc/shadow", scratch->fd, "root/etc/selinux/targeted/contexts/files/file_contexts.homedirs"), 0);
    assert_int_equal(labels_keep(root, "targeted", kept, &err), -EINVAL);
    assert_contains(err.text, "file_contexts.homedirs: is no regular file");
    assert_false(file_exists(scratch->fd, "kept/file_contexts.homedirs"));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {CASE(test_precedence), CASE(test_shipped_lines), CASE(test_no_policy), CASE(test_keep)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
