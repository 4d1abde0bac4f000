// SPDX-License-Identifier: Apache-2.0
// The sandbox with harmless jobs: what comes out, what a failure says, that nothing survives it. Where the machine allows no namespaces, that the
// refusal says what is missing.
#include "builder/sandbox.h"
#include "builder/sandbox_jobs.h"
#include "builder/test/support.h"
#include <signal.h>

// False when this user may not use namespaces here; the message has been checked then.
static bool start(const char *work, uint64_t memory, const char *const *argv, struct sandbox *sandbox) {
    struct err err = {0};
    int r = sandbox_start(work, memory, argv, sandbox, &err);
    if (r == -EPERM && geteuid() != 0) {
        assert_contains(err.text, "or run as root");
        return false;
    }
    assert_ok(r);
    return true;
}

static char *read_out(struct sandbox *sandbox) {
    struct err err = {0};
    char *text = NULL;
    assert_ok(file_read_fd(sandbox->out_fd, "output", 1 << 16, &text, NULL, &err));
    return text;
}

static void test_output(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct sandbox sandbox;
    if (!start(scratch->path, 0, RUN_ARGV("base", "77", "sh", "-c", "id -u; pwd; echo $TMPDIR $SOURCE_DATE_EPOCH; echo noise >&2; umask"),
               &sandbox))
        return;
    cleanup_free char *text = read_out(&sandbox), *expected = str_printf("0\n%s\n%s 77\n0022\n", scratch->path, scratch->path);
    assert_ok(sandbox_wait(&sandbox, &err));
    assert_string_equal(text, expected);
    assert_int_equal(sandbox.pid, -1);
}

static void test_memory(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct sandbox sandbox;
    if (!start(scratch->path, 1 << 20, RUN_ARGV("base", "1", "sh", "-c", "echo x > inside; stat -f -c %T ."), &sandbox))
        return;
    cleanup_free char *text = read_out(&sandbox);
    assert_ok(sandbox_wait(&sandbox, &err));
    bool in_memory = strcmp(text, "tmpfs\n") == 0; // not on a machine that is short of memory
    assert_int_equal(file_exists(scratch->fd, "inside"), !in_memory);
}

static void test_failure(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct sandbox sandbox;
    if (!start(scratch->path, 0, RUN_ARGV("base", "1", "sh", "-c", "echo 'E: the disk is full' >&2; echo later >&2; exit 3"), &sandbox))
        return;
    cleanup_free char *text = read_out(&sandbox);
    assert_int_equal(sandbox_wait(&sandbox, &err), -EIO);
    assert_contains(err.text, "E: the disk is full");
}

static void test_bad_job(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct sandbox sandbox;
    static const struct {
        const char *argv[4];
        const char *words;
    } cases[] = {
        {{"unknown", "x", NULL}, "no such job"},
        {{"base", "1", NULL}, "no command"},
        {{"base", "1", "/nonexistent/program", NULL}, "cannot start /nonexistent/program"},
        {{"layer", "1", NULL}, "arguments are missing"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (!start(scratch->path, 0, cases[i].argv, &sandbox))
            return;
        assert_int_equal(sandbox_wait(&sandbox, &err), -EIO);
        assert_contains(err.text, cases[i].words);
    }
}

// One job reads what another one writes. Whose failure it was is told, whichever of the two ended first.
static void test_chain(void **state) {
    struct scratch *scratch = *state;
    static const struct {
        const char *source, *reader, *words;
    } cases[] = {
        {"echo from the source", "tr a-z A-Z", NULL},
        {"head -c 100000 /dev/zero; echo 'E: the disk has a bad sector' >&2; exit 1", "cat >/dev/null; echo 'E: ends early' >&2; exit 2",
         "the disk has a bad sector"},
        {"head -c 100000 /dev/zero; echo 'E: the disk has a bad sector' >&2; exit 1", "cat >/dev/null", "the disk has a bad sector"},
        {"cat /dev/zero", "echo 'E: cannot unpack' >&2; exit 2", "cannot unpack"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = {0};
        struct sandbox source, sandbox;
        if (!start(scratch->path, 0, RUN_ARGV("base", "1", "sh", "-c", cases[i].source), &source))
            return;
        assert_ok(sandbox_start_behind(&source, scratch->path, 0, RUN_ARGV("base", "1", "sh", "-c", cases[i].reader), &sandbox, &err));
        cleanup_free char *text = read_out(&sandbox);
        int r = sandbox_wait(&sandbox, &err);
        if (!cases[i].words) {
            assert_ok(r);
            assert_string_equal(text, "FROM THE SOURCE\n");
            continue;
        }
        assert_int_equal(r, -EIO);
        assert_contains(err.text, cases[i].words);
    }
}

static void test_abort_ends_both(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct sandbox source, sandbox;
    struct stat first, second;
    if (!start(scratch->path, 0, RUN_ARGV("base", "1", "sh", "-c", "while :; do date +%N > beat; sleep 0.02; done"), &source))
        return;
    assert_ok(sandbox_start_behind(&source, scratch->path, 0, RUN_ARGV("base", "1", "cat"), &sandbox, &err));
    for (int i = 0; i < 200 && !file_exists(scratch->fd, "beat"); i++)
        usleep(20000);
    sandbox_abort(&sandbox);
    usleep(200000);
    assert_int_equal(fstatat(scratch->fd, "beat", &first, 0), 0);
    usleep(200000);
    assert_int_equal(fstatat(scratch->fd, "beat", &second, 0), 0);
    assert_true(first.st_mtim.tv_sec == second.st_mtim.tv_sec && first.st_mtim.tv_nsec == second.st_mtim.tv_nsec);
}

// A child that ran away from its parent dies with the namespace.
static void test_abort(void **state) {
    struct scratch *scratch = *state;
    struct sandbox sandbox;
    if (!start(scratch->path, 0, RUN_ARGV("base", "1", "sh", "-c", "(while :; do date +%N > beat; sleep 0.02; done) & echo up; wait"),
               &sandbox))
        return;
    char up[3];
    assert_int_equal(read(sandbox.out_fd, up, sizeof(up)), 3);
    sandbox_abort(&sandbox);
    usleep(200000);
    struct stat first, second;
    int had = fstatat(scratch->fd, "beat", &first, 0);
    usleep(200000);
    if (had == 0 && fstatat(scratch->fd, "beat", &second, 0) == 0)
        assert_true(first.st_mtim.tv_sec == second.st_mtim.tv_sec && first.st_mtim.tv_nsec == second.st_mtim.tv_nsec);
}

// The builder itself is killed: what it started does not go on.
static void test_killed_builder(void **state) {
    struct scratch *scratch = *state;
    struct stat first, second;
    pid_t builder = fork();
    if (builder == 0) {
        struct err err = {0};
        struct sandbox sandbox;
        int r = sandbox_start(scratch->path, 0, RUN_ARGV("base", "1", "sh", "-c", "while :; do date +%N > beat; sleep 0.02; done"),
                              &sandbox, &err);
        pause();
        _exit(r < 0);
    }
    for (int i = 0; i < 200 && !file_exists(scratch->fd, "beat"); i++)
        usleep(20000);
    assert_int_equal(kill(builder, SIGKILL), 0);
    assert_int_equal(waitpid(builder, NULL, 0), builder);
    usleep(200000);
    if (fstatat(scratch->fd, "beat", &first, 0) < 0)
        return; // no namespaces for this user: test_output says so
    usleep(200000);
    assert_int_equal(fstatat(scratch->fd, "beat", &second, 0), 0);
    assert_true(first.st_mtim.tv_sec == second.st_mtim.tv_sec && first.st_mtim.tv_nsec == second.st_mtim.tv_nsec);
}

static void test_remove_work(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    struct sandbox sandbox;
    cleanup_free char *work = scratch_file(scratch, "work");
    assert_ok(file_mkdirs(AT_FDCWD, work, 0755, &err));
    if (!start(work, 0, RUN_ARGV("base", "1", "sh", "-c", "mkdir d; touch d/f; chown -R 33:33 d; chmod 0 d"), &sandbox))
        return;
    assert_ok(sandbox_wait(&sandbox, &err));
    assert_ok(sandbox_remove_work(work, &err));
    assert_false(file_exists(AT_FDCWD, work));
}

// Links of an image, also those that a bind mount or a file of ours would follow into the build host.
static void test_links_out_of_the_tree(void **state) {
    struct scratch *scratch = *state;
    struct err err = {0};
    cleanup_fd int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(here >= 0 && chdir(scratch->path) == 0);
    assert_ok(file_mkdirs(scratch->fd, "root/etc", 0755, &err));
    assert_ok(file_mkdirs(scratch->fd, "root/usr/bin", 0755, &err));
    assert_ok(sandbox_check_tree(&err));
    assert_int_equal(symlinkat("/etc/kernel", scratch->fd, "root/etc/kernel"), 0);
    assert_int_equal(sandbox_check_tree(&err), -EINVAL);
    assert_contains(err.text, "/etc/kernel: is no directory in the image");
    assert_int_equal(symlinkat("bin", scratch->fd, "root/usr/sbin"), 0);
    assert_int_equal(sandbox_check_directory("usr/sbin", &err), -EINVAL);
    assert_ok(sandbox_check_directory("usr/bin", &err));
    assert_ok(sandbox_check_directory("usr/missing/too", &err));
    put_file("root/usr/file", "", 0);
    assert_int_equal(sandbox_check_directory("usr/file/below", &err), -EINVAL);
    assert_int_equal(fchdir(here), 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], SANDBOX_VERB) == 0)
        return sandbox_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_output, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_memory, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_failure, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad_job, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_chain, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_abort_ends_both, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_abort, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_killed_builder, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_links_out_of_the_tree, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_remove_work, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
