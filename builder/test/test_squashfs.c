// SPDX-License-Identifier: Apache-2.0
// mksquashfs behind a stream: the same bytes on one processor and on all, root's root directory, and clear ends when it fails.
#include "builder/normalise.h"
#include "builder/squashfs.h"
#include "builder/test/support.h"
#include "builder/tool_log.h"
#include <sched.h>
#include <signal.h>

#define FILES 400

static const struct layer_format format = {.epoch = 1234567890, .zstd_level = 3, .block_size = 131072};

static int add_file(struct normalise *n, unsigned number, char *data, struct err *err) {
    cleanup_free char *path = str_printf("usr/share/%u/file", number);
    size_t size = (number * 7919) % 300000; // fragments, whole blocks and both
    for (size_t i = 0; i < size; i++)
        data[i] = (char)((i * number) >> 7);
    struct normalise_entry entry = {.path = path, .mode = S_IFREG | 0644, .data = data, .size = size, .fd = -1};
    return normalise_add(n, &entry, err);
}

static void build_as(const char *path, const struct layer_format *as, char sha256[65]) {
    struct err err = {0};
    struct squashfs squashfs;
    uint64_t bytes;
    cleanup_normalise struct normalise *n = NULL;
    cleanup_free char *data = mem_array(300000, 1);
    assert_ok(squashfs_start(path, as, &squashfs, &err));
    assert_ok(normalise_open(&(struct normalise_options){.epoch = as->epoch, .side_fd = -1}, squashfs.in_fd, &n, &err));
    for (unsigned i = 0; i < FILES; i++)
        assert_ok(add_file(n, i, data, &err));
    assert_ok(normalise_finish(n, &err));
    assert_ok(squashfs_finish(&squashfs, &bytes, sha256, &err));
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_size, bytes);
}

static void build(const char *path, char sha256[65]) {
    build_as(path, &format, sha256);
}

// squashfs 4.0's superblock: the compression is the little-endian number at 20.
static uint16_t compression_of(const char *path) {
    uint8_t number[2];
    cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, number, sizeof(number), 20), sizeof(number));
    return (uint16_t)(number[0] | number[1] << 8);
}

// For kernels without zstd; a level that is zstd's alone is gzip's highest.
static void test_gzip(void **state) {
    const struct layer_format older = {.epoch = 1234567890, .zstd_level = 19, .is_gzip = true, .block_size = 131072};
    cleanup_free char *path = scratch_file(*state, "gzip"), *other = scratch_file(*state, "zstd"), *to = scratch_file(*state, "tree");
    char sha256[65];
    build_as(path, &older, sha256);
    build(other, sha256);
    assert_int_equal(compression_of(path), 1);
    assert_int_equal(compression_of(other), 6);
    free(tool(RUN_ARGV("unsquashfs", "-no-progress", "-d", to, path)));
}

static void test_processors(void **state) {
    cleanup_free char *one = scratch_file(*state, "one"), *all = scratch_file(*state, "all");
    char first[65], second[65];
    cpu_set_t before, single;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&single);
    for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&single); i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &single);
    assert_int_equal(sched_setaffinity(0, sizeof(single), &single), 0);
    build(one, first);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    build(all, second);
    assert_string_equal(first, second);
}

static void test_root_directory(void **state) {
    cleanup_free char *path = scratch_file(*state, "x"), *text = NULL;
    char sha256[65];
    struct err err = {0};
    mode_t before = umask(077);
    build(path, sha256);
    umask(before);
    struct run run = {.argv = RUN_ARGV("unsquashfs", "-lln", path), .env = RUN_ARGV("TZ=UTC", "PATH=/usr/bin:/bin")};
    assert_ok(run_capture(&run, 1 << 20, &text, NULL, &err));
    assert_int_equal(strncmp(text, "drwxr-xr-x 0/0 ", 15), 0);
    text[strcspn(text, "\n")] = 0;
    assert_contains(text, "2009-02-13 23:31 squashfs-root");
}

static void test_failure(void **state) {
    (void)state;
    struct err err = {0};
    struct squashfs squashfs;
    char sha256[65];
    uint64_t bytes = 0;
    assert_ok(squashfs_start("/nonexistent/x", &format, &squashfs, &err));
    assert_true(squashfs_finish(&squashfs, &bytes, sha256, &err) < 0);
    assert_contains(err.text, "mksquashfs failed");
    assert_contains(err.text, "/nonexistent/x");
    assert_int_equal(squashfs.in_fd, -1);
}

// The reader is killed under the writer: an error that can be explained, no signal, no file.
static void test_killed(void **state) {
    cleanup_free char *path = scratch_file(*state, "killed"), *data = mem_array(300000, 1);
    struct err err = {0};
    struct squashfs squashfs;
    cleanup_normalise struct normalise *n = NULL;
    assert_ok(squashfs_start(path, &format, &squashfs, &err));
    assert_ok(normalise_open(&(struct normalise_options){.side_fd = -1}, squashfs.in_fd, &n, &err));
    kill(squashfs.pid, SIGKILL);
    int r = 0;
    for (unsigned i = 0; i < FILES && r >= 0; i++)
        r = add_file(n, i, data, &err);
    assert_int_equal(r, -EPIPE);
    squashfs_abort(&squashfs);
    assert_false(file_exists(AT_FDCWD, path));
}

static void test_log_line(void **state) {
    (void)state;
    static const struct {
        const char *text, *line;
    } cases[] = {
        {"", ""},
        {"\n\n", ""},
        {"one\ntwo\n", "two"},
        {"one\nE: Unable to locate package x\nafterwards\n", "E: Unable to locate package x"},
        {"dpkg: error processing a\r\nE: last\n\n", "E: last"},
        {"Write failed because No space left on device\nFATAL ERROR: gave up\n", "Write failed because No space left on device"},
        {"  FATAL ERROR: disk  \n", "FATAL ERROR: disk  "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t size;
        const char *line = tool_log_line(cases[i].text, strlen(cases[i].text), &size);
        assert_int_equal(size, strlen(cases[i].line));
        assert_memory_equal(line, cases[i].line, size);
    }
}

static void test_environment(void **state) {
    (void)state;
    setenv("LC_MESSAGES", "de_DE", 1);
    setenv("SOURCE_DATE_EPOCH", "5", 1);
    setenv("WEBOPS_TEST_KEPT", "1", 1);
    cleanup_tool_env char **env = tool_env((const char *const[]){"EXTRA=1", NULL});
    bool kept = false, extra = false, utf8 = false;
    for (char **v = env; *v; v++) {
        assert_int_not_equal(strncmp(*v, "LC_MESSAGES=", 12), 0);
        assert_int_not_equal(strncmp(*v, "SOURCE_DATE_EPOCH=", 18), 0);
        kept = kept || strcmp(*v, "WEBOPS_TEST_KEPT=1") == 0;
        extra = extra || strcmp(*v, "EXTRA=1") == 0;
        utf8 = utf8 || strcmp(*v, "LC_ALL=C.UTF-8") == 0;
    }
    assert_true(kept && extra && utf8);
    unsetenv("LC_MESSAGES");
    unsetenv("SOURCE_DATE_EPOCH");
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_gzip, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_processors, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_root_directory, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_failure),
        cmocka_unit_test_setup_teardown(test_killed, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_log_line),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests_name("squashfs", tests, NULL, NULL);
}
