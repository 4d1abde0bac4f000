// SPDX-License-Identifier: Apache-2.0
#include "firstboot/test/support.h"
#include "firstboot/actionlog.h"
#include "firstboot/apply.h"
#include "firstboot/rendered.h"
#include <errno.h>
#include <unistd.h>

// Files of a plan belong to root; an ordinary user's test keeps its own.
static size_t apply_text(const struct support_root *root, const char *text) {
    cleanup_plan struct plan plan = support_plan(text);
    cleanup_apply struct apply apply = {.root_fd = root->fd, .stage = "manual"};
    struct err err;
    assert_int_equal(apply_plan(&apply, &plan, &err), 0);
    return apply.changed_count;
}

static void make_home(const struct support_root *root) {
    assert_int_equal(mkdirat(root->fd, "home", 0755), 0);
}

static mode_t mode_of(const struct support_root *root, const char *path) {
    struct stat st;
    assert_int_equal(fstatat(root->fd, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st.st_mode & 07777;
}

static void writes_everything_then_nothing(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    make_home(&root);
    assert_int_equal(apply_text(&root, "HOSTNAME=one\n"), 19);
    cleanup_free char *hostname = support_read(&root, "etc/hostname");
    assert_string_equal(hostname, "one\n");
    assert_int_equal(mode_of(&root, "etc/shadow"), 0640);
    assert_int_equal(mode_of(&root, "etc/sudoers.d/90-webops"), 0440);
    assert_int_equal(mode_of(&root, "home/ops"), 0700);
    assert_int_equal(apply_text(&root, "HOSTNAME=one\n"), 0);
}

static void writes_only_what_differs(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    make_home(&root);
    apply_text(&root, "HOSTNAME=one\n");
    assert_int_equal(apply_text(&root, "HOSTNAME=two\n"), 2); // hostname and hosts
    assert_int_equal(fchmodat(root.fd, "etc/hosts", 0600, 0), 0);
    assert_int_equal(apply_text(&root, "HOSTNAME=two\n"), 1);
    assert_int_equal(mode_of(&root, "etc/hosts"), 0644);
    support_write(&root, "etc/hostname", "edited\n");
    assert_int_equal(apply_text(&root, "HOSTNAME=two\n"), 1);
}

static void replaces_a_link_and_a_file_in_the_way(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    make_home(&root);
    support_write(&root, "victim", "kept");
    support_write(&root, "etc/localtime", "a file");
    assert_int_equal(symlinkat("../victim", root.fd, "etc/hostname"), 0);
    apply_text(&root, "TIMEZONE=Asia/Tokyo\n");
    cleanup_free char *victim = support_read(&root, "victim");
    assert_string_equal(victim, "kept"); // never written through a link
    char target[64] = "";
    assert_true(readlinkat(root.fd, "etc/localtime", target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "../usr/share/zoneinfo/Asia/Tokyo");
    apply_text(&root, "");
    assert_int_equal(apply_text(&root, ""), 0);
}

static void removes_what_is_no_longer_planned(void **state) {
    (void)state;
    static const char path[] = "etc/systemd/resolved.conf.d/90-webops.conf";
    cleanup_root struct support_root root = support_root_make();
    make_home(&root);
    support_write(&root, "etc/systemd/resolved.conf.d/mine.conf", "x");
    apply_text(&root, "DNS_SERVERS=192.0.2.1\n");
    assert_true(file_exists(root.fd, path));
    assert_int_equal(apply_text(&root, ""), 1);
    assert_false(file_exists(root.fd, path));
    assert_true(file_exists(root.fd, "etc/systemd/resolved.conf.d/mine.conf"));
    assert_int_equal(apply_text(&root, ""), 0);
}

static void one_failure_does_not_stop_the_rest(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    make_home(&root);
    support_write(&root, "etc/chrony", "a file where a directory belongs");
    cleanup_plan struct plan plan = support_plan("");
    cleanup_apply struct apply apply = {.root_fd = root.fd, .stage = "manual"};
    struct err err;
    assert_int_equal(apply_plan(&apply, &plan, &err), -ENOTDIR);
    assert_non_null(strstr(err.text, "etc/chrony"));
    assert_int_equal(apply.changed_count, 18);
    assert_true(file_exists(root.fd, "etc/timezone"));
    cleanup_free char *log = support_read(&root, ACTIONLOG_PATH);
    assert_non_null(strstr(log, "cannot"));
}

static void manifest_names_what_was_written(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    make_home(&root);
    apply_text(&root, "HOSTNAME=one\n");
    cleanup_rendered struct rendered rendered = {0};
    struct err err;
    assert_int_equal(rendered_load(root.fd, &rendered, &err), 0);
    assert_int_equal(rendered.count, 18); // without the home directory
    const struct rendered_file *entry = rendered_find(&rendered, "etc/hostname");
    char hash[65];
    rendered_hash("one\n", 4, hash);
    assert_string_equal(entry->sha256, hash);
    assert_int_equal(entry->mode, 0644);
    assert_true(rendered_find(&rendered, "etc/localtime")->is_link);
}

static void manifest_survives_its_text(void **state) {
    (void)state;
    cleanup_plan struct plan plan = support_plan("");
    cleanup_rendered struct rendered made = {0}, read = {0};
    cleanup_buf struct buf text = {0}, again = {0};
    struct err err;
    rendered_make(&plan, &made);
    rendered_format(&made, &text);
    assert_int_equal(rendered_parse(buf_str(&text), &read, &err), 0);
    rendered_format(&read, &again);
    assert_string_equal(buf_str(&text), buf_str(&again));
}

static void manifest_refuses_other_lines(void **state) {
    (void)state;
#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    static const char *const bad[] = {"x\n",
                                      "0644 " HASH " etc/x",
                                      "0684 " HASH " etc/x\n",
                                      "0644 " HASH "\n",
                                      "0644 " HASH " \n",
                                      "0644 g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 etc/x\n",
                                      "\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_rendered struct rendered rendered = {0};
        struct err err;
        assert_int_equal(rendered_parse(bad[i], &rendered, &err), -EINVAL);
        assert_non_null(strstr(err.text, ":1:"));
    }
}

static void every_change_is_one_json_line(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    make_home(&root);
    size_t changes = apply_text(&root, "HOSTNAME=canary-value\n"), lines = 0;
    cleanup_free char *log = support_read(&root, ACTIONLOG_PATH);
    for (const char *c = log; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, changes);
    assert_null(strstr(log, "canary-value"));
    assert_non_null(strstr(log, "\"action\":\"write\",\"object\":\"etc/hostname\",\"result\":\"ok\"}\n"));
}

static void the_log_is_bounded(void **state) {
    (void)state;
    cleanup_root struct support_root root = support_root_make();
    cleanup_free char *old = calloc(1, ACTIONLOG_MAX_BYTES + 1);
    memset(old, 'x', ACTIONLOG_MAX_BYTES);
    support_write(&root, ACTIONLOG_PATH, old);
    actionlog_write(root.fd, "early", "write", "etc/x", "ok");
    struct stat st;
    assert_int_equal(fstatat(root.fd, ACTIONLOG_PATH, &st, 0), 0);
    assert_true(st.st_size < 200);
    assert_int_equal(fstatat(root.fd, ACTIONLOG_PATH ".1", &st, 0), 0);
    assert_int_equal(st.st_size, ACTIONLOG_MAX_BYTES);
}

static void changed_paths_by_directory_and_name(void **state) {
    (void)state;
    char *changed[] = {(char *)"etc/nftables.conf", (char *)"etc/systemd/network/10-x.network"};
    const struct apply apply = {.changed = changed, .changed_count = 2};
    assert_true(apply_has_changed(&apply, "etc/nftables.conf"));
    assert_true(apply_has_changed(&apply, "etc/systemd/network/"));
    assert_false(apply_has_changed(&apply, "etc/nftables"));
    assert_false(apply_has_changed(&apply, "etc/systemd/system/"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_everything_then_nothing),
        cmocka_unit_test(writes_only_what_differs),
        cmocka_unit_test(replaces_a_link_and_a_file_in_the_way),
        cmocka_unit_test(removes_what_is_no_longer_planned),
        cmocka_unit_test(one_failure_does_not_stop_the_rest),
        cmocka_unit_test(manifest_names_what_was_written),
        cmocka_unit_test(manifest_survives_its_text),
        cmocka_unit_test(manifest_refuses_other_lines),
        cmocka_unit_test(every_change_is_one_json_line),
        cmocka_unit_test(the_log_is_bounded),
        cmocka_unit_test(changed_paths_by_directory_and_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
