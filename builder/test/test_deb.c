// SPDX-License-Identifier: Apache-2.0
// .deb files as dpkg-deb makes them, in each compression; what is no .deb; repositories and private apt configurations made of them.
#include "builder/deb.h"
#include "common/digest.h"
#include "builder/test/support.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define CONTROL "Package: a\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: test\n more\n"

// Builds <name>.deb in the scratch directory; the caller frees its path.
static char *make_deb(struct scratch *scratch, const char *name, const char *compression, const char *control) {
    struct err err = {0};
    cleanup_free char *tree = scratch_file(scratch, "tree"), *dir = str_printf("%s/DEBIAN", tree), *file = str_printf("%s/control", dir);
    cleanup_free char *other = str_printf("%s/conffiles", dir), *conf = str_printf("%s/etc/a.conf", tree),
                      *etc = str_printf("%s/etc", tree);
    char *path = str_printf("%s/%s.deb", scratch->path, name);
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    assert_ok(file_mkdirs(AT_FDCWD, etc, 0755, &err));
    assert_int_equal(chmod(dir, 0755), 0);
    put_file(file, control, strlen(control));
    put_file(other, "/etc/a.conf\n", 12);
    put_file(conf, "x", 1);
    struct run run = {.argv = RUN_ARGV("dpkg-deb", compression, "--root-owner-group", "--build", tree, path)};
    assert_ok(run_quiet(&run, &err));
    return path;
}

static void test_control(void **state) {
    struct scratch *scratch = *state;
    static const char *const compressions[] = {"-Znone", "-Zgzip", "-Zxz", "-Zzstd"};
    for (size_t i = 0; i < ARRAY_SIZE(compressions); i++) {
        cleanup_free char *path = make_deb(scratch, compressions[i] + 2, compressions[i], CONTROL);
        cleanup_buf struct buf control = {0};
        struct err err = {0};
        assert_ok(deb_control(AT_FDCWD, path, &control, &err));
        assert_string_equal(buf_str(&control), CONTROL);
    }
    // Blank lines at the end would cut the index in two.
    cleanup_free char *path = make_deb(scratch, "blank", "-Znone", CONTROL "\n\n");
    cleanup_buf struct buf control = {0};
    struct err err = {0};
    assert_ok(deb_control(AT_FDCWD, path, &control, &err));
    assert_string_equal(buf_str(&control), CONTROL);
}

// Cut anywhere before the end of its control member, a package is refused by name.
static void test_truncated(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *path = make_deb(scratch, "whole", "-Znone", CONTROL), *cut = scratch_file(scratch, "cut.deb"), *data = NULL;
    struct err err = {0};
    size_t size;
    assert_ok(file_read(AT_FDCWD, path, 1 << 20, &data, &size, &err));
    const char *member = memmem(data, size, "control.tar", 11), *text = memmem(data, size, CONTROL, strlen(CONTROL));
    assert_true(member && text);
    size_t end = (size_t)(text - data) + strlen(CONTROL);
    for (size_t length = 0; length < end; length += length < 200 ? 7 : 131) {
        cleanup_buf struct buf control = {0};
        put_file(cut, data, length);
        assert_int_equal(deb_control(AT_FDCWD, cut, &control, &err), -EINVAL);
        assert_contains(err.text, "cut.deb");
    }
}

static void test_not_there(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *path = scratch_file(scratch, "none.deb");
    cleanup_buf struct buf control = {0};
    struct err err = {0};
    char sha256[65];
    uint64_t size;
    assert_int_equal(deb_control(AT_FDCWD, path, &control, &err), -ENOENT);
    assert_contains(err.text, path);
    assert_int_equal(digest_file(AT_FDCWD, path, sha256, &size, &err), -ENOENT);
    assert_contains(err.text, path);
    assert_int_equal(deb_control(AT_FDCWD, scratch->path, &control, &err), -EINVAL); // a directory
}

static void test_hash(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *path = scratch_file(scratch, "x");
    struct err err = {0};
    char sha256[65];
    uint64_t size = 9;
    put_file(path, "hello", 5);
    assert_ok(digest_file(AT_FDCWD, path, sha256, &size, &err));
    assert_string_equal(sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_int_equal(size, 5);
    assert_ok(digest_file(scratch->fd, "x", sha256, &size, &err));
}

// dpkg-deb reads the stand-in back; nothing but the package itself is left behind.
static void test_stand_in(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *file = NULL;
    assert_ok(deb_stand_in(scratch->path, "linux-initramfs-tool", &file, &err));
    cleanup_free char *path = scratch_file(scratch, file);
    cleanup_free char *fields = tool(RUN_ARGV("dpkg-deb", "--field", path, "Package", "Version", "Architecture", "Provides"));
    assert_string_equal(fields, "Package: webops-stand-in-linux-initramfs-tool\nVersion: 1\nArchitecture: all\nProvides: "
                                "linux-initramfs-tool\n");
    cleanup_free char *list = tool(RUN_ARGV("dpkg-deb", "--contents", path));
    assert_null(strstr(list, "/usr"));
    assert_contains(list, "root/root");
    cleanup_free char *left = tool(RUN_ARGV("find", scratch->path, "-mindepth", "1", "-printf", "%f\n"));
    cleanup_free char *only = str_printf("%s\n", file);
    assert_string_equal(left, only);
}

static void test_stand_in_refused(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    char *file = NULL;
    assert_true(deb_stand_in(scratch->path, "Bad Name", &file, &err) < 0); // dpkg-deb says why
    assert_contains(err.text, "dpkg-deb");
    cleanup_free char *nowhere = scratch_file(scratch, "none");
    assert_true(deb_stand_in(nowhere, "good", &file, &err) < 0);
    assert_null(file);
}

static struct package package_of(const char *file, const char *sha256, uint64_t size) {
    return (struct package){.name = TEXT("a"), .version = TEXT("1"), .file = TEXT(file), .sha256 = TEXT(sha256), .size_bytes = size};
}

// The index carries the set's hashes, not the files': a package that was changed afterwards must not pass.
static void test_repository(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *one = make_deb(scratch, "one", "-Znone", CONTROL), *dir = scratch_file(scratch, "new/repository");
    cleanup_free char *kept = scratch_file(scratch, "feedbeef"), *also_kept = scratch_file(scratch, "cafe");
    struct err err = {0};
    struct package packages[] = {package_of("one.deb", "feedbeef", 4711), package_of("one-again.deb", "cafe", 1)};
    cleanup_free char *index = str_printf("%s/Packages", dir), *text = NULL;
    assert_int_equal(link(one, also_kept), 0);
    assert_int_equal(rename(one, kept), 0);
    assert_ok(deb_repository(dir, scratch->path, &(struct package_set){packages, 2}, &err));
    assert_ok(file_read(AT_FDCWD, index, 1 << 20, &text, NULL, &err));
    assert_string_equal(text, CONTROL "Filename: ./one.deb\nSize: 4711\nSHA256: feedbeef\n\n" CONTROL
                                      "Filename: ./one-again.deb\nSize: 1\nSHA256: cafe\n\n");
    char target[256] = "";
    cleanup_free char *entry = str_printf("%s/one.deb", dir);
    assert_true(readlink(entry, target, sizeof(target) - 1) > 0);
    assert_string_equal(target, kept);
}

static void test_repository_refused(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *dir = scratch_file(scratch, "repository"), *index = str_printf("%s/Packages", dir);
    cleanup_free char *bad = scratch_file(scratch, "bb"), *good = make_deb(scratch, "good", "-Znone", CONTROL),
                      *kept = scratch_file(scratch, "aa");
    put_file(bad, "junk", 4);
    assert_int_equal(rename(good, kept), 0);
    struct package packages[] = {package_of("good.deb", "aa", 1), package_of("bad.deb", "bb", 4)};
    assert_int_equal(deb_repository(dir, scratch->path, &(struct package_set){packages, 2}, &err), -EINVAL);
    assert_contains(err.text, "bad.deb");
    assert_false(file_exists(AT_FDCWD, index)); // no index of half a set
    packages[1] = package_of("gone.deb", "cc", 4);
    assert_int_equal(deb_repository(bad, scratch->path, &(struct package_set){packages, 2}, &err), -ENOTDIR);
    cleanup_free char *second = scratch_file(scratch, "second");
    assert_int_equal(deb_repository(second, scratch->path, &(struct package_set){packages, 2}, &err), -ENOENT);
    assert_contains(err.text, "gone.deb");
}

static void test_empty_repository(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *dir = scratch_file(scratch, "repository"), *index = str_printf("%s/Packages", dir), *text = NULL;
    assert_ok(deb_repository(dir, scratch->path, &(struct package_set){0}, &err));
    assert_ok(file_read(AT_FDCWD, index, 10, &text, NULL, &err));
    assert_string_equal(text, "");
}

// apt itself says what it makes of the configuration: nothing of the host's.
static void test_apt_root(void **state) {
    struct scratch *scratch = *state;
    static const struct {
        const char *name, *value; // value: below the root, or absolute
    } expected[] = {
        {"Dir::State::lists/f", "lists"},
        {"Dir::State::status/f", "status"},
        {"Dir::Cache::archives/f", "archives"},
        {"Dir::Etc::sourcelist/f", "sources.list"},
        {"Dir::Etc::sourceparts/f", "/dev/null"},
        {"Dir::Etc::trustedparts/f", "/dev/null"},
        {"Dir::Etc::preferencesparts/f", "/dev/null"},
    };
    struct err err = {0};
    cleanup_free char *dir = scratch_file(scratch, "root"), *conf = str_printf("%s/apt.conf", dir);
    const struct apt_root_options options = {.dir = dir, .architecture = "arm64", .sources = "deb http://x.test/debian a main\n"};
    assert_ok(apt_root_make(&options, &err));
    assert_ok(apt_root_make(&options, &err)); // the next build uses it again
    setenv("APT_CONFIG", conf, 1);
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
        cleanup_free char *have = tool(RUN_ARGV("apt-config", "shell", "X", expected[i].name));
        cleanup_free char *line =
            expected[i].value[0] == '/' ? str_printf("X='%s'\n", expected[i].value) : str_printf("X='%s/%s'\n", dir, expected[i].value);
        size_t size = strlen(have);
        if (size > 3 && have[size - 3] == '/') // a directory
            memmove(have + size - 3, have + size - 2, 3);
        assert_string_equal(have, line);
    }
    cleanup_free char *dump = tool(RUN_ARGV("apt-config", "dump"));
    unsetenv("APT_CONFIG");
    assert_contains(dump, "APT::Architecture \"arm64\";");
    assert_contains(dump, "APT::Install-Recommends \"false\";");
    assert_null(strstr(dump, "DPkg::Chroot-Directory"));
    cleanup_free char *sources = str_printf("%s/sources.list", dir), *text = NULL;
    assert_ok(file_read(AT_FDCWD, sources, 100, &text, NULL, &err));
    assert_string_equal(text, options.sources);
}

static void test_apt_root_with_chroot(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *dir = scratch_file(scratch, "root"), *conf = str_printf("%s/apt.conf", dir), *status = str_printf("%s/status", dir);
    cleanup_free char *archives = scratch_file(scratch, "debs"), *partial = str_printf("%s/partial", archives), *text = NULL;
    const struct apt_root_options options = {
        .dir = dir, .architecture = "amd64", .sources = "", .status = "/target/status", .archives = archives, .chroot = "/target"};
    assert_ok(apt_root_make(&options, &err));
    assert_ok(file_read(AT_FDCWD, conf, 1 << 16, &text, NULL, &err));
    assert_contains(text, "Dir::State::status \"/target/status\";");
    assert_contains(text, "DPkg::Chroot-Directory \"/target\";");
    assert_false(file_exists(AT_FDCWD, status)); // not ours to make
    assert_true(file_exists(AT_FDCWD, partial));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_control),
        TEST(test_truncated),
        TEST(test_not_there),
        TEST(test_hash),
        TEST(test_stand_in),
        TEST(test_repository),
        TEST(test_repository_refused),
        TEST(test_empty_repository),
        TEST(test_stand_in_refused),
        TEST(test_apt_root),
        TEST(test_apt_root_with_chroot),
    };
    return cmocka_run_group_tests_name("deb", tests, NULL, NULL);
}
