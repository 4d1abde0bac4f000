// SPDX-License-Identifier: Apache-2.0
// What systemctl prints, names of mount units, owners.
#include "firstboot/stack/test/machine.h"
#include "firstboot/stack/render.h"
#include "firstboot/stack/systemd.h"
#include <errno.h>

static void states_of_units(void **state) {
    (void)state;
    static const char text[] = "LoadState=loaded\nActiveState=active\nResult=success\nConditionResult=yes\n\n"
                               "LoadState=loaded\nActiveState=active\nJob=1234\n\n"
                               "ActiveState=inactive\nLoadState=not-found\n\n"
                               "LoadState=loaded\nActiveState=failed\nResult=exit-code\n\n"
                               "LoadState=loaded\nActiveState=inactive\nResult=success\nConditionResult=no\n\n"
                               "LoadState=loaded\nActiveState=reloading\n";
    static const enum systemd_state expected[] = {SYSTEMD_ACTIVE, SYSTEMD_CHANGING, SYSTEMD_MISSING,
                                                  SYSTEMD_FAILED, SYSTEMD_INACTIVE, SYSTEMD_CHANGING};
    struct systemd_unit units[6];
    struct err err;
    assert_int_equal(systemd_parse_show(text, 6, units, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_int_equal(units[i].state, expected[i]);
    assert_string_equal(units[3].result, "exit-code");
    assert_true(units[4].is_condition_unmet);
    assert_false(units[0].is_condition_unmet);
    assert_int_equal(systemd_parse_show(text, 5, units, &err), -EINVAL);
    assert_int_equal(systemd_parse_show("", 1, units, &err), -EINVAL);
    assert_int_equal(systemd_parse_show("", 0, units, &err), 0);
}

// systemd-escape --path --suffix=mount is what it must agree with.
static void names_of_mounts(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"/etc/libvirt", "etc-libvirt.mount"},     {"/etc/apparmor.d/libvirt", "etc-apparmor.d-libvirt.mount"},
        {"/etc/a-b c", "etc-a\\x2db\\x20c.mount"}, {"/etc/store_kept:1", "etc-store_kept:1.mount"},
        {"/etc/.hidden", "etc-.hidden.mount"},     {"/etc/\xc3\xa4", "etc-\\xc3\\xa4.mount"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *name = stack_mount_unit(cases[i][0]);
        assert_string_equal(name, cases[i][1]);
    }
}

static void owners(void **state) {
    (void)state;
    static const char passwd[] = "root:x:0:0::/:/bin/sh\netcd:x:105:112::/:/bin/false\netc:x:9:9::/:/bin/false\n";
    static const char group[] = "root:x:0:\nadm:x:4:\netcd:x:112:\n";
    uid_t uid;
    gid_t gid;
    struct err err;
    assert_int_equal(stack_owner_find("etcd:adm", passwd, group, &uid, &gid, &err), 0);
    assert_int_equal(uid, 105);
    assert_int_equal(gid, 4);
    assert_int_equal(stack_owner_find("etc:root", passwd, group, &uid, &gid, &err), 0);
    assert_int_equal(uid, 9);
    assert_int_equal(stack_owner_find(NULL, passwd, group, &uid, &gid, &err), 0);
    assert_int_equal(uid + gid, 0);
    assert_int_equal(stack_owner_find("nobody:adm", passwd, group, &uid, &gid, &err), -ENOENT);
    assert_string_equal(err.text, "this image has no user nobody");
    assert_int_equal(stack_owner_find("etcd:wheel", passwd, group, &uid, &gid, &err), -ENOENT);
    assert_string_equal(err.text, "this image has no group wheel");
}

static void last_lines_are_harmless(void **state) {
    (void)state;
    cleanup_root struct support_root root = machine_make("");
    cleanup_buf struct buf text = {0};
    machine_program(&root, "journalctl", "#!/bin/sh\nprintf 'red \\033[31m\\nbell \\007\\n'\n");
    systemd_last_lines("x.service", &text);
    assert_string_equal(buf_str(&text), "red  [31m | bell  ");
}

static void last_lines_tell_of_a_failure(void **state) {
    (void)state;
    static const struct {
        const char *log, *shown;
    } rows[] = {
        {"", ""},
        {"a\nb\nc\nd\n", "b | c | d"},
        {"FATAL: wrong password\na\nERROR: no backup\nc\nd\n", "FATAL: wrong password | ERROR: no backup | c | d"},
        {"cannot open x\naccess denied\na\nb\nc\nd\n", "access denied | b | c | d"},
        {"connection refused\na\n\nb\n", "connection refused | a | b"},
    };
    cleanup_root struct support_root root = machine_make("");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf text = {0};
        cleanup_free char *script = str_printf("#!/bin/sh\nprintf '%s'\n", rows[i].log);
        machine_program(&root, "journalctl", script);
        systemd_last_lines("x.service", &text);
        assert_string_equal(buf_str(&text), rows[i].shown);
    }
}

// Three lines of the service manager's would leave no room for the one that says what to do.
static void last_lines_are_the_units_own(void **state) {
    (void)state;
    static const struct {
        const char *own, *manager, *shown;
    } rows[] = {
        {"no processor 7", "Main process exited\\nFailed with result\\nFailed to start", "no processor 7"},
        {"", "Dependency failed", "Dependency failed"},
        {"", "", ""},
    };
    cleanup_root struct support_root root = machine_make("");
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf text = {0};
        cleanup_free char *script = str_printf("#!/bin/sh\ncase $* in\n*' _SYSTEMD_UNIT=x.service') printf '%s' ;;\n"
                                               "*' --unit=x.service') printf '%s' ;;\n*) exit 1 ;;\nesac\n",
                                               rows[i].own, rows[i].manager);
        machine_program(&root, "journalctl", script);
        systemd_last_lines("x.service", &text);
        assert_string_equal(buf_str(&text), rows[i].shown);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(states_of_units),
        cmocka_unit_test(names_of_mounts),
        cmocka_unit_test(owners),
        cmocka_unit_test(last_lines_are_harmless),
        cmocka_unit_test(last_lines_tell_of_a_failure),
        cmocka_unit_test(last_lines_are_the_units_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
