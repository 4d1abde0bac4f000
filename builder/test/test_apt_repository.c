// SPDX-License-Identifier: Apache-2.0
// The apt backend against a small signed archive made here: fingerprint, resolving, layers, downloads, and every refusal that matters: wrong
// key, missing package, damaged file, unreachable mirror, second version below.
#include "builder/test/archive.h"
#include "common/digest.h"

static const struct archive_package archive_packages[] = {
    {"core", "1.0", "Essential: yes\nDepends: lib (>= 2)\n"},
    {"lib", "2:2.5-1", ""},
    {"kernel", "6", "Depends: generator | generator-provider\n"},
    {"generator", "1", "Provides: generator-provider\n"},
    {"web", "1", "Depends: lib, web-data\nRecommends: web-doc\n"},
    {"web-data", "1", ""},
    {"web-doc", "1", ""},
    {"hostile", "1", "Conflicts: lib\n"},
};

static int begin(void **state) {
    (void)state;
    archive_begin(archive_packages, ARRAY_SIZE(archive_packages));
    return 0;
}

static int setup(void **state) {
    struct archive_fixture *f = mem_array(1, sizeof(*f));
    void *scratch;
    scratch_setup(&scratch);
    f->scratch = scratch;
    cleanup_free char *archive = scratch_file(archive_template.scratch, "mirror");
    run_tool(RUN_ARGV("cp", "-a", archive, f->scratch->path));
    f->pool = scratch_file(f->scratch, "mirror/debian/pool");
    f->packages = make_dir(f->scratch, "packages");
    f->metadata = make_dir(f->scratch, "metadata");
    f->mirror = str_printf("file://%s/mirror/debian", f->scratch->path);
    f->keyring = scratch_file(archive_template.scratch, "good.gpg");
    f->dirs = (struct package_dirs){.metadata = f->metadata, .packages = f->packages};
    f->suites[0] = TEXT("test");
    f->components[0] = TEXT("main");
    f->base[0] = TEXT("kernel");
    f->stand_ins[0] = TEXT("generator");
    f->source = (struct recipe_source){
        .archive = TEXT("debian"), .mirror = f->mirror, .suites = {f->suites, 1}, .components = {f->components, 1}, .keyring = f->keyring};
    f->image = (struct recipe_image){.id = TEXT("tiny"),
                                     .architecture = TEXT("amd64"),
                                     .sources = &f->source,
                                     .source_count = 1,
                                     .packages = {f->base, 1},
                                     .stand_ins = {f->stand_ins, 1}};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct archive_fixture *f = *state;
    void *scratch = f->scratch;
    free(f->pool);
    free(f->packages);
    free(f->metadata);
    free(f->mirror);
    free(f->keyring);
    free(f);
    return scratch_teardown(&scratch);
}

static void resolve_base(struct archive_fixture *f, struct package_set *set) {
    struct err err = {0};
    assert_ok(apt_resolve(&f->image, &f->dirs, NULL, NULL, 0, set, &err));
}

static void test_resolve_base(void **state) {
    struct archive_fixture *f = *state;
    cleanup_package_set struct package_set set = {0};
    resolve_base(f, &set);
    assert_int_equal(set.count, 4);
    assert_non_null(package_set_find(&set, "core"));
    assert_string_equal(package_set_find(&set, "lib")->version, "2:2.5-1");
    assert_non_null(package_set_find(&set, "kernel"));
    assert_non_null(package_set_find(&set, "webops-stand-in-generator"));
    assert_null(package_set_find(&set, "generator"));
}

static void test_layer_and_download(void **state) {
    struct archive_fixture *f = *state;
    cleanup_package_set struct package_set base = {0}, layer = {0}, nothing = {0};
    char *web[] = {TEXT("web"), TEXT("core")};
    struct strings wanted = {web, 2}, known = {web + 1, 1};
    const struct package_set *parents[] = {&base};
    struct err err = {0};
    unsigned fetched = 9;
    resolve_base(f, &base);
    assert_ok(apt_resolve(&f->image, &f->dirs, &wanted, parents, 1, &layer, &err));
    assert_int_equal(layer.count, 2); // no recommended package, nothing of the base again
    assert_non_null(package_set_find(&layer, "web-data"));
    assert_ok(apt_resolve(&f->image, &f->dirs, &known, parents, 1, &nothing, &err));
    assert_int_equal(nothing.count, 0);
    assert_ok(apt_download(&f->image, &f->dirs, &layer, &fetched, &err));
    assert_int_equal(fetched, 2);
    assert_ok(apt_download(&f->image, &f->dirs, &base, &fetched, &err));
    assert_int_equal(fetched, 4);
    assert_ok(apt_download(&f->image, &f->dirs, &base, &fetched, &err));
    assert_int_equal(fetched, 0);
    cleanup_free char *damaged = str_printf("%s/%s", f->packages, package_set_find(&base, "lib")->sha256);
    put_file(damaged, "broken", 6);
    assert_ok(apt_download(&f->image, &f->dirs, &base, &fetched, &err));
    assert_int_equal(fetched, 1);
}

static void test_local_repository(void **state) {
    struct archive_fixture *f = *state;
    cleanup_package_set struct package_set base = {0};
    struct err err = {0};
    resolve_base(f, &base);
    assert_ok(apt_download(&f->image, &f->dirs, &base, NULL, &err));
    cleanup_free char *dir = scratch_file(f->scratch, "repository"), *index = str_printf("%s/Packages", dir), *text = NULL;
    assert_ok(deb_repository(dir, f->packages, &base, &err));
    assert_ok(file_read(AT_FDCWD, index, 1 << 20, &text, NULL, &err));
    assert_contains(text, "Package: core\n");
    assert_contains(text, "Filename: ./lib_2%3a2.5-1_amd64.deb\n");
    assert_contains(text, "Provides: generator\n");
    assert_contains(text, base.packages[0].sha256);
}

static void expect_unresolved(struct archive_fixture *f, const char *package, int code, const char *words) {
    struct package_set set = {0};
    struct err err = {0};
    char *items[] = {TEXT(package)};
    struct strings wanted = {items, 1};
    assert_int_equal(apt_resolve(&f->image, &f->dirs, &wanted, NULL, 0, &set, &err), code);
    assert_contains(err.text, words);
    assert_null(set.packages);
}

static void test_missing_package(void **state) {
    expect_unresolved(*state, "no-such-package", -EIO, "Unable to locate package no-such-package");
}

static void test_wrong_key(void **state) {
    struct archive_fixture *f = *state;
    archive_sign(f->scratch, "bad@test.invalid");
    expect_unresolved(f, "web", -EIO, "refreshing the package lists: one is not signed by a key of `keyring` in images/tiny.yaml");
    expect_unresolved(f, "web", -EIO, "NO_PUBKEY");
    expect_unresolved(f, "web", -EIO, "/mirror/debian test InRelease' is not signed");
}

static void test_unsigned(void **state) {
    struct archive_fixture *f = *state;
    struct err err = {0};
    cleanup_free char *release = scratch_file(f->scratch, "mirror/debian/dists/test/Release"), *text = NULL;
    cleanup_free char *signed_file = scratch_file(f->scratch, "mirror/debian/dists/test/InRelease");
    assert_ok(file_read(AT_FDCWD, release, 1 << 16, &text, NULL, &err));
    put_file(signed_file, text, strlen(text));
    expect_unresolved(f, "web", -EIO, "refreshing the package lists: apt-get");
    expect_unresolved(f, "web", -EIO, "is not signed");
}

static void test_conflict_below(void **state) {
    struct archive_fixture *f = *state;
    cleanup_package_set struct package_set base = {0};
    struct package_set layer = {0};
    char *hostile[] = {TEXT("hostile")};
    struct strings wanted = {hostile, 1};
    const struct package_set *parents[] = {&base};
    struct err err = {0};
    resolve_base(f, &base);
    assert_true(apt_resolve(&f->image, &f->dirs, &wanted, parents, 1, &layer, &err) < 0);
    assert_contains(err.text, "resolving packages");
    assert_null(layer.packages);
}

// Ubuntu builds many of Debian's packages anew under the same name and version: builds of both use one cache, also at once.
static void test_same_name_other_content(void **state) {
    struct archive_fixture *f = *state;
    cleanup_package_set struct package_set base = {0}, other = {0};
    struct err err = {0};
    unsigned fetched = 9;
    cleanup_buf struct buf index = {0};
    resolve_base(f, &base);
    assert_ok(apt_download(&f->image, &f->dirs, &base, NULL, &err));
    archive_add(f->pool, "core", "1.0", "Essential: yes\nSection: rebuilt\n", &index);
    archive_add(f->pool, "kernel", "6", "", &index);
    archive_release(f->scratch, &index, "good@test.invalid");
    resolve_base(f, &other);
    assert_string_equal(package_set_find(&base, "core")->file, package_set_find(&other, "core")->file);
    assert_string_not_equal(package_set_find(&base, "core")->sha256, package_set_find(&other, "core")->sha256);
    assert_ok(apt_download(&f->image, &f->dirs, &other, &fetched, &err));
    assert_int_equal(fetched, 2);
    assert_ok(apt_download(&f->image, &f->dirs, &base, &fetched, &err));
    assert_int_equal(fetched, 0); // they are still there, and right
    cleanup_free char *repository = scratch_file(f->scratch, "repository");
    assert_ok(deb_repository(repository, f->packages, &base, &err));
}

// A package that was changed behind the signed index.
static void test_damaged_archive(void **state) {
    struct archive_fixture *f = *state;
    cleanup_package_set struct package_set base = {0};
    struct err err = {0};
    resolve_base(f, &base);
    cleanup_free char *path = str_printf("%s/core_1.0_amd64.deb", f->pool);
    put_file(path, "evil", 4);
    assert_true(apt_download(&f->image, &f->dirs, &base, NULL, &err) < 0);
    cleanup_free char *taken = str_printf("%s/%s", f->packages, package_set_find(&base, "core")->sha256);
    assert_false(file_exists(AT_FDCWD, taken));
}

static void test_fingerprint(void **state) {
    struct archive_fixture *f = *state;
    char first[FINGERPRINT_HEX_BYTES], second[FINGERPRINT_HEX_BYTES];
    struct err err = {0};
    assert_int_equal(apt_fingerprint(&f->image, &f->dirs, -1, first, &err), -EAGAIN);
    assert_contains(err.text, "offline");
    assert_ok(apt_fingerprint(&f->image, &f->dirs, 0, first, &err));
    assert_ok(apt_fingerprint(&f->image, &f->dirs, 0, second, &err));
    assert_string_equal(first, second);
    archive_sign(f->scratch, "bad@test.invalid"); // other bytes
    assert_ok(apt_fingerprint(&f->image, &f->dirs, 3600, second, &err)); // not asked again
    assert_string_equal(first, second);
    assert_ok(apt_fingerprint(&f->image, &f->dirs, 0, second, &err));
    assert_string_not_equal(first, second);
    assert_ok(apt_fingerprint(&f->image, &f->dirs, -1, first, &err));
    assert_string_equal(first, second);
}

static void test_unreachable(void **state) {
    struct archive_fixture *f = *state;
    char hex[FINGERPRINT_HEX_BYTES];
    struct err err = {0};
    f->source.mirror = TEXT("http://127.0.0.1:9/debian");
    assert_int_equal(apt_fingerprint(&f->image, &f->dirs, 0, hex, &err), -EAGAIN);
    assert_contains(err.text, "http://127.0.0.1:9/debian/dists/test/InRelease");
    f->source.mirror = f->mirror;
    f->source.keyring = TEXT("/nonexistent.gpg");
    assert_int_equal(apt_fingerprint(&f->image, &f->dirs, 0, hex, &err), -ENOENT);
    assert_contains(err.text, "keyring of debian");
}

static void test_stand_in(void **state) {
    struct archive_fixture *f = *state;
    struct err err = {0};
    char first[65], second[65];
    uint64_t size;
    for (int i = 0; i < 2; i++) {
        cleanup_free char *file = NULL;
        mode_t before = umask(i ? 077 : 022);
        assert_ok(deb_stand_in(f->packages, "thing", &file, &err));
        umask(before);
        assert_string_equal(file, "webops-stand-in-thing_1_all.deb");
        cleanup_free char *path = str_printf("%s/%s", f->packages, file);
        assert_ok(digest_file(AT_FDCWD, path, i ? second : first, &size, &err));
    }
    assert_string_equal(first, second);
}

// The mirror is there, and is not asked.
static void test_offline(void **state) {
    struct archive_fixture *f = *state;
    char hex[FINGERPRINT_HEX_BYTES];
    cleanup_package_set struct package_set base = {0};
    struct package_set none = {0};
    struct err err = {0};
    f->dirs.is_offline = true;
    assert_int_equal(apt_resolve(&f->image, &f->dirs, NULL, NULL, 0, &none, &err), -EAGAIN);
    assert_contains(err.text, "was never fetched");
    assert_ok(apt_fingerprint(&f->image, &f->dirs, 0, hex, &err));
    assert_int_equal(apt_resolve(&f->image, &f->dirs, NULL, NULL, 0, &none, &err), -EAGAIN);
    assert_contains(err.text, "image tiny: apt has no package lists of what the mirrors offered last");
    f->dirs.is_offline = false;
    resolve_base(f, &base);
    f->dirs.is_offline = true;
    assert_int_equal(apt_download(&f->image, &f->dirs, &base, NULL, &err), -EAGAIN);
    assert_contains(err.text, "package core 1.0 is not in the cache");
    f->dirs.is_offline = false;
    assert_ok(apt_download(&f->image, &f->dirs, &base, NULL, &err));
    f->dirs.is_offline = true;
    assert_ok(apt_download(&f->image, &f->dirs, &base, NULL, &err));
}

// A mirror of a day in the past says until when it was meant to be used.
static void test_snapshot(void **state) {
    struct archive_fixture *f = *state;
    struct err err = {0};
    cleanup_free char *release = scratch_file(f->scratch, "mirror/debian/dists/test/Release"), *text = NULL;
    cleanup_package_set struct package_set base = {0};
    assert_ok(file_read(AT_FDCWD, release, 1 << 16, &text, NULL, &err));
    cleanup_free char *expired = str_printf("Valid-Until: Sat, 03 Jan 2015 00:00:00 UTC\n%s", text);
    put_file(release, expired, strlen(expired));
    archive_sign(f->scratch, "good@test.invalid");
    expect_unresolved(f, "web", -ESTALE, "was to be used until Sat, 03 Jan 2015 00:00:00 UTC");
    f->source.snapshot = true;
    resolve_base(f, &base);
    assert_true(base.count > 0);
}

// What a lock file names and the archive has lost.
static void test_version_that_left(void **state) {
    struct archive_fixture *f = *state;
    struct err err = {0};
    cleanup_package_set struct package_set base = {0};
    resolve_base(f, &base);
    free(base.packages[0].version);
    base.packages[0].version = str_dup("0.1");
    base.packages[0].sha256[0] = base.packages[0].sha256[0] == 'a' ? 'b' : 'a';
    cleanup_free char *says = str_printf("the mirrors do not offer (any more): %s=0.1; name a snapshot mirror", base.packages[0].name);
    assert_int_equal(apt_download(&f->image, &f->dirs, &base, NULL, &err), -ENOENT);
    assert_contains(err.text, says);
}

// A lock file of today, and a cache whose package lists are of last month: no reason to say that the mirrors have nothing of it.
static void test_lists_older_than_the_set(void **state) {
    struct archive_fixture *f = *state;
    struct err err = {0};
    cleanup_package_set struct package_set base = {0}, later = {0};
    cleanup_buf struct buf index = {0};
    cleanup_free char *elsewhere = make_dir(f->scratch, "elsewhere");
    const struct package_dirs other = {.metadata = elsewhere, .packages = elsewhere};
    unsigned fetched = 0;
    resolve_base(f, &base);
    archive_add(f->pool, "core", "1.1", "Essential: yes\n", &index);
    archive_add(f->pool, "kernel", "6", "", &index);
    archive_release(f->scratch, &index, "good@test.invalid");
    assert_ok(apt_resolve(&f->image, &other, NULL, NULL, 0, &later, &err));
    assert_string_equal(package_set_find(&later, "core")->version, "1.1");
    assert_ok(apt_download(&f->image, &f->dirs, &later, &fetched, &err));
    assert_int_equal(fetched, later.count);
}

static void test_not_a_package(void **state) {
    struct archive_fixture *f = *state;
    cleanup_free char *path = scratch_file(f->scratch, "x.deb");
    static const char *const bad[] = {"", "hello", "!<arch>\n",
                                      "!<arch>\ndebian-binary   0           0     0     100644  4         `\n2.0\n"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        cleanup_buf struct buf control = {0};
        struct err err = {0};
        put_file(path, bad[i], strlen(bad[i]));
        assert_int_equal(deb_control(AT_FDCWD, path, &control, &err), -EINVAL);
        assert_contains(err.text, "x.deb");
    }
}

#define with_archive(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_archive(test_resolve_base),
        with_archive(test_layer_and_download),
        with_archive(test_local_repository),
        with_archive(test_missing_package),
        with_archive(test_wrong_key),
        with_archive(test_unsigned),
        with_archive(test_conflict_below),
        with_archive(test_damaged_archive),
        with_archive(test_fingerprint),
        with_archive(test_unreachable),
        with_archive(test_stand_in),
        with_archive(test_not_a_package),
        with_archive(test_snapshot),
        with_archive(test_offline),
        with_archive(test_version_that_left),
        with_archive(test_same_name_other_content),
        with_archive(test_lists_older_than_the_set),
    };
    return cmocka_run_group_tests_name("apt_repository", tests, begin, archive_end);
}
