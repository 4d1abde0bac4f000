// SPDX-License-Identifier: Apache-2.0
// What `webops update` was pointed at, and where a channel's bundle lies.
#include "firstboot/test/support.h"
#include "common/test/manifest_seed.h"
#include "firstboot/update/bootfiles.h"
#include "firstboot/update/efivar.h"
#include "firstboot/update/locate.h"
#include <errno.h>

static struct err failure;

static void places_are_told_apart(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool is_directory;
        enum location_kind kind;
        bool is_local;
        const char *base, *head;
    } cases[] = {
        {"/srv/new.bundle", false, LOCATION_BUNDLE, true, "/srv/", "/srv/new.bundle"},
        {"new.bundle", false, LOCATION_BUNDLE, true, "", "new.bundle"},
        {"/dev/sdb", false, LOCATION_BUNDLE, true, "/dev/", "/dev/sdb"},
        {"/srv/www", true, LOCATION_CHANNEL, true, "/srv/www/", "/srv/www/stable.channel"},
        {"/srv/www/", true, LOCATION_CHANNEL, true, "/srv/www/", "/srv/www/stable.channel"},
        {"/srv/www/beta.channel", false, LOCATION_CHANNEL, true, "/srv/www/", "/srv/www/beta.channel"},
        {"https://a.example/u/", false, LOCATION_CHANNEL, false, "https://a.example/u/", "https://a.example/u/stable.channel"},
        {"https://a.example/u", true, LOCATION_CHANNEL, false, "https://a.example/u/", "https://a.example/u/stable.channel"},
        {"http://a.example/x.bundle", false, LOCATION_BUNDLE, false, "http://a.example/", "http://a.example/x.bundle"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct location location;
        if (location_parse(cases[i].text, cases[i].is_directory, "stable", &location, &failure) < 0)
            fail_msg("%s: %s", cases[i].text, failure.text);
        assert_int_equal(location.kind, cases[i].kind);
        assert_int_equal(location.is_local, cases[i].is_local);
        assert_string_equal(location.base, cases[i].base);
        assert_string_equal(location.head, cases[i].head);
    }
}

static void strange_places_are_refused(void **state) {
    (void)state;
    struct location location;
    char text[2000];
    assert_int_equal(location_parse("ftp://a/b", false, "stable", &location, &failure), -EINVAL);
    assert_int_equal(location_parse("file:///etc/passwd", false, "stable", &location, &failure), -EINVAL);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    assert_int_equal(location_parse(text, false, "stable", &location, &failure), -EINVAL);
}

// M16: a version must not lead anywhere else.
static void a_channel_s_bundle_lies_beside_it(void **state) {
    (void)state;
    struct location location;
    struct manifest manifest;
    char text[1280];
    manifest_seed(&manifest, 1);
    assert_int_equal(location_parse("https://a.example/u/", false, "stable", &location, &failure), 0);
    assert_int_equal(location_bundle(&location, &manifest, text, sizeof(text), &failure), 0);
    assert_string_equal(text, "https://a.example/u/edge-web.1-2026.11+r4~rc1.bundle");
    static const char *const versions[] = {"../../x", "a/b", "a?b", "a%2fb", "a#b", "a\\b", "a:b"};
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        strcpy(manifest.version, versions[i]);
        assert_int_equal(location_bundle(&location, &manifest, text, sizeof(text), &failure), -EINVAL);
    }
    assert_int_equal(location_parse("/srv/a.bundle", false, "stable", &location, &failure), 0);
    assert_int_equal(location_bundle(&location, &manifest, text, sizeof(text), &failure), 0);
    assert_string_equal(text, "/srv/a.bundle");
}

static void boot_files_come_from_the_manifest(void **state) {
    (void)state;
    struct manifest manifest;
    struct bootfile files[BOOTFILES];
    manifest_seed(&manifest, 1);
    bootfiles_list(&manifest, BOOT_SLOT_B, files);
    assert_string_equal(files[0].path, "EFI/webops/b.efi");
    assert_int_equal(files[0].offset, 0);
    assert_int_equal(files[0].bytes, manifest.uki.bytes);
    assert_string_equal(files[1].path, "webops/b.linux");
    assert_int_equal(files[1].offset, manifest.linux_in_uki.offset);
    assert_ptr_equal(files[2].sha256, manifest.initrd_in_uki.sha256);
}

static void efi_variables_are_utf16(void **state) {
    (void)state;
    uint8_t bytes[EFIVAR_MAX_BYTES];
    assert_int_equal(efivar_format("b.conf", bytes), 18);
    assert_memory_equal(bytes, "\7\0\0\0b\0.\0c\0o\0n\0f\0\0", 18);
    assert_int_equal(efivar_format("", bytes), 6);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_told_apart),
        cmocka_unit_test(strange_places_are_refused),
        cmocka_unit_test(a_channel_s_bundle_lies_beside_it),
        cmocka_unit_test(boot_files_come_from_the_manifest),
        cmocka_unit_test(efi_variables_are_utf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
