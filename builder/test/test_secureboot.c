// SPDX-License-Identifier: Apache-2.0
// Signing boot programs, looked at by sbverify; which files make a machine enrol itself; and what is refused before anything is built.
#include "builder/secureboot.h"
#include "builder/esp.h"
#include "builder/keygen.h"
#include "builder/test/support.h"

struct keys {
    struct scratch *scratch;
    char *key, *certificate, *other;
};

static int setup(void **state) {
    struct keys *keys = mem_array(1, sizeof(*keys));
    const struct keygen_request request = {.name = "Test", .not_before = 1700000000, KEYGEN_DAYS};
    struct err err = {0};
    scratch_setup((void **)&keys->scratch);
    cleanup_free char *dir = scratch_file(keys->scratch, "keys");
    assert_ok(keygen_make(dir, &request, &err));
    keys->key = str_printf("%s/secure-boot/db.key", dir);
    keys->certificate = str_printf("%s/secure-boot/db.pem", dir);
    keys->other = str_printf("%s/secure-boot/KEK.pem", dir);
    *state = keys;
    return 0;
}

static int teardown(void **state) {
    struct keys *keys = *state;
    int r = scratch_teardown((void **)&keys->scratch);
    free(keys->key);
    free(keys->certificate);
    free(keys->other);
    free(keys);
    return r;
}

static int sbverify(const char *certificate, const char *program) {
    struct err err = {0};
    return run_quiet(&(struct run){.argv = RUN_ARGV("sbverify", "--cert", certificate, program)}, &err);
}

static void test_sign(void **state) {
    const struct keys *keys = *state;
    struct secureboot secureboot;
    struct err err = {0};
    cleanup_free char *signed_path = scratch_file(keys->scratch, "signed.efi");
    assert_ok(secureboot_load(keys->key, keys->certificate, &secureboot, &err));
    assert_ok(secureboot_sign(&secureboot, SYSTEMD_BOOT_PATH, signed_path, &err));
    assert_ok(sbverify(keys->certificate, signed_path));
    assert_true(sbverify(keys->other, signed_path) < 0);
    assert_true(sbverify(keys->certificate, SYSTEMD_BOOT_PATH) < 0);
    flip_bit(signed_path, 5000);
    assert_true(sbverify(keys->certificate, signed_path) < 0);
    assert_true(secureboot_sign(&secureboot, keys->certificate, signed_path, &err) < 0); // no program
    assert_contains(err.text, "sbsign");
    secureboot_done(&secureboot);
}

static void test_enrolment_needs_all_three(void **state) {
    const struct keys *keys = *state;
    struct secureboot with, without;
    struct err err = {0};
    assert_ok(secureboot_load(keys->key, keys->certificate, &with, &err));
    assert_non_null(with.keys_dir);
    assert_int_equal(strlen(with.keys_key), INPUTS_KEY_CHARS);
    for (const char *const *file = secureboot_key_files; *file; file++) {
        cleanup_free char *path = str_printf("%s/%s", with.keys_dir, *file), *away = str_printf("%s.away", path);
        assert_int_equal(rename(path, away), 0);
        assert_ok(secureboot_load(keys->key, keys->certificate, &without, &err));
        assert_null(without.keys_dir);
        assert_string_equal(without.keys_key, "");
        assert_string_equal(without.sha256, with.sha256);
        secureboot_done(&without);
        assert_int_equal(rename(away, path), 0);
    }
    // The files' content is an input of what they are copied to.
    struct secureboot changed;
    cleanup_free char *path = str_printf("%s/db.auth", with.keys_dir);
    flip_bit(path, 100);
    assert_ok(secureboot_load(keys->key, keys->certificate, &changed, &err));
    assert_string_not_equal(changed.keys_key, with.keys_key);
    flip_bit(path, 100);
    secureboot_done(&changed);
    secureboot_done(&with);
}

static void test_refused(void **state) {
    const struct keys *keys = *state;
    struct secureboot secureboot;
    struct err err = {0};
    assert_ok(secureboot_load(NULL, NULL, &secureboot, &err));
    assert_null(secureboot.key);
    assert_int_equal(secureboot_load(keys->key, NULL, &secureboot, &err), -EINVAL);
    assert_contains(err.text, "belong together");
    assert_int_equal(secureboot_load(NULL, keys->certificate, &secureboot, &err), -EINVAL);
    assert_int_equal(secureboot_load(keys->key, keys->other, &secureboot, &err), -EKEYREJECTED);
    assert_contains(err.text, "another key");
    assert_int_equal(chmod(keys->key, 0644), 0);
    assert_int_equal(secureboot_load(keys->key, keys->certificate, &secureboot, &err), -EPERM);
    assert_int_equal(chmod(keys->key, 0600), 0);
    assert_int_equal(secureboot_load("/nonexistent", keys->certificate, &secureboot, &err), -ENOENT);
    assert_null(secureboot.keys_dir);
}

// On the ESP: loader.conf asks for enrolment, and the three files are where systemd-boot looks for them.
static void test_esp(void **state) {
    const struct keys *keys = *state;
    struct secureboot secureboot;
    struct err err = {0};
    cleanup_free char *disk = scratch_file(keys->scratch, "disk.raw"), *text = scratch_file(keys->scratch, "text"),
                      *out = scratch_file(keys->scratch, "out");
    assert_ok(secureboot_load(keys->key, keys->certificate, &secureboot, &err));
    put_file(text, "x", 1);
    for (unsigned enrols = 0; enrols < 2; enrols++) {
        put_file(disk, "", 0);
        assert_int_equal(truncate(disk, 40 * MIB), 0);
        const struct esp_input input = {.identity = {"test", "1.0"},
                                        .sequence = 1,
                                        .uki_path = text,
                                        .linux_path = text,
                                        .initrd_path = text,
                                        .cmdline = "quiet",
                                        .secure_boot_keys = enrols ? secureboot.keys_dir : NULL,
                                        .systemd_boot_path = SYSTEMD_BOOT_PATH,
                                        .restart_path = SYSTEMD_BOOT_PATH,
                                        .source_date_epoch = 1700000000};
        cleanup_free char *conf = NULL;
        assert_ok(esp_create(&input, disk, 0, 40 * MIB, &err));
        assert_ok(esp_read_file(disk, 0, "/loader/loader.conf", out, &err));
        assert_ok(file_read(AT_FDCWD, out, 4096, &conf, NULL, &err));
        assert_int_equal(strstr(conf, "\nsecure-boot-enroll force\n") != NULL, enrols);
        assert_contains(conf, "timeout 0\n");
        for (const char *const *file = secureboot_key_files; *file; file++) {
            cleanup_free char *path = str_printf("/loader/keys/auto/%s", *file), *source = str_printf("%s/%s", secureboot.keys_dir, *file);
            int r = esp_read_file(disk, 0, path, out, &err);
            assert_int_equal(r >= 0, enrols);
            if (enrols)
                assert_same_files(out, source);
        }
    }
    secureboot_done(&secureboot);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sign), cmocka_unit_test(test_enrolment_needs_all_three),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_esp)};
    return cmocka_run_group_tests_name("secureboot", tests, setup, teardown);
}
