// SPDX-License-Identifier: Apache-2.0
// Lock files: what is written is read again, a recipe that wants something else is told so, and odd files are refused by line.
#include "builder/lockfile.h"
#include "common/test/support.h"
#include <errno.h>

#define HASH "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LINE(name) name "\t1:2-3\tamd64\t" name "_1%3a2-3_amd64.deb\t5\t" HASH "\thttp://mirror.invalid/" name ".deb\n"
#define HEAD "webops-lock 1\nimage debian-12 amd64\n"

static char *words[] = {(char *)"systemd", (char *)"dbus"};
static const struct strings wants = {words, 2}, other = {words, 1};

static void is_read_as_it_was_written(void **state) {
    (void)state;
    static const char base[] = LINE("dbus") LINE("systemd"), layer[] = LINE("etcd");
    struct err err = {0};
    cleanup_package_set struct package_set first = {0}, second = {0}, taken = {0};
    cleanup_lockfile struct lockfile made = {.image = str_dup("debian-12"), .architecture = str_dup("amd64")}, read = {0};
    cleanup_buf struct buf text = {0}, again = {0};
    assert_int_equal(package_set_parse(base, strlen(base), &first, &err), 0);
    assert_int_equal(package_set_parse(layer, strlen(layer), &second, &err), 0);
    lockfile_add(&made, "debian-12", &wants, &first);
    lockfile_add(&made, "etcd", &other, &second);
    lockfile_format(&made, &text);
    assert_string_equal(buf_str(&text),
                        HEAD "part debian-12 2 systemd dbus\n" LINE("dbus") LINE("systemd") "part etcd 1 systemd\n" LINE("etcd"));
    assert_int_equal(lockfile_parse(text.data, text.size, "a.lock", &read, &err), 0);
    lockfile_format(&read, &again);
    assert_string_equal(buf_str(&again), buf_str(&text));
    assert_int_equal(lockfile_take(&read, 0, "debian-12", &wants, &taken, &err), 0);
    assert_int_equal(taken.count, 2);
    assert_string_equal(package_set_find(&taken, "systemd")->version, "1:2-3");
}

// Each part was resolved on top of those below it.
static void fits_only_its_recipes(void **state) {
    (void)state;
    static const char text[] = HEAD "part debian-12 1 systemd dbus\n" LINE("x") "part etcd 0 systemd\npart patroni 0 systemd\n";
    static const struct {
        size_t index;
        const char *name;
        const struct strings *wants;
        const char *says; // NULL: taken
    } rows[] = {
        {0, "debian-12", &wants, NULL},
        {1, "etcd", &other, NULL},
        {0, "debian-12", &other, "debian-12 asks for other packages than when the lock was made"},
        {1, "patroni", &other, "its part 2 is etcd, that of the recipes is patroni"},
        {3, "site", &other, "the lock ends before the part site"},
    };
    struct err err = {0};
    cleanup_lockfile struct lockfile lockfile = {0};
    assert_int_equal(lockfile_parse(text, strlen(text), "a.lock", &lockfile, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_package_set struct package_set taken = {0};
        int r = lockfile_take(&lockfile, rows[i].index, rows[i].name, rows[i].wants, &taken, &err);
        if (r != (rows[i].says ? -ESTALE : 0) || (r < 0 && !strstr(err.text, rows[i].says)))
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
    assert_int_equal(lockfile_end(&lockfile, 3, &err), 0);
    assert_int_equal(lockfile_end(&lockfile, 2, &err), -ESTALE);
    assert_contains(err.text, "its part patroni is none of the recipes");
}

static void odd_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says; // NULL: taken
    } rows[] = {
        {HEAD, NULL},
        {HEAD "part a 0 \n", NULL},
        {HEAD "part a 1 x y\n" LINE("x"), NULL},
        {"", "a.lock: is no lock file"},
        {"webops-lock 2\n", "is no lock file"},
        {"webops-lock 1\n", "a.lock:1: expected: image ID ARCHITECTURE"},
        {"webops-lock 1\nimage debian-12\n", "a.lock:2: expected: image ID ARCHITECTURE"},
        {"webops-lock 1\nimage debian-12 amd64 more\n", "a.lock:2: expected: image ID ARCHITECTURE"},
        {HEAD "nonsense\n", "a.lock:3: expected: part NAME COUNT"},
        {HEAD "part a\n", "a.lock:3: expected: part NAME COUNT"},
        {HEAD "part a x y\n", "a.lock:3: expected: part NAME COUNT"},
        {HEAD "part a 1 x", "a.lock:2: expected: part NAME COUNT"},
        {HEAD "part a 2 x\n" LINE("x"), "a.lock:4: packages are missing at the end"},
        {HEAD "part a 1 x\nnonsense\n", "a.lock:4: package set: line 1 is not a package"},
        {HEAD "part a 2 x\n" LINE("x") LINE("x"), "package x stands there twice"},
        {HEAD "part a 0 \npart b 0 \npart a 0 \n", "a.lock:5: this part stands there twice"},
        {HEAD "part a 1 x\n" LINE("x") LINE("y"), "a.lock:5: expected: part NAME COUNT"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        cleanup_lockfile struct lockfile lockfile = {0};
        int r = lockfile_parse(rows[i].text, strlen(rows[i].text), "a.lock", &lockfile, &err);
        if ((r < 0) != (rows[i].says != NULL) || (r < 0 && (r != -EINVAL || !strstr(err.text, rows[i].says) || lockfile.count)))
            fail_msg("row %zu: %d, %s", i, r, err.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_read_as_it_was_written), cmocka_unit_test(fits_only_its_recipes),
                                       cmocka_unit_test(odd_files_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
