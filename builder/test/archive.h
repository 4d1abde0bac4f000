// SPDX-License-Identifier: Apache-2.0
// A small apt archive signed with a key of its own. Making keys and packages is slow, so it happens once per program (archive_begin); each
// test works on a copy (archive_setup).
#pragma once
#include "builder/apt.h"
#include "common/digest.h"
#include "builder/deb.h"
#include "builder/test/support.h"
#include <time.h>

#define TEXT(s) ((char *)(uintptr_t)(s))

struct archive_fixture {
    struct scratch *scratch;
    char *pool, *packages, *metadata, *mirror, *keyring;
    struct package_dirs dirs;
    struct recipe_source source;
    char *suites[1], *components[1], *base[1], *stand_ins[1];
    struct recipe_image image;
};

static struct archive_template {
    struct scratch *scratch;
    char *home; // of gpg: keys good@test.invalid and bad@test.invalid; good.gpg and bad.gpg are their public halves
} archive_template;

static inline void run_tool(const char *const *argv) {
    struct err err = {0};
    struct run run = {.argv = argv};
    assert_ok(run_quiet(&run, &err));
}

static inline char *make_dir(struct scratch *scratch, const char *name) {
    struct err err = {0};
    assert_ok(file_mkdirs(scratch->fd, name, 0700, &err));
    return scratch_file(scratch, name);
}

// One package of the archive in `pool`, and its paragraph of the index; `fields` are more control lines.
static inline void archive_add(const char *pool, const char *name, const char *version, const char *fields, struct buf *index) {
    struct scratch *scratch = archive_template.scratch;
    cleanup_free char *tree = make_dir(scratch, "tree/DEBIAN"), *control = str_printf("%s/control", tree);
    cleanup_free char *top = scratch_file(scratch, "tree"), *file = str_printf("%s_%s_amd64.deb", name, version);
    cleanup_free char *path = str_printf("%s/%s", pool, file);
    cleanup_buf struct buf text = {0}, read_back = {0};
    struct err err = {0};
    char sha256[65];
    uint64_t size;
    assert_int_equal(chmod(tree, 0755), 0);
    buf_printf(&text, "Package: %s\nVersion: %s\nArchitecture: amd64\nMaintainer: x <x@x>\n%sDescription: test\n", name, version, fields);
    put_file(control, buf_str(&text), text.size);
    run_tool(RUN_ARGV("dpkg-deb", "-Znone", "--root-owner-group", "--build", top, path));
    assert_ok(deb_control(AT_FDCWD, path, &read_back, &err));
    assert_string_equal(buf_str(&read_back), buf_str(&text));
    assert_ok(digest_file(AT_FDCWD, path, sha256, &size, &err));
    buf_printf(index, "%sFilename: pool/%s\nSize: %llu\nSHA256: %s\n\n", buf_str(&read_back), file, (unsigned long long)size, sha256);
}

// Signs `root`/mirror/debian/dists/test/Release.
static inline void archive_sign(const struct scratch *root, const char *key) {
    cleanup_free char *release = scratch_file(root, "mirror/debian/dists/test/Release");
    cleanup_free char *signed_file = scratch_file(root, "mirror/debian/dists/test/InRelease");
    run_tool(RUN_ARGV("gpg", "--homedir", archive_template.home, "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "",
                      "-u", key, "--clearsign", "-o", signed_file, release));
}

static inline void archive_release(const struct scratch *root, const struct buf *index, const char *key) {
    cleanup_free char *packages = scratch_file(root, "mirror/debian/dists/test/main/binary-amd64/Packages");
    cleanup_free char *release = scratch_file(root, "mirror/debian/dists/test/Release");
    struct err err = {0};
    char sha256[65], date[64];
    uint64_t size;
    time_t now = time(NULL);
    struct tm utc;
    put_file(packages, buf_str(index), index->size);
    assert_ok(digest_file(AT_FDCWD, packages, sha256, &size, &err));
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S UTC", gmtime_r(&now, &utc));
    cleanup_free char *text =
        str_printf("Origin: test\nSuite: test\nCodename: test\nDate: %s\nArchitectures: amd64\nComponents: main\nSHA256:\n"
                   " %s %llu main/binary-amd64/Packages\n",
                   date, sha256, (unsigned long long)size);
    put_file(release, text, strlen(text));
    archive_sign(root, key);
}

static inline void archive_make_keys(void) {
    static const char *const names[] = {"good", "bad"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_free char *address = str_printf("%s@test.invalid", names[i]), *name = str_printf("%s.gpg", names[i]);
        cleanup_free char *file = scratch_file(archive_template.scratch, name);
        run_tool(RUN_ARGV("gpg", "--homedir", archive_template.home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "",
                          "--quick-gen-key", address, "ed25519", "sign", "0"));
        run_tool(RUN_ARGV("gpg", "--homedir", archive_template.home, "--batch", "-o", file, "--export", address));
    }
}

struct archive_package {
    const char *name, *version, *fields;
};

// Group setup: keys, and an archive of these packages. archive_end() is its teardown.
static inline void archive_begin(const struct archive_package *packages, size_t count) {
    void *scratch;
    scratch_setup(&scratch);
    archive_template.scratch = scratch;
    archive_template.home = make_dir(scratch, "gpg");
    archive_make_keys();
    cleanup_free char *dists = make_dir(scratch, "mirror/debian/dists/test/main/binary-amd64"),
                      *pool = make_dir(scratch, "mirror/debian/pool");
    cleanup_buf struct buf index = {0};
    for (size_t i = 0; i < count; i++)
        archive_add(pool, packages[i].name, packages[i].version, packages[i].fields, &index);
    archive_release(scratch, &index, "good@test.invalid");
}

static inline int archive_end(void **state) {
    void *scratch = archive_template.scratch;
    (void)state;
    run_tool(RUN_ARGV("gpgconf", "--homedir", archive_template.home, "--kill", "all"));
    free(archive_template.home);
    return scratch_teardown(&scratch);
}
