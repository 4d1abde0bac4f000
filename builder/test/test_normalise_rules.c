// SPDX-License-Identifier: Apache-2.0
// Every rule by itself: a path that it takes, the nearest one that it must leave alone, and the file types it does not mean.
#include "builder/normalise_rules.h"
#include "common/test/support.h"
#include <errno.h>
#include <sys/stat.h>

#define TEXT(s) ((char *)(uintptr_t)(s))
#define VAR "usr/share/factory/var/"
#define DPKG "usr/lib/sysimage/dpkg/"
#define SELINUX "etc/selinux/targeted/contexts/files/"

static void expect_action(const char *path, mode_t type, const struct strings *exclude, enum normalise_action action) {
    enum normalise_action have = normalise_rule(path, type, exclude);
    if (have != action)
        fail_msg("%s (type %o): action %d, expected %d", path, type, have, action);
}

enum { REG = 1, DIR_ = 2, LNK = 4, ALL = 7 };

static void test_every_rule(void **state) {
    (void)state;
    static const struct {
        const char *taken, *left; // left: a neighbour that stays, whatever its type; NULL = none
        unsigned types; // for which `taken` is taken; it stays for the others
        enum normalise_action action;
    } cases[] = {
        {"boot/vmlinuz-6.1.0", NULL, REG, NORMALISE_KERNEL},
        {"boot/config-6.1.0", "boot", ALL, NORMALISE_DROP},
        {"boot/efi/EFI/x", "reboot/x", ALL, NORMALISE_DROP},
        {"vmlinuz", "usr/vmlinuz", ALL, NORMALISE_DROP},
        {"vmlinuz.old", "vmlinu", ALL, NORMALISE_DROP},
        {"initrd.img", "initrd", ALL, NORMALISE_DROP},
        {"initrd.img.old", "usr/initrd.img", ALL, NORMALISE_DROP},
        {"dev/null", "dev", ALL, NORMALISE_DROP},
        {"proc/1/status", "proc", ALL, NORMALISE_DROP},
        {"run/lock/x", "run", ALL, NORMALISE_DROP},
        {"sys/class", "sys", ALL, NORMALISE_DROP},
        {"tmp/.X11-unix", "tmp", ALL, NORMALISE_DROP},
        {VAR "run/utmp", VAR "run", ALL, NORMALISE_DROP},
        {VAR "lib/postgresql/15/main", VAR "lib/postgresql/15", ALL, NORMALISE_DROP},
        {VAR "lib/postgresql/15/main/base/1/112", "etc/postgresql/15/main/pg_hba.conf", ALL, NORMALISE_DROP},
        {"etc/ssl/private/ssl-cert-snakeoil.key", "etc/ssl/private", REG, NORMALISE_DROP},
        {"etc/ssl/certs/ssl-cert-snakeoil.pem", "etc/ssl/certs/62742064.0", REG, NORMALISE_DROP},
        {VAR "tmp/a", VAR "tmp", ALL, NORMALISE_DROP},
        {VAR "cache/apt/pkgcache.bin", VAR "cache", REG | LNK, NORMALISE_DROP},
        {VAR "log/apt/term.log", VAR "log", REG | LNK, NORMALISE_DROP},
        {VAR "backups/dpkg.status.0", VAR "backups", REG | LNK, NORMALISE_DROP},
        {VAR "lib/apt/lists/partial", VAR "lib/apt/lists", ALL, NORMALISE_DROP},
        {VAR "lib/systemd/random-seed", VAR "lib/systemd/random-seedling", ALL, NORMALISE_DROP},
        {VAR "lib/dbus/machine-id", VAR "lib/dbus", REG, NORMALISE_DROP},
        {DPKG "status-old", DPKG "status", REG, NORMALISE_DROP},
        {DPKG "lock", DPKG "unlock", REG, NORMALISE_DROP},
        {DPKG "lock-frontend", DPKG "info/lock", REG, NORMALISE_DROP},
        {DPKG "triggers/Lock", DPKG "triggers/File", REG, NORMALISE_DROP},
        {DPKG "updates/0001", DPKG "updates", REG, NORMALISE_DROP},
        {SELINUX "file_contexts.bin", SELINUX "file_contexts", REG, NORMALISE_DROP},
        {SELINUX "file_contexts.local.bin", SELINUX "file_contexts.local", REG, NORMALISE_DROP},
        {SELINUX "file_contexts.homedirs.bin", "etc/selinux/targeted/policy/policy.33", REG, NORMALISE_DROP},
        {"etc/machine-id", "etc/machine-idx", REG, NORMALISE_EMPTY},
        {"etc/ssh/ssh_host_ecdsa_key", "etc/ssh/ssh_config", ALL, NORMALISE_DROP},
        {"etc/ssh/ssh_host_ed25519_key.pub", "etc/ssh/ssh_host_", ALL, NORMALISE_DROP},
        {"etc/hostname", "etc/hosts", REG, NORMALISE_DROP},
        {"etc/resolv.conf", "etc/host.conf", REG, NORMALISE_DROP},
        {"etc/apt/sources.list", "etc/apt/sources.lists", REG, NORMALISE_DROP},
        {"etc/apt/sources.list.d/x.list", "etc/apt/sources.list.d", ALL, NORMALISE_DROP},
        {"etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/apt.conf.d/99webops", ALL, NORMALISE_DROP},
        {"etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/excludes", ALL, NORMALISE_DROP},
        {"etc/.pwd.lock", "etc/pwd.lock", ALL, NORMALISE_DROP},
        {"etc/passwd-", "etc/passwd", ALL, NORMALISE_DROP},
        {"etc/group-", "etc/group", ALL, NORMALISE_DROP},
        {"etc/shadow-", "etc/shadow", ALL, NORMALISE_DROP},
        {"etc/gshadow-", "etc/gshadow", ALL, NORMALISE_DROP},
        {"etc/subuid-", "etc/subuid", ALL, NORMALISE_DROP},
        {"etc/subgid-", "etc/subgid", ALL, NORMALISE_DROP},
        {"usr/lib/python3/__pycache__", "usr/lib/python3", DIR_, NORMALISE_DROP},
        {"usr/lib/__pycache__/a/b.pyc", "usr/lib/pycache/b.pyc", ALL, NORMALISE_DROP},
        {"etc/x.dpkg-new", "etc/x.dpkg-dist", REG, NORMALISE_DROP},
        {"usr/bin/y.dpkg-tmp", "usr/bin/y.dpkg-old", REG, NORMALISE_DROP},
    };
    static const mode_t modes[] = {S_IFREG, S_IFDIR, S_IFLNK};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (unsigned type = 0; type < ARRAY_SIZE(modes); type++) {
            enum normalise_action otherwise = cases[i].action == NORMALISE_KERNEL ? NORMALISE_DROP : NORMALISE_KEEP;
            expect_action(cases[i].taken, modes[type] | 0755, NULL, cases[i].types & 1u << type ? cases[i].action : otherwise);
            if (cases[i].left)
                expect_action(cases[i].left, modes[type] | 0644, NULL, NORMALISE_KEEP);
        }
}

// What a machine needs must never fall to a pattern.
static void test_kept(void **state) {
    (void)state;
    static const char *const paths[] = {
        "",
        "bin",
        "etc",
        "etc/fstab",
        "etc/shadow",
        "etc/ssh/sshd_config",
        "etc/ssh/moduli",
        "etc/apt/apt.conf.d/01autoremove",
        "usr/bin/bash",
        "usr/lib/modules/6.1.0/kernel/drivers/block/virtio_blk.ko",
        "usr/lib/systemd/system/ssh.service",
        "usr/share/doc/bash/copyright",
        "usr/lib/tmp/x",
        "usr/run/x",
        "opt/boot/x",
        "home/user/vmlinuz",
        VAR "lib/systemd/timers",
        DPKG "status",
        DPKG "info/bash.list",
        "webops",
    };
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
        expect_action(paths[i], S_IFREG | 0644, NULL, NORMALISE_KEEP);
}

// dpkg's order: the last pattern that matches decides; a rule of the table comes before any of them.
static void test_exclude_order(void **state) {
    (void)state;
    static const struct {
        const char *patterns[4], *path;
        mode_t type;
        enum normalise_action action;
    } cases[] = {
        {{"/usr/share/doc/*"}, "usr/share/doc/a", S_IFREG, NORMALISE_DROP},
        {{"/usr/share/doc/*"}, "usr/share/doc/a", S_IFLNK, NORMALISE_DROP},
        {{"/usr/share/doc/*"}, "usr/share/doc/a", S_IFDIR, NORMALISE_LATER},
        {{"/usr/share/doc/*"}, "usr/share/doc/a/b/c", S_IFREG, NORMALISE_DROP},
        {{"/usr/share/doc/*"}, "usr/share/doc", S_IFDIR, NORMALISE_KEEP},
        {{"/usr/share/doc/*"}, "srv/usr/share/doc/a", S_IFREG, NORMALISE_KEEP},
        {{"usr/share/doc/*"}, "usr/share/doc/a", S_IFREG, NORMALISE_KEEP}, // patterns are absolute
        {{"/a/*", "!/a/b"}, "a/b", S_IFREG, NORMALISE_KEEP},
        {{"!/a/b", "/a/*"}, "a/b", S_IFREG, NORMALISE_DROP},
        {{"/a/*", "!/a/b*", "/a/bc"}, "a/bc", S_IFREG, NORMALISE_DROP},
        {{"/a/*", "!/a/b*", "/a/bc"}, "a/bd", S_IFREG, NORMALISE_KEEP},
        {{"!/a/b"}, "a/b", S_IFREG, NORMALISE_KEEP},
        {{"/a/[bc]"}, "a/c", S_IFREG, NORMALISE_DROP},
        {{"/a/[bc]"}, "a/d", S_IFREG, NORMALISE_KEEP},
        {{"!/etc/passwd-"}, "etc/passwd-", S_IFREG, NORMALISE_DROP},
        {{"/etc/machine-id"}, "etc/machine-id", S_IFREG, NORMALISE_EMPTY},
        {{"!/boot/vmlinuz-1"}, "boot/vmlinuz-1", S_IFREG, NORMALISE_KERNEL},
        {{"/*"}, "usr/bin/bash", S_IFREG, NORMALISE_DROP},
        {{""}, "usr/bin/bash", S_IFREG, NORMALISE_KEEP},
        {{"!"}, "usr/bin/bash", S_IFREG, NORMALISE_KEEP},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *items[4];
        struct strings exclude = {items, 0};
        while (exclude.count < 4 && cases[i].patterns[exclude.count]) {
            items[exclude.count] = TEXT(cases[i].patterns[exclude.count]);
            exclude.count++;
        }
        expect_action(cases[i].path, cases[i].type, &exclude, cases[i].action);
    }
}

// The final place of /var is what rules are written for: the renamed path must meet them.
static void test_renamed_paths_meet_rules(void **state) {
    (void)state;
    static const struct {
        const char *before;
        enum normalise_action action;
    } cases[] = {
        {"var/cache/apt/x", NORMALISE_DROP},
        {"var/log/dpkg.log", NORMALISE_DROP},
        {"var/tmp/x", NORMALISE_DROP},
        {"var/lib/dpkg/status-old", NORMALISE_DROP},
        {"var/lib/dpkg/status", NORMALISE_KEEP},
        {"var/lib/apt/lists/x", NORMALISE_DROP},
        {"var/lib/apt/extended_states", NORMALISE_KEEP},
        {"var/spool/cron", NORMALISE_KEEP},
        {"var/backups/x", NORMALISE_DROP},
        {"boot/config-6.1.0-1-amd64", NORMALISE_KEEP},
        {"boot/config-6.1.0/x", NORMALISE_DROP},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *path = normalise_rename(cases[i].before);
        expect_action(path, S_IFREG, NULL, cases[i].action);
    }
}

static void test_mount_points(void **state) {
    (void)state;
    static const char *const needed[] = {"dev", "proc", "run", "sys", "tmp", "var", "home", "root", "srv", "boot", "webops"};
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        const struct normalise_mount_point *point = normalise_mount_points;
        while (point->path && strcmp(point->path, needed[i]) != 0)
            point++;
        if (!point->path)
            fail_msg("no mount point %s", needed[i]);
        mode_t mode = strcmp(needed[i], "tmp") == 0 ? 01777 : strcmp(needed[i], "root") == 0 ? 0700 : 0755;
        assert_int_equal(point->mode, mode);
        expect_action(point->path, S_IFDIR | point->mode, NULL, NORMALISE_KEEP); // never dropped by a rule of ours
    }
}

static void test_printable(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},          {"plain name", "plain name"}, {"a\nb", "a\\x0ab"}, {"\x1b[31m", "\\x1b[31m"}, {"\xc3\xbc", "\\xc3\\xbc"},
        {"\x7f", "\\x7f"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *have = normalise_printable(cases[i][0]);
        assert_string_equal(have, cases[i][1]);
    }
    char longest[1000];
    memset(longest, '\n', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    cleanup_free char *have = normalise_printable(longest);
    assert_int_equal(strlen(have), 200 * strlen("\\x0a"));
}

// The borders of each form of UTF-8: the last sequence inside and the first outside.
static void test_utf8_borders(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        bool good;
    } cases[] = {
        {"\xc2\x80", true},
        {"\xc1\xbf", false},
        {"\xdf\xbf", true},
        {"\xc2\x7f", false},
        {"\xc2", false},
        {"\xe0\xa0\x80", true},
        {"\xe0\x9f\xbf", false},
        {"\xec\xbf\xbf", true},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false},
        {"\xee\x80\x80", true},
        {"\xef\xbf\xbf", true},
        {"\xe1\x80", false},
        {"\xe1\x80\x41", false},
        {"\xf0\x90\x80\x80", true},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf3\xbf\xbf\xbf", true},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xf1\x80\x80\xc0", false},
        {"\x80", false},
        {"\xfe", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        cleanup_free char *path = str_printf("usr/%s", cases[i].bytes);
        assert_int_equal(normalise_clean_path(path, &err), cases[i].good ? 0 : -EINVAL);
        assert_contains(err.text, cases[i].good ? "" : "is not UTF-8");
    }
}

static void test_lengths(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_buf struct buf path = {0};
    for (int i = 0; i < 2000; i++)
        buf_add_str(&path, "a/");
    assert_int_equal(path.size, 4000);
    path.data[path.size - 1] = 'b';
    cleanup_free char *longest = str_dup(buf_str(&path)), *longer = str_printf("%sc", buf_str(&path));
    assert_int_equal(normalise_clean_path(longest, &err), 0);
    assert_int_equal(normalise_clean_path(longer, &err), -EINVAL);
    assert_contains(err.text, "longer than 4000 bytes");
    assert_true(strlen(err.text) < 300); // the message does not carry it all
}

static void test_stale_link(void **state) {
    (void)state;
    assert_true(normalise_is_stale_link("etc/ssl/certs/62742064.0", "ssl-cert-snakeoil.pem"));
    assert_false(normalise_is_stale_link("etc/ssl/certs/002c0b4f.0", "GlobalSign_Root_R46.pem"));
    assert_false(normalise_is_stale_link("etc/other/62742064.0", "ssl-cert-snakeoil.pem"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_rule),
        cmocka_unit_test(test_stale_link),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_exclude_order),
        cmocka_unit_test(test_renamed_paths_meet_rules),
        cmocka_unit_test(test_mount_points),
        cmocka_unit_test(test_printable),
        cmocka_unit_test(test_utf8_borders),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests_name("normalise_rules", tests, NULL, NULL);
}
