// SPDX-License-Identifier: Apache-2.0
// Private directories, and that nothing of them is left.
#include "builder/tempdir.h"
#include "builder/test/support.h"
#include <signal.h>
#include <time.h>

static unsigned entries(const char *path) {
    unsigned count = 0;
    cleanup_dir DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    return count - 2; // "." and ".."
}

static int set_up(void **state) {
    scratch_setup(state);
    struct scratch *scratch = *state;
    return setenv("TMPDIR", scratch->path, 1);
}

static int tear_down(void **state) {
    unsetenv("TMPDIR");
    return scratch_teardown(state);
}

static void fill(const char *dir) {
    struct err err = {0};
    cleanup_free char *deep = str_printf("%s/one/two", dir), *file = str_printf("%s/secret", deep);
    assert_ok(file_mkdirs(AT_FDCWD, deep, 0700, &err));
    put_file(file, "canary", 6);
}

static void places(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *base = scratch_file(scratch, "out.iso");
    struct err err = {0};
    struct stat st;
    {
        cleanup_tempdir char *first = NULL, *second = NULL, *none = NULL;
        assert_ok(tempdir_make("what", &first, &err));
        assert_ok(tempdir_make_beside(base, &second, &err));
        assert_int_equal(strncmp(first, scratch->path, strlen(scratch->path)), 0);
        assert_contains(first, "/webops-what-");
        assert_contains(second, "/.out.iso.webops-");
        assert_true(stat(first, &st) == 0 && (st.st_mode & 07777) == 0700);
        fill(first);
        fill(second);
        cleanup_free char *moved = scratch_file(scratch, "moved");
        assert_int_equal(rename(second, moved), 0);
        (void)none;
    }
    assert_int_equal(entries(scratch->path), 1); // the one that was renamed
    cleanup_tempdir char *dir = NULL;
    unsetenv("TMPDIR");
    assert_ok(tempdir_make("what", &dir, &err));
    assert_int_equal(strncmp(dir, "/var/tmp/webops-what-", 21), 0);
    setenv("TMPDIR", "/nowhere", 1);
    char *never = NULL;
    assert_int_equal(tempdir_make("what", &never, &err), -ENOENT);
    assert_contains(err.text, "/nowhere/webops-what-");
    assert_null(never);
}

static void ended_by(void *data) {
    struct err err = {0};
    char *first = NULL, *second = NULL, *third = NULL;
    signal(*(const int *)data, SIG_DFL); // the tests themselves may run under nohup
    assert_ok(tempdir_make("one", &first, &err));
    assert_ok(tempdir_make("two", &second, &err));
    tempdir_done(&first);
    assert_ok(tempdir_make("three", &third, &err));
    fill(second);
    fill(third);
    raise(*(const int *)data);
}

static void signals(void **state) {
    struct scratch *scratch = *state;
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        int status = in_child(ended_by, (void *)&numbers[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        assert_int_equal(entries(scratch->path), 0);
    }
}

// As under nohup.
static void ignoring(void *data) {
    struct err err = {0};
    cleanup_tempdir char *dir = NULL;
    (void)data;
    signal(SIGHUP, SIG_IGN);
    assert_ok(tempdir_make("one", &dir, &err));
    raise(SIGHUP);
    assert_int_equal(access(dir, F_OK), 0);
}

static void ignored_signals(void **state) {
    (void)state;
    assert_int_equal(in_child(ignoring, NULL), 0);
}

static void killed(void *data) {
    struct err err = {0};
    char *first = NULL, *second = NULL;
    assert_ok(tempdir_make("one", &first, &err));
    assert_ok(tempdir_make_beside(data, &second, &err));
    fill(first);
    fill(second);
    raise(SIGKILL);
}

static void make_old(const char *dir) {
    const struct timespec times[] = {{.tv_sec = time(NULL) - 3600}, {.tv_sec = time(NULL) - 3600}};
    assert_int_equal(utimensat(AT_FDCWD, dir, times, 0), 0);
}

static void make_all_old(const char *path) {
    cleanup_dir DIR *dir = opendir(path);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        cleanup_free char *each = str_printf("%s/%s", path, entry->d_name);
        make_old(each);
    }
}

// A live one of the same name stays, however old it is, and so do directories that are called nearly the same.
static void killed_runs(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_free char *base = scratch_file(scratch, "out.iso"), *backup = scratch_file(scratch, "out.iso.backup"),
                      *other = scratch_file(scratch, "webops-one-backups");
    assert_true(mkdir(backup, 0700) == 0 && mkdir(other, 0700) == 0);
    assert_true(WIFSIGNALED(in_child(killed, base)));
    assert_int_equal(entries(scratch->path), 4);
    cleanup_tempdir char *live = NULL, *next = NULL, *beside = NULL;
    assert_ok(tempdir_make("one", &live, &err)); // those are too young to tell
    assert_int_equal(entries(scratch->path), 5);
    make_all_old(scratch->path);
    assert_ok(tempdir_make("one", &next, &err));
    assert_int_equal(entries(scratch->path), 5);
    assert_ok(tempdir_make_beside(base, &beside, &err));
    assert_int_equal(entries(scratch->path), 5);
    assert_true(access(live, F_OK) == 0 && access(backup, F_OK) == 0 && access(other, F_OK) == 0);
}

static void end_by_signal(void *data) {
    (void)data;
    raise(SIGTERM);
}

// What another process of ours does is not our end.
static void forks(void **state) {
    struct err err = {0};
    cleanup_tempdir char *dir = NULL;
    (void)state;
    assert_ok(tempdir_make("one", &dir, &err));
    int status = in_child(end_by_signal, NULL);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_int_equal(access(dir, F_OK), 0);
}

#define WITH_TMPDIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_TMPDIR(places), WITH_TMPDIR(signals), WITH_TMPDIR(ignored_signals), WITH_TMPDIR(forks),
                                       WITH_TMPDIR(killed_runs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
