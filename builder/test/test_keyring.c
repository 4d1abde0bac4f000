// SPDX-License-Identifier: Apache-2.0
// Keyrings against the fingerprints of a definition: gpg's listing, and real key files.
#include "builder/keyring.h"
#include "builder/test/support.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define FIRST "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
#define SECOND "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"

static void test_listing(void **state) {
    (void)state;
    cleanup_strings struct strings keys = {0};
    keyring_parse("tru::1\npub:-:4096:1:AAAA:1:::-:::scESC::::::23::0:\nfpr:::::::::" FIRST ":\nuid:-::::1::X::name:::::::::0:\n"
                  "sub:-:4096:1:CCCC:1::::::e::::::23:\nfpr:::::::::CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC:\n"
                  "pub:-:4096:1:BBBB:1:::-:::scESC::::::23::0:\nfpr:::::::::" SECOND ":\npub:broken\nfpr:short\n",
                  &keys);
    assert_int_equal(keys.count, 2); // subkeys are signed by their primary key
    assert_string_equal(keys.items[0], FIRST);
    assert_string_equal(keys.items[1], SECOND);
}

static char *make_key(struct scratch *scratch, const char *file) {
    cleanup_free char *home = scratch_file(scratch, "home"), *path = scratch_file(scratch, file), *listing = NULL;
    cleanup_strings struct strings keys = {0};
    struct err err = {0};
    assert_true(mkdir(home, 0700) == 0 || errno == EEXIST);
    const struct run make = {.argv = RUN_ARGV("gpg", "--batch", "--quiet", "--homedir", home, "--passphrase", "", "--quick-generate-key",
                                              file, "ed25519", "sign", "never")};
    const struct run export = {.argv = RUN_ARGV("gpg", "--batch", "--homedir", home, "--output", path, "--export", file)};
    const struct run list = {.argv = RUN_ARGV("gpg", "--batch", "--homedir", home, "--with-colons", "--list-keys", file)};
    assert_ok(run_quiet(&make, &err));
    assert_ok(run_quiet(&export, &err));
    assert_ok(run_capture(&list, 65536, &listing, NULL, &err));
    keyring_parse(listing, &keys);
    assert_int_equal(keys.count, 1);
    return str_dup(keys.items[0]);
}

static void test_files(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *good = make_key(scratch, "good"), *other = make_key(scratch, "other");
    cleanup_free char *good_path = scratch_file(scratch, "good"), *other_path = scratch_file(scratch, "other"),
                      *empty = scratch_file(scratch, "empty");
    char *keys[] = {good};
    struct recipe_source source = {.archive = TEXT("a"), .keyring = good_path, .keys = {keys, 1}};
    const struct recipe_image image = {.id = TEXT("tiny"), .sources = &source, .source_count = 1};
    struct err err = {0};
    assert_ok(keyring_check(&image, &err));
    source.keyring = other_path;
    assert_int_equal(keyring_check(&image, &err), -EKEYREJECTED);
    assert_contains(err.text, other);
    assert_contains(err.text, "images/tiny.yaml");
    source.keyring = empty;
    assert_int_equal(keyring_check(&image, &err), -ENOENT);
    assert_contains(err.text, empty);
    assert_contains(err.text, "images/tiny.yaml names: put the distribution's keys there (docs/DISTRIBUTIONS.md, Keys)");
    source.keyring = TEXT("/nonexistent/ubuntu-archive-keyring.gpg");
    assert_int_equal(keyring_check(&image, &err), -ENOENT);
    assert_contains(err.text, "it comes with the package ubuntu-keyring");
    source.keys.count = 0; // nothing pinned, nothing asked
    assert_ok(keyring_check(&image, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listing),
        cmocka_unit_test_setup_teardown(test_files, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("keyring", tests, NULL, NULL);
}
