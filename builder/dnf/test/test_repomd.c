// SPDX-License-Identifier: Apache-2.0
// How new a repository is, and what is said when its mirror goes back.
#include "builder/dnf/repomd.h"
#include "builder/test/support.h"

#define TEXT(s) ((char *)(uintptr_t)(s))
#define REPOMD(revision)                                                                                                                   \
    "<repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>" revision                                                            \
    "</revision><data type=\"primary\"><timestamp>77</timestamp></data><data "                                                             \
    "type=\"filelists\"><timestamp>99</timestamp><size>5000</size></data><data type=\"other\"><timestamp>88</timestamp></data></repomd>"

static void test_revision(void **state) {
    (void)state;
    static const struct {
        const char *xml;
        uint64_t revision;
    } cases[] = {
        {REPOMD("1767225600"), 1767225600},
        {REPOMD("\n  12\n"), 12},
        {REPOMD("9.3"), 99}, // not a number: the newest part counts
        {REPOMD(""), 99},
        {REPOMD("999999999999999999"), 999999999999999999},
        {REPOMD("9999999999999999999"), 99}, // would not fit everywhere
        {"<repomd><revision>x</revision></repomd>", 0},
        {"<repomd/>", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        uint64_t revision = 1;
        assert_ok(repomd_revision(cases[i].xml, strlen(cases[i].xml), &revision, &err));
        assert_int_equal(revision, cases[i].revision);
    }
}

static void test_not_an_index(void **state) {
    (void)state;
    static const struct {
        const char *xml, *says;
    } cases[] = {
        {"", "line 1: no element found"},
        {"<html>\n<p>Not found", "line 2: no element found"},
        {"<repomd><revision>1</revision>", "line 1: "},
        {"<!DOCTYPE r [<!ENTITY a \"5\">]><r><revision>&a;</revision></r>", "line 1: a document type"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        uint64_t revision = 1;
        assert_int_equal(repomd_revision(cases[i].xml, strlen(cases[i].xml), &revision, &err), -EINVAL);
        assert_contains(err.text, cases[i].says);
        assert_int_equal(revision, 1);
    }
}

// What is said of an index that a mirror offers now; the caller frees.
static char *offer(const struct scratch *scratch, const struct recipe_source *source, const char *xml, bool is_used) {
    cleanup_free char *path = scratch_file(scratch, "x.release"), *out = NULL;
    char *said = NULL;
    struct redirect redirect;
    struct err err = {0};
    put_file(path, xml, strlen(xml));
    redirect_begin(&redirect);
    int r = repomd_watch(source, path, scratch->path, &err);
    if (r >= 0 && is_used)
        r = repomd_keep(source, path, scratch->path, &err);
    redirect_end(&redirect, &out, &said);
    assert_ok(r);
    return said;
}

static char *watch(const struct scratch *scratch, const struct recipe_source *source, const char *xml) {
    return offer(scratch, source, xml, true);
}

// Anybody on the way can send a number of which no mirror will ever offer a newer one.
static void test_refused_index_counts_for_nothing(void **state) {
    const struct scratch *scratch = *state;
    const struct recipe_source source = {.archive = TEXT("open"), .mirror = TEXT("http://mirror.test/tiny"), .signed_metadata = true};
    cleanup_free char *first = watch(scratch, &source, REPOMD("100"));
    cleanup_free char *false_one = offer(scratch, &source, REPOMD("999999999999999999"), false);
    cleanup_free char *next = watch(scratch, &source, REPOMD("101")), *older = watch(scratch, &source, REPOMD("100"));
    const char *const said[] = {first, false_one, next};
    for (size_t i = 0; i < ARRAY_SIZE(said); i++)
        assert_string_equal(said[i], "");
    assert_contains(older, "(revision 100) than was seen before (101)");
}

static void test_watch(void **state) {
    const struct scratch *scratch = *state;
    const struct recipe_source source = {.archive = TEXT("tiny-baseos"), .mirror = TEXT("https://mirror.test/tiny")};
    static const struct {
        const char *xml, *says; // NULL = nothing
    } steps[] = {
        {REPOMD("100"), NULL},
        {REPOMD("100"), NULL},
        {REPOMD("200"), NULL},
        {REPOMD("100"), "tiny-baseos: https://mirror.test/tiny offers an older repository (revision 100) than was seen before (200)"},
        {REPOMD("199"), "(revision 199) than was seen before (200)"}, // the old one did not become the newest
        {REPOMD("no"), "(revision 99) than was seen before (200)"},
        {"<repomd/>", "(revision 0) than was seen before (200)"},
        {"nonsense", "(revision 0) than was seen before (200)"},
        {REPOMD("201"), NULL},
        {REPOMD("200"), "than was seen before (201)"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        cleanup_free char *said = watch(scratch, &source, steps[i].xml);
        if (steps[i].says)
            assert_contains(said, steps[i].says);
        else
            assert_string_equal(said, "");
    }
    cleanup_free char *kept = scratch_file(scratch, "tiny-baseos.revision"), *said = watch(scratch, &source, REPOMD("1"));
    assert_contains(said, kept); // what to remove
    assert_int_equal(unlink(kept), 0);
    cleanup_free char *anew = watch(scratch, &source, REPOMD("1"));
    assert_string_equal(anew, "");
}

static void test_other_sources(void **state) {
    const struct scratch *scratch = *state;
    const struct recipe_source one = {.archive = TEXT("one"), .mirror = TEXT("https://mirror.test/1")};
    const struct recipe_source two = {.archive = TEXT("two"), .mirror = TEXT("https://mirror.test/2")};
    const struct recipe_source past = {.archive = TEXT("one"), .mirror = TEXT("https://mirror.test/past"), .snapshot = true};
    cleanup_free char *first = watch(scratch, &one, REPOMD("100")), *second = watch(scratch, &two, REPOMD("50"));
    cleanup_free char *third = watch(scratch, &past, REPOMD("10")), *fourth = watch(scratch, &past, REPOMD("300"));
    cleanup_free char *fifth = watch(scratch, &one, REPOMD("200")); // newer than 100: a day in the past is no measure
    const char *const said[] = {first, second, third, fourth, fifth};
    for (size_t i = 0; i < ARRAY_SIZE(said); i++)
        assert_string_equal(said[i], "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_revision),
        cmocka_unit_test(test_not_an_index),
        cmocka_unit_test_setup_teardown(test_watch, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_refused_index_counts_for_nothing, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_other_sources, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("repomd", tests, NULL, NULL);
}
