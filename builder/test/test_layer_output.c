// SPDX-License-Identifier: Apache-2.0
// What a finished layer leaves beside its squashfs, reading it back, merged indexes, and failures on the way.
#include "builder/package_set.h"
#include "builder/layer_output.h"
#include "builder/test/support.h"
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>

static const struct layer_format fast = {.epoch = 1000, .zstd_level = 1, .block_size = 131072};
#define STATUS                                                                                                                             \
    "Package: own\nStatus: install ok installed\nArchitecture: all\nVersion: 2-1\nSource: src\nInstalled-Size: 7\n\n"                      \
    "Package: below\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
#define HASH "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char *room(struct scratch *scratch, const char *name) {
    struct err err = {0};
    assert_ok(file_mkdirs(scratch->fd, name, 0755, &err));
    return scratch_file(scratch, name);
}

static void add(struct layer_output *output, const char *path, const char *text) {
    struct err err = {0};
    const struct normalise_entry entry = {.path = path, .mode = S_IFREG | 0644, .data = text, .size = strlen(text), .fd = -1};
    assert_ok(layer_output_add(output, &entry, &err));
}

static void make_layer(const char *dir, const char *path, const char *text) {
    struct err err = {0};
    struct layer_output output;
    assert_ok(layer_output_open(dir, &fast, &(struct normalise_options){.side_fd = -1}, &output, &err));
    add(&output, path, text);
    assert_ok(layer_output_finish(&output, NULL, &err));
    layer_output_done(&output);
    layer_output_done(&output); // harmless
}

static void test_info(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *dir = room(scratch, "a"), *squashfs = str_printf("%s/" LAYER_SQUASHFS, dir);
    struct layer_info info;
    struct err err = {0};
    char sha256[65];
    uint8_t digest[DIGEST_BYTES];
    struct stat st;
    make_layer(dir, "usr/share/x", "hello");
    assert_ok(layer_info_load(dir, &info, &err));
    hash_file(squashfs, digest);
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
    assert_string_equal(info.sha256, sha256);
    assert_int_equal(stat(squashfs, &st), 0);
    assert_int_equal(info.bytes, st.st_size);
    assert_int_equal(info.files, 3); // usr, usr/share, usr/share/x
}

static void test_info_refused(void **state) {
    struct scratch *scratch = *state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"sha256\": \"" HASH "\", \"bytes\": 1}",
        "{\"sha256\": \"" HASH "a\", \"bytes\": 1, \"files\": 1}",
        "{\"sha256\": \"abc\", \"bytes\": 1, \"files\": 1}",
        "{\"sha256\": \"" HASH "\", \"bytes\": 0, \"files\": 1}",
        "{\"sha256\": \"" HASH "\", \"bytes\": -1, \"files\": 1}",
        "{\"sha256\": \"" HASH "\", \"bytes\": 1, \"files\": -1}",
        "{\"sha256\": \"" HASH "\", \"bytes\": \"1\", \"files\": 1}",
        "{\"sha256\": \"" HASH "\", \"bytes\": 1, \"bytes\": 2, \"files\": 1}",
        "{\"sha256\": 5, \"bytes\": 1, \"files\": 1}",
    };
    cleanup_free char *dir = room(scratch, "a"), *path = str_printf("%s/" LAYER_INFO, dir);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct layer_info info = {.bytes = 99};
        struct err err = {0};
        put_file(path, texts[i], strlen(texts[i]));
        assert_int_equal(layer_info_load(dir, &info, &err), -EINVAL);
        assert_contains(err.text, path);
        assert_int_equal(info.bytes, 99);
    }
    struct layer_info info;
    struct err err = {0};
    assert_int_equal(unlink(path), 0);
    assert_int_equal(layer_info_load(dir, &info, &err), -ENOENT);
    static const char smallest[] = "{\"sha256\": \"" HASH "\", \"bytes\": 1, \"files\": 0}";
    put_file(path, smallest, strlen(smallest));
    assert_ok(layer_info_load(dir, &info, &err));
    assert_int_equal(info.bytes, 1);
}

// Only the layer's own packages are listed, with what dpkg knows of them.
static void test_package_list(void **state) {
    struct scratch *scratch = *state;
    static const char uris[] = "'u' own_2-1_all.deb 5 SHA256:" HASH "\n";
    cleanup_free char *dir = room(scratch, "a"), *tree = room(scratch, "tree/var/lib/dpkg"), *status = str_printf("%s/status", tree);
    cleanup_free char *tar = scratch_file(scratch, "t.tar"), *top = scratch_file(scratch, "tree"), *text = NULL;
    cleanup_free char *path = str_printf("%s/" LAYER_INFO, dir);
    cleanup_package_set struct package_set set = {0};
    struct layer_output output;
    struct err err = {0};
    put_file(status, STATUS, strlen(STATUS));
    free(tool(RUN_ARGV("tar", "-C", top, "-cf", tar, "var")));
    assert_ok(package_set_parse_uris(uris, strlen(uris), &set, &err));
    assert_ok(layer_output_open(dir, &fast, &(struct normalise_options){.side_fd = -1}, &output, &err));
    cleanup_fd int fd = open(tar, O_RDONLY | O_CLOEXEC);
    assert_ok(normalise_stream(output.normalise, fd, "test", &err));
    assert_ok(layer_output_finish(&output, &set, &err));
    layer_output_done(&output);
    assert_ok(file_read(AT_FDCWD, path, 1 << 16, &text, NULL, &err));
    json_t *info = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *packages = json_object_get(info, "packages");
    assert_int_equal(json_array_size(packages), 1);
    const char *name, *version, *source;
    json_int_t kib;
    assert_int_equal(json_unpack(json_array_get(packages, 0), "{s:s, s:s, s:s, s:I}", "name", &name, "version", &version, "source", &source,
                                 "installed_kib", &kib),
                     0);
    assert_string_equal(name, "own");
    assert_string_equal(version, "2-1");
    assert_string_equal(source, "src");
    assert_int_equal(kib, 7);
    json_decref(info);
}

// The upper layer's word on a path is what a layer above sees.
static void test_lower_index(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *one = room(scratch, "one"), *two = room(scratch, "two"), *index = str_printf("%s/" LAYER_INDEX, two);
    static const char upper[] = "20000 0 0 etc/a\n100600 5 6 etc/b\n";
    cleanup_index struct index merged = {0}, none = {0};
    const char *const lower[] = {one, two};
    struct err err = {0};
    make_layer(one, "etc/a", "1");
    put_file(index, upper, strlen(upper));
    assert_ok(layer_lower_index(lower, 2, &merged, &err));
    assert_null(index_find(&merged, "etc/a")); // hidden by a whiteout
    assert_non_null(index_find(&merged, "etc"));
    assert_int_equal(index_find(&merged, "etc/b")->uid, 5);
    assert_ok(layer_lower_index(lower, 0, &none, &err));
    assert_int_equal(none.count, 0);
    put_file(index, "junk\n", 5);
    assert_true(layer_lower_index(lower, 2, &none, &err) < 0);
    assert_contains(err.text, index);
    assert_int_equal(unlink(index), 0);
    assert_int_equal(layer_lower_index(lower, 2, &none, &err), -ENOENT);
    assert_contains(err.text, index);
    assert_int_equal(none.count, 0);
}

// Given up half-way: mksquashfs is gone, and so is its file.
static void test_abandoned(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *dir = room(scratch, "a"), *squashfs = str_printf("%s/" LAYER_SQUASHFS, dir),
                      *info = str_printf("%s/" LAYER_INFO, dir);
    struct layer_output output;
    struct err err = {0};
    assert_ok(layer_output_open(dir, &fast, &(struct normalise_options){.side_fd = -1}, &output, &err));
    pid_t pid = output.squashfs.pid;
    add(&output, "etc/a", "1");
    layer_output_done(&output);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_false(file_exists(AT_FDCWD, squashfs));
    assert_false(file_exists(AT_FDCWD, info));
}

// Files that do not compress, 16 MiB each and a gigabyte at most, until one cannot be added. mksquashfs reads ahead of what it writes (on
// two busy processors by 9 MiB when its limit was 1 MiB), so it is not the first one for certain.
static int add_until_refused(struct layer_output *output, struct err *err) {
    const size_t size = 16 << 20;
    cleanup_free char *noise = mem_array(size, 1);
    int r = 0;
    for (size_t at = 0; at < size; at += 256) // of getentropy()'s most
        assert_int_equal(getentropy(noise + at, 256), 0);
    for (size_t i = 0; i < 64 && r >= 0; i++) {
        cleanup_free char *path = str_printf("noise%02zu", i);
        const struct normalise_entry entry = {.path = path, .mode = S_IFREG | 0644, .data = noise, .size = size, .fd = -1};
        r = layer_output_add(output, &entry, err);
    }
    return r;
}

// No room for the squashfs, seen while an entry is added: what mksquashfs met is said, and its file is gone.
static void test_no_room(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *dir = room(scratch, "a"), *squashfs = str_printf("%s/" LAYER_SQUASHFS, dir);
    struct rlimit old, small = {1 << 20, RLIM_INFINITY};
    struct layer_output output;
    struct err err = {0};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_ok(layer_output_open(dir, &fast, &(struct normalise_options){.side_fd = -1}, &output, &err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0); // of mksquashfs alone
    assert_int_equal(add_until_refused(&output, &err), -EIO);
    assert_contains(err.text, squashfs);
    assert_contains(err.text, "File size limit exceeded");
    layer_output_done(&output);
    assert_false(file_exists(AT_FDCWD, squashfs));
}

static void test_no_directory(void **state) {
    struct scratch *scratch = *state;
    cleanup_free char *dir = scratch_file(scratch, "none");
    struct layer_output output = {.dir_fd = 55};
    struct err err = {0};
    assert_int_equal(layer_output_open(dir, &fast, &(struct normalise_options){.side_fd = -1}, &output, &err), -ENOENT);
    assert_contains(err.text, dir);
    assert_int_equal(output.dir_fd, 55);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, scratch_setup, scratch_teardown)

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        TEST(test_info),      TEST(test_info_refused), TEST(test_package_list), TEST(test_lower_index),
        TEST(test_abandoned), TEST(test_no_room),      TEST(test_no_directory),
    };
    return cmocka_run_group_tests_name("layer_output", tests, NULL, NULL);
}
