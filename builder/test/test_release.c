// SPDX-License-Identifier: Apache-2.0
// Finding a finished build by image, report or directory, and every report that is refused.
#include "builder/release.h"
#include "builder/test/support.h"

#define REPORT                                                                                                                             \
    "{\"profile\": \"p\", \"version\": \"1.0\", \"sequence\": 7, \"compatible\": \"p-amd64\", \"channel\": \"beta\", \"trust\": \"PEM\", " \
    "\"source_date_epoch\": "                                                                                                              \
    "1700000000, \"config_schema\": 2, \"development_keys\": true, \"more\": []}"

static void put(const struct scratch *scratch, const char *name, const char *text) {
    cleanup_free char *path = scratch_file(scratch, name);
    put_file(path, text, strlen(text));
}

static void test_found(void **state) {
    const struct scratch *scratch = *state;
    static const char *const names[] = {"p-1.0.raw", "p-1.0.build.json", "."};
    put(scratch, "p-1.0.build.json", REPORT);
    put(scratch, "p-1.0.raw", "");
    put(scratch, ".old.build.json", "hidden: not a build");
    cleanup_free char *image = scratch_file(scratch, "p-1.0.raw"), *packages = scratch_file(scratch, "p-1.0.packages");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct err err = {0};
        cleanup_release struct release release = {0};
        cleanup_free char *path = strcmp(names[i], ".") == 0 ? str_dup(scratch->path) : scratch_file(scratch, names[i]);
        assert_ok(release_load(path, &release, &err));
        assert_string_equal(release.image_path, image);
        assert_string_equal(release.packages_path, packages);
        assert_string_equal(release.profile, "p");
        assert_string_equal(release.version, "1.0");
        assert_string_equal(release.compatible, "p-amd64");
        assert_string_equal(release.channel, "beta");
        assert_string_equal(release.trust, "PEM");
        assert_int_equal(release.sequence, 7);
        assert_int_equal(release.created, 1700000000);
        assert_int_equal(release.config_schema, 2);
        assert_true(release.is_development);
    }
}

static void test_image_of_a_path(void **state) {
    const struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *raw = scratch_file(scratch, "p-1.0.raw"), *zst = scratch_file(scratch, "p-1.0.raw.zst"),
                      *report = scratch_file(scratch, "p-1.0.build.json"), *other = scratch_file(scratch, "any.img"),
                      *none = scratch_file(scratch, "none");
    put(scratch, "p-1.0.build.json", REPORT);
    put(scratch, "any.img", "");
    for (int has_raw = 0; has_raw < 2; has_raw++) {
        const char *const paths[] = {scratch->path, report, other};
        for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
            cleanup_free char *found = NULL;
            assert_ok(release_find_image(paths[i], &found, &err));
            assert_string_equal(found, i == 2 ? other : has_raw ? raw : zst);
        }
        put(scratch, "p-1.0.raw", "");
    }
    char *untouched = NULL;
    assert_int_equal(release_find_image(none, &untouched, &err), -ENOENT);
    assert_contains(err.text, none);
    assert_null(untouched);
}

static void test_not_found(void **state) {
    const struct scratch *scratch = *state;
    struct err err = {0};
    struct release release = {0};
    assert_int_equal(release_load(scratch->path, &release, &err), -ENOENT);
    assert_contains(err.text, "no finished build");
    put(scratch, "a.build.json", REPORT);
    put(scratch, "b.build.json", REPORT);
    assert_int_equal(release_load(scratch->path, &release, &err), -EINVAL);
    assert_contains(err.text, "more than one");
    cleanup_free char *other = scratch_file(scratch, "x.txt"), *none = scratch_file(scratch, "none.raw"),
                      *alone = scratch_file(scratch, "alone.raw");
    put(scratch, "x.txt", "");
    put(scratch, "alone.raw", "");
    assert_int_equal(release_load(other, &release, &err), -EINVAL);
    assert_int_equal(release_load(none, &release, &err), -ENOENT);
    assert_contains(err.text, "none.raw");
    assert_int_equal(release_load(alone, &release, &err), -ENOENT);
    assert_contains(err.text, "alone.build.json");
    assert_null(release.profile);
}

static void test_refused_reports(void **state) {
    const struct scratch *scratch = *state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"profile\": \"p\", ", ""},
        {"\"p-amd64\"", "5"},
        {"\"sequence\": 7", "\"sequence\": 0"},
        {"\"sequence\": 7", "\"sequence\": -7"},
        {": 1700000000", ": -1"},
        {"\"config_schema\": 2", "\"config_schema\": 0"},
        {"\"config_schema\": 2", "\"config_schema\": 4294967296"},
        {"true", "1"},
        {"\"more\"", "\"profile\""},
        {"[]}", "[]"},
    };
    cleanup_free char *path = scratch_file(scratch, "p-1.0.raw");
    put(scratch, "p-1.0.raw", "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        struct release release = {0};
        const char *at = strstr(REPORT, cases[i].from);
        cleanup_free char *text = str_printf("%.*s%s%s", (int)(at - REPORT), REPORT, cases[i].to, at + strlen(cases[i].from));
        put(scratch, "p-1.0.build.json", text);
        if (release_load(path, &release, &err) != -EINVAL)
            fail_msg("accepted: %s", text);
        assert_contains(err.text, "p-1.0.build.json");
        assert_null(release.image_path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_found, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_image_of_a_path, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_not_found, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_refused_reports, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("release", tests, NULL, NULL);
}
