// SPDX-License-Identifier: Apache-2.0
// Databases that rpm itself writes: what is listed, and what is no longer after a removal.
#include "builder/dnf/rpm_database.h"
#include "builder/test/support.h"

static const char spec[] =
    "Name: first\nVersion: 1.0\nRelease: 1\nEpoch: 2\nSummary: s\nLicense: l\nBuildArch: noarch\n%description\nd\n%files\n"
    "%package -n second\nSummary: s\nRequires: first = 2:1.0\n%description -n second\nd\n%files -n second\n"
    "%package -n gpg-pubkey\nSummary: as rpm keeps a key\n%description -n gpg-pubkey\nd\n%files -n gpg-pubkey\n";

static char *database; // a directory with the three packages
static char *top;

static int make_database(void **state) {
    struct err err = {0};
    scratch_setup(state);
    const struct scratch *scratch = *state;
    top = scratch_file(scratch, "");
    database = scratch_file(scratch, "rpm");
    cleanup_free char *path = scratch_file(scratch, "x.spec"), *define = str_printf("_topdir %s/build", scratch->path);
    put_file(path, spec, strlen(spec));
    assert_ok(file_mkdirs(AT_FDCWD, database, 0755, &err));
    free(tool(RUN_ARGV("rpmbuild", "-bb", "--define", define, path)));
    char *packages[3];
    static const char *const names[] = {"first", "second", "gpg-pubkey"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        packages[i] = str_printf("%s/build/RPMS/noarch/%s-1.0-1.noarch.rpm", scratch->path, names[i]);
    free(tool(RUN_ARGV("rpm", "--dbpath", database, "--nosignature", "--justdb", "-i", packages[0], packages[1], packages[2])));
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        free(packages[i]);
    return 0;
}

static int remove_database(void **state) {
    free(database);
    free(top);
    return scratch_teardown(state);
}

static void test_list(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *text = NULL;
    size_t size = 0;
    assert_ok(rpm_database_list(NULL, database, &text, &size, &err));
    assert_int_equal(size, strlen(text));
    assert_contains(text, "Package: first\nStatus: install ok installed\nVersion: 2:1.0-1\nArchitecture: noarch\n");
    assert_contains(text, "Package: second\n");
    assert_null(strstr(text, "gpg-pubkey\nStatus"));
}

// Removes from a copy; returns the list of what is left.
static char *without(const char *name, char **packages, unsigned count) {
    struct err err = {0};
    cleanup_free char *from = str_printf("%s/" RPM_DATABASE_FILE, database), *dir = str_printf("%s%s", top, name);
    char *text = NULL;
    size_t size = 0;
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    assert_ok(rpm_database_without(from, &(struct strings){packages, count}, dir, &err));
    assert_ok(rpm_database_list(NULL, dir, &text, &size, &err));
    return text;
}

static void test_without(void **state) {
    (void)state;
    char *both[] = {(char *)"first-1.0-1.noarch", (char *)"second-1.0-1.noarch"};
    cleanup_free char *all = without("none", NULL, 0), *one = without("one", both + 1, 1), *none = without("both", both, 2);
    assert_contains(all, "Package: second\n");
    assert_contains(one, "Package: first\n");
    assert_null(strstr(one, "Package: second\n"));
    assert_string_equal(none, "");
    cleanup_free char *as_before = without("again", NULL, 0); // it was a copy
    assert_string_equal(as_before, all);
}

static void test_what_others_need_stays(void **state) {
    (void)state;
    struct err err = {0};
    char *first[] = {(char *)"first-1.0-1.noarch"};
    cleanup_free char *from = str_printf("%s/" RPM_DATABASE_FILE, database), *dir = str_printf("%sneeded", top);
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    assert_int_equal(rpm_database_without(from, &(struct strings){first, 1}, dir, &err), -EINVAL);
    assert_contains(err.text, "is needed by (installed) second");
    assert_contains(err.text, "`remove`");
}

static void test_convert(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *dir = str_printf("%sempty", top), *damaged = str_printf("%sdamaged", top),
                      *file = str_printf("%s/" RPM_DATABASE_FILE, damaged);
    char junk[8192];
    assert_ok(rpm_database_convert(database, &err)); // of the right format already
    cleanup_free char *text = without("converted", NULL, 0);
    assert_contains(text, "Package: first\n");
    memset(junk, 'x', sizeof(junk));
    assert_ok(file_mkdirs(AT_FDCWD, damaged, 0755, &err));
    put_file(file, junk, sizeof(junk));
    assert_true(rpm_database_convert(damaged, &err) < 0);
    assert_contains(err.text, "rpmdb failed");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_without),
        cmocka_unit_test(test_what_others_need_stays),
        cmocka_unit_test(test_convert),
    };
    return cmocka_run_group_tests(tests, make_database, remove_database);
}
