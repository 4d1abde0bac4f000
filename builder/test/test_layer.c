// SPDX-License-Identifier: Apache-2.0
// Layers without packages, from recipe to squashfs and back through unsquashfs; what a layer may not bring; downloads.
#include "builder/content.h"
#include "builder/download.h"
#include "builder/layer_output.h"
#include "builder/test/support.h"
#include <signal.h>

#define TEXT(s) ((char *)(uintptr_t)(s))

struct fixture {
    struct scratch *scratch;
    char *base, *source, *out;
    const char *lower[1];
    struct recipe_layer recipe;
    struct layer_request request;
};

static void put(const char *dir, const char *path, const char *text, mode_t mode) {
    struct err err = {0};
    cleanup_free char *full = str_printf("%s/%s", dir, path);
    cleanup_free char *parent = str_printf("%.*s", (int)(strrchr(full, '/') - full), full);
    assert_ok(file_mkdirs(AT_FDCWD, parent, 0700, &err));
    assert_ok(file_publish(AT_FDCWD, full, text, strlen(text), mode, &err));
}

static void add_base(struct layer_output *output, const char *path, mode_t mode, const char *text) {
    struct err err = {0};
    struct normalise_entry entry = {
        .path = path, .mode = mode, .data = text, .target = text, .size = S_ISREG(mode) ? strlen(text) : 0, .fd = -1};
    assert_ok(normalise_add(output->normalise, &entry, &err));
}

static const struct layer_format fast = {.epoch = 1000, .zstd_level = 1, .block_size = 131072};

static void make_base(const char *dir) {
    struct err err = {0};
    struct layer_output output;
    assert_ok(layer_output_open(dir, &fast, &(struct normalise_options){.base = true, .side_fd = -1}, &output, &err));
    add_base(&output, "etc", S_IFDIR | 0711, NULL);
    add_base(&output, "etc/motd", S_IFREG | 0644, "old\n");
    add_base(&output, "etc/dir", S_IFDIR | 0755, NULL);
    add_base(&output, "usr/lib/systemd/system/ssh.service", S_IFREG | 0644, "[Unit]\n");
    add_base(&output, "usr/lib/systemd/system/getty@.service", S_IFREG | 0644, "[Unit]\n");
    add_base(&output, "usr/bin/tool", S_IFREG | 0755, "tool\n");
    add_base(&output, "bin", S_IFLNK | 0777, "usr/bin");
    assert_ok(layer_output_finish(&output, NULL, &err));
    layer_output_done(&output);
    put(dir, LAYER_PASSWD, "root:x:0:0::/root:/bin/sh\nops:x:990:991::/:/bin/sh\n", 0644);
    put(dir, LAYER_GROUP, "root:x:0:\nops:x:991:\nadm:x:4:\n", 0644);
}

static int setup(void **state) {
    signal(SIGPIPE, SIG_IGN);
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    void *scratch;
    scratch_setup(&scratch);
    f->scratch = scratch;
    f->base = scratch_file(f->scratch, "base");
    f->source = scratch_file(f->scratch, "overlay");
    f->out = scratch_file(f->scratch, "out");
    assert_ok(file_mkdirs(AT_FDCWD, f->base, 0755, &err));
    assert_ok(file_mkdirs(AT_FDCWD, f->out, 0755, &err));
    make_base(f->base);
    f->lower[0] = f->base;
    f->recipe = (struct recipe_layer){.name = TEXT("test"), .version = TEXT("1"), .dir = f->source};
    f->request = (struct layer_request){.layer = &f->recipe, .lower = f->lower, .lower_count = 1, .out_dir = f->out, .format = fast};
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    void *scratch = f->scratch;
    free(f->base);
    free(f->source);
    free(f->out);
    free(f);
    return scratch_teardown(&scratch);
}

// What unsquashfs shows of the layer: "mode owner … path" lines with single blanks, without size and date of entries.
static char *show(struct fixture *f) {
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/" LAYER_SQUASHFS, f->out), *text = NULL;
    struct run run = {.argv = RUN_ARGV("unsquashfs", "-lln", path)};
    assert_ok(run_capture(&run, 1 << 20, &text, NULL, &err));
    return take_ptr(text);
}

static void expect_line(const char *listing, const char *start, const char *end) {
    for (const char *line = listing; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        size_t size = strcspn(line, "\n"), tail = strlen(end);
        if (size > tail && strncmp(line, start, strlen(start)) == 0 && strncmp(line + size - tail, end, tail) == 0)
            return;
    }
    fail_msg("no line \"%s … %s\" in:\n%s", start, end, listing);
}

static void test_everything(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    put(f->source, "files/etc/motd", "new\n", 0600);
    put(f->source, "files/usr/lib/tool.sh", "#!/bin/sh\n", 0711);
    put(f->source, "files/var/lib/thing/data", "d\n", 0640);
    cleanup_free char *link = str_printf("%s/files/etc/link", f->source);
    assert_int_equal(symlink("../../outside", link), 0);
    put(f->scratch->path, "programs/webops", "ELF", 0700);
    put(f->scratch->path, "programs/webops-fetch", "ELF", 0700);
    cleanup_free char *programs_dir = scratch_file(f->scratch, "programs");
    struct recipe_unit enable[] = {{TEXT("ssh.service"), TEXT("multi-user.target")}, {TEXT("getty@tty1.service"), TEXT("getty.target")}};
    struct recipe_mode modes[] = {{TEXT("/var/lib/thing/data"), 0600, TEXT("ops:adm"), NULL},
                                  {TEXT("var/lib/thing"), 01770, TEXT("5:6"), NULL}};
    char *mask[] = {TEXT("apt-daily.timer")}, *gone[] = {TEXT("/usr/bin/tool")}, *programs[] = {TEXT("webops"), TEXT("webops-fetch")};
    f->recipe.enable = enable;
    f->recipe.enable_count = 2;
    f->recipe.modes = modes;
    f->recipe.mode_count = 2;
    f->recipe.mask = (struct strings){mask, 1};
    f->recipe.remove = (struct strings){gone, 1};
    f->recipe.programs = (struct strings){programs, 2};
    f->request.programs_dir = programs_dir;
    struct layer_extra extra = {"usr/lib/webops/layer.json", "{}", 2, 0600};
    f->request.extra = &extra;
    f->request.extra_count = 1;
    assert_ok(layer_build(&f->request, &err));
    cleanup_free char *listing = show(f);
    expect_line(listing, "drwxr-xr-x 0/0 ", " squashfs-root");
    expect_line(listing, "drwx--x--x 0/0 ", "/etc"); // as in the layer below
    expect_line(listing, "-rw-r--r-- 0/0 ", "/etc/motd");
    expect_line(listing, "lrwxrwxrwx 0/0 ", "/etc/link -> ../../outside");
    expect_line(listing, "-rwxr-xr-x 0/0 ", "/usr/lib/tool.sh");
    expect_line(listing, "drwxrwx--T 5/6 ", "/usr/share/factory/var/lib/thing");
    expect_line(listing, "-rw------- 990/4 ", "/usr/share/factory/var/lib/thing/data");
    expect_line(listing, "-rwxr-xr-x 0/0 ", "/usr/sbin/webops");
    expect_line(listing, "-rwxr-xr-x 0/0 ", "/usr/lib/webops/webops-fetch");
    expect_line(listing, "-rw------- 0/0 ", "/usr/lib/webops/layer.json");
    expect_line(listing, "c--------- 0/0 ", "/usr/bin/tool");
    expect_line(listing, "lrwxrwxrwx 0/0 ", "/apt-daily.timer -> /dev/null");
    expect_line(listing, "lrwxrwxrwx 0/0 ", "/multi-user.target.wants/ssh.service -> /usr/lib/systemd/system/ssh.service");
    expect_line(listing, "lrwxrwxrwx 0/0 ", "/getty.target.wants/getty@tty1.service -> /usr/lib/systemd/system/getty@.service");
    struct layer_info info;
    assert_ok(layer_info_load(f->out, &info, &err));
    assert_true(info.bytes > 0 && info.files > 14);
}

static void expect_refused(struct fixture *f, int code, const char *words) {
    struct err err = {0};
    assert_int_equal(layer_build(&f->request, &err), code);
    assert_contains(err.text, words);
    assert_contains(err.text, "layer test");
    cleanup_free char *path = str_printf("%s/" LAYER_SQUASHFS, f->out);
    assert_false(file_exists(AT_FDCWD, path));
}

static void test_file_over_directory(void **state) {
    struct fixture *f = *state;
    put(f->source, "files/etc/dir", "x", 0644);
    expect_refused(f, -EEXIST, "/etc/dir: is a file here and a directory");
}

static void test_directory_over_file(void **state) {
    struct fixture *f = *state;
    put(f->source, "files/etc/motd/x", "x", 0644);
    expect_refused(f, -EEXIST, "/etc/motd: is a directory here");
}

static void test_directory_over_symlink(void **state) {
    struct fixture *f = *state;
    struct layer_extra extra = {"bin/x", "x", 1, 0644};
    f->request.extra = &extra;
    f->request.extra_count = 1;
    expect_refused(f, -ENOTDIR, "/bin: is not a directory in a lower layer");
}

static void test_escapes(void **state) {
    struct fixture *f = *state;
    static const char *const paths[] = {"../x", "usr/../../x", "//etc/x", "", "a\nb"};
    struct layer_extra extra = {.data = "x", .size = 1, .mode = 0644};
    f->request.extra = &extra;
    f->request.extra_count = 1;
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        extra.path = paths[i];
        expect_refused(f, -EINVAL, "extra file");
    }
}

static void test_twice(void **state) {
    struct fixture *f = *state;
    put(f->source, "files/usr/lib/webops/layer.json", "x", 0644);
    struct layer_extra extra = {"usr/lib/webops/layer.json", "{}", 2, 0600};
    f->request.extra = &extra;
    f->request.extra_count = 1;
    expect_refused(f, -EEXIST, "two parts of the layer bring this path");
}

static void test_special_file(void **state) {
    struct fixture *f = *state;
    put(f->source, "files/etc/x", "x", 0644);
    cleanup_free char *path = str_printf("%s/files/etc/fifo", f->source);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(f, -EINVAL, "only files, directories and symlinks");
}

static void test_unknown_names(void **state) {
    struct fixture *f = *state;
    struct recipe_unit enable = {TEXT("nobody.service"), TEXT("multi-user.target")};
    f->recipe.enable = &enable;
    f->recipe.enable_count = 1;
    expect_refused(f, -ENOENT, "no layer has the unit nobody.service");
    f->recipe.enable_count = 0;
    char *gone[] = {TEXT("/usr/bin/nothing")};
    f->recipe.remove = (struct strings){gone, 1};
    expect_refused(f, -ENOENT, "/usr/bin/nothing is in no lower layer");
    f->recipe.remove.count = 0;
    struct recipe_mode mode = {TEXT("/etc/none"), 0600, NULL, NULL};
    f->recipe.modes = &mode;
    f->recipe.mode_count = 1;
    expect_refused(f, -ENOENT, "no file or directory /etc/none");
    put(f->source, "files/etc/none", "x", 0644);
    mode.owner = TEXT("stranger");
    expect_refused(f, -ENOENT, "no user and group stranger");
}

static void read_hash(struct fixture *f, char sha256[65]) {
    struct err err = {0};
    struct layer_info info;
    assert_ok(layer_build(&f->request, &err));
    assert_ok(layer_info_load(f->out, &info, &err));
    memcpy(sha256, info.sha256, 65);
    assert_ok(file_remove_tree(AT_FDCWD, f->out, &err));
    assert_ok(file_mkdirs(AT_FDCWD, f->out, 0755, &err));
}

// Made in another order, with other times and umask-dependent modes: the same bytes.
static void test_same_bytes(void **state) {
    struct fixture *f = *state;
    char first[65], second[65];
    struct err err = {0};
    static const char *const names[] = {"a", "b", "c", "dir/d", "dir/e"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_free char *path = str_printf("files/opt/%s", names[i]);
        put(f->source, path, names[i], 0644);
    }
    read_hash(f, first);
    assert_ok(file_remove_tree(AT_FDCWD, f->source, &err));
    mode_t before = umask(077);
    for (size_t i = ARRAY_SIZE(names); i--;) {
        cleanup_free char *path = str_printf("files/opt/%s", names[i]);
        put(f->source, path, names[i], 0600);
    }
    cleanup_free char *touched = str_printf("%s/files/opt/a", f->source);
    assert_int_equal(utimensat(AT_FDCWD, touched, (struct timespec[2]){{5, 5}, {5, 5}}, 0), 0);
    read_hash(f, second);
    umask(before);
    assert_string_equal(first, second);
}

static void test_download(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    put(f->scratch->path, "served", "hello", 0644);
    cleanup_free char *url = str_printf("file://%s/served", f->scratch->path), *dir = scratch_file(f->scratch, "downloads");
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    struct recipe_fetch fetch = {url, TEXT("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), TEXT("/opt/hello"), 0755,
                                 NULL};
    f->recipe.fetch = &fetch;
    f->recipe.fetch_count = 1;
    expect_refused(f, -EINVAL, "no directory for downloads");
    f->request.downloads_dir = dir;
    f->request.is_offline = true;
    expect_refused(f, -EAGAIN, "/served is not in the cache: an offline build needs one online build before it");
    f->request.is_offline = false;
    assert_ok(layer_build(&f->request, &err));
    f->request.is_offline = true;
    assert_ok(layer_build(&f->request, &err));
    cleanup_free char *listing = show(f), *cached = str_printf("%s/%s", dir, fetch.sha256);
    expect_line(listing, "-rwxr-xr-x 0/0 ", "/opt/hello");
    put_file(cached, "hellO", 5); // damaged in the cache: fetched again
    assert_ok(download_ensure(dir, &fetch, false, &err));
    cleanup_free char *text = NULL;
    assert_ok(file_read(AT_FDCWD, cached, 100, &text, NULL, &err));
    assert_string_equal(text, "hello");
}

static void test_download_refused(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    put(f->scratch->path, "served", "other", 0644);
    put(f->scratch->path, "downloads/x", "", 0644);
    cleanup_free char *url = str_printf("file://%s/served", f->scratch->path), *dir = scratch_file(f->scratch, "downloads");
    struct recipe_fetch fetch = {url, TEXT("2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"), TEXT("/opt/hello"), 0,
                                 NULL};
    cleanup_free char *cached = str_printf("%s/%s", dir, fetch.sha256);
    assert_int_equal(download_ensure(dir, &fetch, false, &err), -EBADMSG);
    assert_contains(err.text, "expected was 2cf24d");
    assert_false(file_exists(AT_FDCWD, cached));
    fetch.url = TEXT("file:///nonexistent/x");
    assert_int_equal(download_ensure(dir, &fetch, false, &err), -EAGAIN);
    assert_contains(err.text, "/nonexistent/x");
    fetch.url = TEXT("ftp://127.0.0.1/x");
    assert_int_equal(download_ensure(dir, &fetch, false, &err), -EAGAIN);
    fetch.sha256 = TEXT("abc");
    assert_int_equal(download_ensure(dir, &fetch, false, &err), -EINVAL);
}

static void test_damaged_info(void **state) {
    struct fixture *f = *state;
    struct layer_info info = {.bytes = 77};
    struct err err = {0};
    static const char *const bad[] = {"", "{}", "{\"sha256\": \"ab\", \"bytes\": 1, \"files\": 1}", "[1]"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        put(f->out, LAYER_INFO, bad[i], 0644);
        assert_int_equal(layer_info_load(f->out, &info, &err), -EINVAL);
        assert_int_equal(info.bytes, 77);
    }
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        with_fixture(test_everything),
        with_fixture(test_file_over_directory),
        with_fixture(test_directory_over_file),
        with_fixture(test_directory_over_symlink),
        with_fixture(test_escapes),
        with_fixture(test_twice),
        with_fixture(test_special_file),
        with_fixture(test_unknown_names),
        with_fixture(test_same_bytes),
        with_fixture(test_download),
        with_fixture(test_download_refused),
        with_fixture(test_damaged_info),
    };
    return cmocka_run_group_tests_name("layer", tests, NULL, NULL);
}
