// SPDX-License-Identifier: Apache-2.0
// The normaliser over tar streams made here: every rule, renames, hard links, whiteouts, hostile names, and the same bytes from changed input.
#include "builder/layer_files.h"
#include "builder/normalise.h"
#include "builder/normalise_rules.h"
#include "common/file.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

// Recipes hold texts as char *; string literals are const.
#define TEXT(s) ((char *)(uintptr_t)(s))

struct given { // one entry of a stream
    const char *path;
    mode_t mode;
    const char *text; // content, symlink target
    const char *hardlink;
    const char *xattr; // name; value is "y"
    dev_t device;
};

struct world {
    char dir[64];
    int dir_fd;
    int out_fd;
};

static int setup(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    strcpy(world->dir, "/tmp/test-normalise-XXXXXX");
    assert_non_null(mkdtemp(world->dir));
    world->dir_fd = open(world->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = world;
    return 0;
}

static int teardown(void **state) {
    struct world *world = *state;
    struct err err;
    close(world->dir_fd);
    assert_int_equal(file_remove_tree(AT_FDCWD, world->dir, &err), 0);
    free(world);
    return 0;
}

static int make_tar(const struct given *given, time_t mtime) {
    int fd = memfd_create("in", MFD_CLOEXEC);
    struct archive *tar = archive_write_new();
    assert_int_equal(archive_write_set_format_pax(tar), ARCHIVE_OK);
    archive_write_set_format_option(tar, "pax", "hdrcharset", "BINARY");
    assert_int_equal(archive_write_open_fd(tar, fd), ARCHIVE_OK);
    for (; given->path; given++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, given->path);
        archive_entry_set_mode(entry, given->mode);
        archive_entry_set_uid(entry, 7);
        archive_entry_set_gid(entry, 8);
        archive_entry_set_uname(entry, "somebody");
        archive_entry_set_mtime(entry, mtime, 5);
        size_t size = S_ISREG(given->mode) && given->text && !given->hardlink ? strlen(given->text) : 0;
        archive_entry_set_size(entry, (la_int64_t)size);
        if (S_ISLNK(given->mode))
            archive_entry_set_symlink(entry, given->text);
        if (given->hardlink)
            archive_entry_set_hardlink(entry, given->hardlink);
        if (S_ISCHR(given->mode) || S_ISBLK(given->mode))
            archive_entry_set_rdev(entry, given->device);
        if (given->xattr)
            archive_entry_xattr_add_entry(entry, given->xattr, "y", 1);
        int r = archive_write_header(tar, entry);
        assert_true(r == ARCHIVE_OK || r == ARCHIVE_WARN);
        if (size)
            assert_int_equal(archive_write_data(tar, given->text, size), size);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_free(tar), ARCHIVE_OK);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

// Runs a stream through; the result is left in world->out_fd, at its start.
static int normalise(struct world *world, struct normalise_options options, const struct given *given, time_t mtime, struct err *err) {
    cleanup_fd int in = make_tar(given, mtime);
    cleanup_normalise struct normalise *n = NULL;
    world->out_fd = memfd_create("out", MFD_CLOEXEC);
    options.epoch = 1000;
    options.side_fd = world->dir_fd;
    assert_int_equal(normalise_open(&options, world->out_fd, &n, err), 0);
    int r = normalise_stream(n, in, "test stream", err);
    if (r >= 0)
        r = normalise_finish(n, err);
    lseek(world->out_fd, 0, SEEK_SET);
    return r;
}

// "type mode uid:gid path[ -> target][ = content][ {xattr}]" lines of the result.
static char *list(struct world *world) {
    struct buf text = {0};
    struct archive *tar = archive_read_new();
    struct archive_entry *entry;
    archive_read_support_format_tar(tar);
    assert_int_equal(archive_read_open_fd(tar, world->out_fd, 10240), ARCHIVE_OK);
    while (archive_read_next_header(tar, &entry) == ARCHIVE_OK) {
        char data[256] = "";
        const char *name;
        const void *value;
        size_t size;
        assert_int_equal(archive_entry_mtime(entry), 1000);
        assert_int_equal(archive_entry_mtime_nsec(entry), 0);
        assert_true(archive_entry_uname(entry) == NULL || !*archive_entry_uname(entry));
        buf_printf(&text, "%o %d:%d %s", (unsigned)archive_entry_mode(entry), (int)archive_entry_uid(entry), (int)archive_entry_gid(entry),
                   archive_entry_pathname(entry));
        if (archive_entry_symlink(entry))
            buf_printf(&text, " -> %s", archive_entry_symlink(entry));
        if (archive_entry_hardlink(entry))
            buf_printf(&text, " == %s", archive_entry_hardlink(entry));
        if (archive_entry_size(entry) && archive_read_data(tar, data, sizeof(data) - 1) > 0)
            buf_printf(&text, " = %s", data);
        archive_entry_xattr_reset(entry);
        while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
            buf_printf(&text, " {%s}", strcmp(name, "security.selinux") == 0 ? (const char *)value : name);
        buf_add_str(&text, "\n");
    }
    archive_read_free(tar);
    close(world->out_fd);
    return buf_take(&text);
}

static void expect_list(struct world *world, const struct given *given, struct normalise_options options, const char *expected) {
    struct err err = {0};
    int r = normalise(world, options, given, 5, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(r, 0);
    cleanup_free char *have = list(world);
    assert_string_equal(have, expected);
}

static void expect_refused(struct world *world, const struct given *given, const char *words) {
    struct err err = {0};
    assert_true(normalise(world, (struct normalise_options){0}, given, 5, &err) < 0);
    close(world->out_fd);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
}

static void test_rules(void **state) {
    (void)state;
    static const struct {
        const char *path;
        mode_t mode;
        enum normalise_action action;
    } cases[] = {
        {"etc/passwd", S_IFREG, NORMALISE_KEEP},
        {"etc/passwd-", S_IFREG, NORMALISE_DROP},
        {"etc/shadow-", S_IFREG, NORMALISE_DROP},
        {"etc/machine-id", S_IFREG, NORMALISE_EMPTY},
        {"etc/ssh/ssh_host_ed25519_key", S_IFREG, NORMALISE_DROP},
        {"etc/ssh/ssh_host_rsa_key.pub", S_IFREG, NORMALISE_DROP},
        {"etc/ssh/sshd_config", S_IFREG, NORMALISE_KEEP},
        {"etc/hostname", S_IFREG, NORMALISE_DROP},
        {"etc/resolv.conf", S_IFLNK, NORMALISE_KEEP},
        {"etc/resolv.conf", S_IFREG, NORMALISE_DROP},
        {"etc/apt/sources.list.d/0000x.list", S_IFREG, NORMALISE_DROP},
        {"boot", S_IFDIR, NORMALISE_KEEP},
        {"boot/vmlinuz-6.1.0-cloud-amd64", S_IFREG, NORMALISE_KERNEL},
        {"boot/config-6.1.0", S_IFREG, NORMALISE_DROP},
        {"vmlinuz", S_IFLNK, NORMALISE_DROP},
        {"initrd.img.old", S_IFLNK, NORMALISE_DROP},
        {"dev/console", S_IFCHR, NORMALISE_DROP},
        {"proc/x", S_IFDIR, NORMALISE_DROP},
        {"run/lock", S_IFDIR, NORMALISE_DROP},
        {"tmp/x", S_IFREG, NORMALISE_DROP},
        {"usr/share/factory/var/cache/ldconfig/aux-cache", S_IFREG, NORMALISE_DROP},
        {"usr/share/factory/var/cache/ldconfig", S_IFDIR, NORMALISE_KEEP},
        {"usr/share/factory/var/cache/apt/archives/x.deb", S_IFREG, NORMALISE_DROP},
        {"usr/share/factory/var/log/dpkg.log", S_IFREG, NORMALISE_DROP},
        {"usr/share/factory/var/log/chrony", S_IFDIR, NORMALISE_KEEP},
        {"usr/share/factory/var/lib/apt/lists/x_Packages", S_IFREG, NORMALISE_DROP},
        {"usr/share/factory/var/lib/systemd/random-seed", S_IFREG, NORMALISE_DROP},
        {"usr/share/factory/var/lib/chrony/drift", S_IFREG, NORMALISE_KEEP},
        {"usr/lib/sysimage/dpkg/status", S_IFREG, NORMALISE_KEEP},
        {"usr/lib/sysimage/dpkg/status-old", S_IFREG, NORMALISE_DROP},
        {"usr/lib/sysimage/dpkg/lock-frontend", S_IFREG, NORMALISE_DROP},
        {"usr/lib/python3/__pycache__", S_IFDIR, NORMALISE_DROP},
        {"usr/lib/python3/__pycache__/a.pyc", S_IFREG, NORMALISE_DROP},
        {"usr/share/doc", S_IFDIR, NORMALISE_KEEP},
        {"usr/share/doc/bash", S_IFDIR, NORMALISE_LATER},
        {"usr/share/doc/bash/README", S_IFREG, NORMALISE_DROP},
        {"usr/share/doc/bash/copyright", S_IFREG, NORMALISE_KEEP},
    };
    char *patterns[] = {TEXT("/usr/share/doc/*"), TEXT("!/usr/share/doc/*/copyright")};
    struct strings exclude = {patterns, 2};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (normalise_rule(cases[i].path, cases[i].mode, &exclude) != cases[i].action)
            fail_msg("%s: action %d", cases[i].path, normalise_rule(cases[i].path, cases[i].mode, &exclude));
}

static void test_renames(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"var", "usr/share/factory/var"},
        {"var/lib", "usr/share/factory/var/lib"},
        {"var/lib/dpkg", "usr/lib/sysimage/dpkg"},
        {"var/lib/dpkg/info/a.list", "usr/lib/sysimage/dpkg/info/a.list"},
        {"var/lib/dpkgx", "usr/share/factory/var/lib/dpkgx"},
        {"variable", "variable"},
        {"etc/var", "etc/var"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *have = normalise_rename(cases[i][0]);
        assert_string_equal(have, cases[i][1]);
    }
}

static void test_clean_path(void **state) {
    (void)state;
    static const char *const good[][2] = {
        {"./etc/x", "etc/x"}, {"etc/", "etc"}, {"./", ""}, {".", ""}, {"././a", "a"}, {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"}};
    static const char *const bad[] = {"/etc",  "../x", "a/../b",   "a//b",         "a/./b", "a\nb",
                                      "a\x7f", "\xff", "\xc0\xaf", "\xed\xa0\x80", "a/.."};
    struct err err;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        cleanup_free char *path = str_dup(good[i][0]);
        assert_int_equal(normalise_clean_path(path, &err), 0);
        assert_string_equal(path, good[i][1]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_free char *path = str_dup(bad[i]);
        assert_int_equal(normalise_clean_path(path, &err), -EINVAL);
        for (const char *c = err.text; *c; c++)
            assert_true(*c >= 0x20 && *c < 0x7f);
    }
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    longest[255] = 0;
    assert_int_equal(normalise_clean_path(longest, &err), 0);
    longest[255] = 'a';
    longest[256] = 0;
    assert_int_equal(normalise_clean_path(longest, &err), -EINVAL);
}

static void test_stream(void **state) {
    static const struct given given[] = {
        {"./", S_IFDIR | 0700, NULL, NULL, NULL, 0},
        {"./etc/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"./etc/machine-id", S_IFREG | 0444, "0123456789abcdef", NULL, NULL, 0},
        {"./usr/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"./usr/bin/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"./usr/bin/a", S_IFREG | 04755, "program", NULL, "security.capability", 0},
        {"./usr/bin/b", S_IFREG | 04755, NULL, "./usr/bin/a", NULL, 0},
        {"./usr/bin/c", S_IFLNK | 0777, "/etc/x", NULL, "security.selinux", 0},
        {"./var/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"./var/lib/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"./var/lib/dpkg/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"./var/lib/dpkg/status", S_IFREG | 0644, "Package: a\n", NULL, NULL, 0},
        {"./var/pipe", S_IFIFO | 0600, NULL, NULL, NULL, 0},
        {NULL, 0, NULL, NULL, NULL, 0},
    };
    expect_list(*state, given, (struct normalise_options){0},
                "40755 7:8 etc/\n"
                "100444 7:8 etc/machine-id\n"
                "40755 7:8 usr/\n"
                "40755 7:8 usr/bin/\n"
                "104755 7:8 usr/bin/a = program {security.capability}\n"
                "4755 7:8 usr/bin/b == usr/bin/a\n"
                "120777 7:8 usr/bin/c -> /etc/x\n"
                "40755 0:0 usr/share/\n"
                "40755 0:0 usr/share/factory/\n"
                "40755 7:8 usr/share/factory/var/\n"
                "40755 7:8 usr/share/factory/var/lib/\n"
                "40755 0:0 usr/lib/\n"
                "40755 0:0 usr/lib/sysimage/\n"
                "40755 7:8 usr/lib/sysimage/dpkg/\n"
                "100644 7:8 usr/lib/sysimage/dpkg/status = Package: a\n\n"
                "10600 7:8 usr/share/factory/var/pipe\n");
}

static void test_base(void **state) {
    struct world *world = *state;
    static const struct given given[] = {
        {"boot/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"boot/vmlinuz-6.1", S_IFREG | 0644, "kernel", NULL, NULL, 0},
        {"boot/System.map", S_IFREG | 0644, "map", NULL, NULL, 0},
        {"etc/passwd", S_IFREG | 0644, "root:x:0:0::/root:/bin/sh\n", NULL, NULL, 0},
        {"root/", S_IFDIR | 0711, NULL, NULL, NULL, 0},
        {NULL, 0, NULL, NULL, NULL, 0},
    };
    struct err err;
    expect_list(world, given, (struct normalise_options){.base = true, .kernel = true},
                "40755 7:8 boot/\n40755 0:0 etc/\n100644 7:8 etc/passwd = root:x:0:0::/root:/bin/sh\n\n40711 7:8 root/\n40755 0:0 dev/\n"
                "40755 0:0 home/\n40755 0:0 mnt/\n40755 0:0 proc/\n40755 0:0 run/\n40755 0:0 srv/\n40755 0:0 sys/\n41777 0:0 tmp/\n"
                "40755 0:0 var/\n40755 0:0 webops/\n100444 0:0 etc/machine-id\n");
    cleanup_free char *kernel = NULL, *passwd = NULL;
    assert_int_equal(file_read(world->dir_fd, LAYER_KERNEL, 100, &kernel, NULL, &err), 0);
    assert_string_equal(kernel, "kernel");
    assert_int_equal(file_read(world->dir_fd, LAYER_PASSWD, 100, &passwd, NULL, &err), 0);
    assert_string_equal(passwd, "root:x:0:0::/root:/bin/sh\n");
}

static void test_second_kernel(void **state) {
    struct world *world = *state;
    static const struct given given[] = {{"boot/vmlinuz-1", S_IFREG | 0644, "a", NULL, NULL, 0},
                                         {"boot/vmlinuz-2", S_IFREG | 0644, "b", NULL, NULL, 0},
                                         {NULL, 0, NULL, NULL, NULL, 0}};
    struct err err = {0};
    assert_int_equal(normalise(world, (struct normalise_options){.base = true, .kernel = true}, given, 5, &err), -EEXIST);
    close(world->out_fd);
    assert_non_null(strstr(err.text, "second kernel"));
}

static void test_excluded_directories(void **state) {
    static const struct given given[] = {
        {"usr/share/doc/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"usr/share/doc/a/", S_IFDIR | 0750, NULL, NULL, NULL, 0},
        {"usr/share/doc/a/README", S_IFREG | 0644, "x", NULL, NULL, 0},
        {"usr/share/doc/a/copyright", S_IFREG | 0644, "c", NULL, NULL, 0},
        {"usr/share/doc/b/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"usr/share/doc/b/README", S_IFREG | 0644, "x", NULL, NULL, 0},
        {NULL, 0, NULL, NULL, NULL, 0},
    };
    char *patterns[] = {TEXT("/usr/share/doc/*"), TEXT("!/usr/share/doc/*/copyright")};
    struct strings exclude = {patterns, 2};
    expect_list(*state, given, (struct normalise_options){.exclude = &exclude},
                "40755 0:0 usr/\n40755 0:0 usr/share/\n40755 7:8 usr/share/doc/\n40750 7:8 usr/share/doc/a/\n"
                "100644 7:8 usr/share/doc/a/copyright = c\n");
}

static void test_whiteouts(void **state) {
    cleanup_index struct index lower = {0};
    index_add(&lower, "etc", S_IFDIR | 0711, 3, 4);
    index_add(&lower, "etc/gone", S_IFREG | 0644, 0, 0);
    index_add(&lower, "opt", S_IFDIR | 0755, 0, 0);
    index_add(&lower, "opt/dir", S_IFDIR | 0755, 0, 0);
    index_add(&lower, "opt/dir/deep", S_IFREG | 0644, 0, 0);
    index_add(&lower, "opt/kept", S_IFDIR | 0644, 0, 0);
    index_add(&lower, "opt/kept/old", S_IFREG | 0644, 0, 0);
    static const struct given given[] = {
        {"etc/gone", S_IFCHR | 0600, NULL, NULL, NULL, 0},
        {"etc/never-there", S_IFCHR | 0600, NULL, NULL, NULL, 0},
        {"opt/", S_IFDIR | 0755, NULL, NULL, "user.overlay.opaque", 0},
        {"opt/kept/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"opt/kept/new", S_IFREG | 0644, "n", NULL, NULL, 0},
        {NULL, 0, NULL, NULL, NULL, 0},
    };
    expect_list(*state, given, (struct normalise_options){.lower = &lower},
                "40711 3:4 etc/\n20600 7:8 etc/gone\n40755 7:8 opt/\n40755 7:8 opt/kept/\n100644 7:8 opt/kept/new = n\n"
                "20000 0:0 opt/dir\n20000 0:0 opt/kept/old\n");
}

static void test_refused(void **state) {
    static const struct {
        struct given given;
        const char *words;
    } cases[] = {
        {{"usr/disk", S_IFBLK | 0600, NULL, NULL, NULL, 5}, "/usr/disk: device nodes"},
        {{"usr/tty", S_IFCHR | 0600, NULL, NULL, NULL, 5}, "/usr/tty: device nodes"},
        {{"../escape", S_IFREG | 0644, "x", NULL, NULL, 0}, "leaves the tree"},
        {{"/absolute", S_IFREG | 0644, "x", NULL, NULL, 0}, "is absolute"},
        {{"usr/new\nline", S_IFREG | 0644, "x", NULL, NULL, 0}, "\\x0a"},
        {{"usr/b", S_IFREG | 0644, NULL, "usr/missing", NULL, 0}, "hard link to /usr/missing"},
        {{"usr/b", S_IFREG | 0644, NULL, "../outside", NULL, 0}, "leaves the tree"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct given given[2] = {cases[i].given, {0}};
        expect_refused(*state, given, cases[i].words);
    }
    static const struct given twice[] = {{"a", S_IFREG, "1", NULL, NULL, 0}, {"a", S_IFREG, "2", NULL, NULL, 0}, {0}};
    expect_refused(*state, twice, "comes twice");
    static const struct given below[] = {{"a", S_IFREG, "1", NULL, NULL, 0}, {"a/b", S_IFREG, "2", NULL, NULL, 0}, {0}};
    expect_refused(*state, below, "/a is not a directory");
}

static void test_invalid_utf8(void **state) {
    static const struct given given[] = {{"usr/\xff\xfe", S_IFREG | 0644, "x", NULL, NULL, 0}, {0}};
    expect_refused(*state, given, "UTF-8");
}

static char *raw(struct world *world, size_t *ret_size) {
    char *data;
    struct err err;
    assert_int_equal(file_read_fd(world->out_fd, "result", 1 << 20, &data, ret_size, &err), 0);
    close(world->out_fd);
    return data;
}

// Other times, other user names, the same bytes; the time zone and locale of the caller do not matter either.
static void test_deterministic(void **state) {
    struct world *world = *state;
    static const struct given given[] = {{"usr/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
                                         {"usr/gr\xc3\xbc\xc3\x9f", S_IFREG | 0644, "x", NULL, "user.z", 0},
                                         {NULL, 0, NULL, NULL, NULL, 0}};
    struct err err = {0};
    size_t size[2];
    assert_int_equal(normalise(world, (struct normalise_options){0}, given, 5, &err), 0);
    cleanup_free char *first = raw(world, &size[0]);
    setenv("TZ", "Asia/Tokyo", 1);
    setenv("LC_ALL", "C", 1);
    assert_int_equal(normalise(world, (struct normalise_options){0}, given, 1700000001, &err), 0);
    cleanup_free char *second = raw(world, &size[1]);
    unsetenv("TZ");
    unsetenv("LC_ALL");
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(first, second, size[0]);
}

static void test_truncated(void **state) {
    struct world *world = *state;
    static const struct given given[] = {{"a", S_IFREG | 0644, "0123456789", NULL, NULL, 0}, {0}};
    cleanup_fd int in = make_tar(given, 1);
    assert_int_equal(ftruncate(in, lseek(in, 0, SEEK_END) > 1027 ? 1027 : 515), 0);
    lseek(in, 0, SEEK_SET);
    cleanup_fd int out = memfd_create("out", MFD_CLOEXEC);
    cleanup_normalise struct normalise *n = NULL;
    struct err err = {0};
    assert_int_equal(normalise_open(&(struct normalise_options){.side_fd = world->dir_fd}, out, &n, &err), 0);
    assert_int_equal(normalise_stream(n, in, "test stream", &err), -ENODATA);
}

static void test_add_and_override(void **state) {
    struct world *world = *state;
    static const struct given given[] = {
        {"etc/a", S_IFREG | 0644, "package", NULL, NULL, 0}, {"etc/b", S_IFREG | 0644, "b", NULL, NULL, 0}, {0}};
    cleanup_fd int in = make_tar(given, 1);
    cleanup_normalise struct normalise *n = NULL;
    struct err err = {0};
    struct normalise_options options = {.epoch = 1000, .side_fd = -1};
    world->out_fd = memfd_create("out", MFD_CLOEXEC);
    assert_int_equal(normalise_open(&options, world->out_fd, &n, &err), 0);
    normalise_override(n, "etc/a");
    assert_int_equal(normalise_stream(n, in, "test stream", &err), 0);
    struct normalise_entry ours = {.path = "etc/a", .mode = S_IFREG | 0600, .data = "ours", .size = 4, .fd = -1};
    assert_int_equal(normalise_add(n, &ours, &err), 0);
    assert_int_equal(normalise_add(n, &ours, &err), -EEXIST);
    struct normalise_entry inside = {.path = "etc/b/c", .mode = S_IFREG | 0600, .data = "c", .size = 1, .fd = -1};
    assert_int_equal(normalise_add(n, &inside, &err), -ENOTDIR);
    assert_int_equal(normalise_finish(n, &err), 0);
    lseek(world->out_fd, 0, SEEK_SET);
    cleanup_free char *have = list(world);
    assert_string_equal(have, "40755 0:0 etc/\n100644 7:8 etc/b = b\n100600 0:0 etc/a = ours\n");
}

// Every entry gets the label of its final place, whatever it brought; what is not a file of its own gets none.
static void test_labels(void **state) {
    struct world *world = *state;
    struct err err = {0};
    static const char rules[] = "/.*\tu:r:any\n/bin(/.*)?\tu:r:bin\n/var(/.*)?\tu:r:var\n/proc\t<<none>>\n",
                      aliases[] = "/usr/share/factory/var /var\n";
    assert_int_equal(file_publish(world->dir_fd, "file_contexts", rules, strlen(rules), 0644, &err), 0);
    assert_int_equal(file_publish(world->dir_fd, "file_contexts.subs", aliases, strlen(aliases), 0644, &err), 0);
    static const struct given given[] = {
        {"./bin/a", S_IFREG | 0755, "a", NULL, "security.selinux", 0},
        {"./bin/b", S_IFREG | 0755, NULL, "./bin/a", NULL, 0},
        {"./bin/c", S_IFLNK | 0777, "a", NULL, NULL, 0},
        {"./bin/d", S_IFREG | 0755, "d", NULL, "security.capability", 0},
        {"./bin/gone", S_IFCHR, NULL, NULL, NULL, 0},
        {"./proc/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {"./var/log/", S_IFDIR | 0755, NULL, NULL, NULL, 0},
        {NULL, 0, NULL, NULL, NULL, 0},
    };
    cleanup_index struct index lower = {0};
    index_add(&lower, "bin", S_IFDIR | 0755, 0, 0);
    index_add(&lower, "bin/gone", S_IFREG | 0755, 0, 0);
    cleanup_labels struct labels *labels = labels_new(world->dir);
    expect_list(world, given, (struct normalise_options){.labels = labels, .lower = &lower},
                "40755 0:0 bin/ {u:r:bin}\n"
                "100755 7:8 bin/a = a {u:r:bin}\n"
                "755 7:8 bin/b == bin/a\n"
                "120777 7:8 bin/c -> a {u:r:bin}\n"
                "100755 7:8 bin/d = d {security.capability} {u:r:bin}\n"
                "20000 7:8 bin/gone\n"
                "40755 7:8 proc/\n"
                "40755 0:0 usr/ {u:r:any}\n"
                "40755 0:0 usr/share/ {u:r:any}\n"
                "40755 0:0 usr/share/factory/ {u:r:any}\n"
                "40755 0:0 usr/share/factory/var/ {u:r:var}\n"
                "40755 7:8 usr/share/factory/var/log/ {u:r:var}\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_renames),
        cmocka_unit_test(test_clean_path),
        cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(test_base, setup, teardown),
        cmocka_unit_test_setup_teardown(test_second_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_excluded_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whiteouts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalid_utf8, setup, teardown),
        cmocka_unit_test_setup_teardown(test_deterministic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add_and_override, setup, teardown),
        cmocka_unit_test_setup_teardown(test_labels, setup, teardown),
    };
    return cmocka_run_group_tests_name("normalise", tests, NULL, NULL);
}
