// SPDX-License-Identifier: Apache-2.0
// Pinned downloads from a file and from a web server: kept under their hash, or not at all.
#include "builder/download.h"
#include "builder/test/http_server.h"
#include <dirent.h>
#include <sys/resource.h>

#define TEXT(s) ((char *)(uintptr_t)(s))
#define HELLO "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of "hello"
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static struct fixture {
    struct scratch *scratch;
    struct http_server server;
    char *served, *kept;
} f;

static int start(void **state) {
    struct err err = {0};
    void *scratch;
    scratch_setup(&scratch);
    f.scratch = scratch;
    f.served = scratch_file(f.scratch, "served");
    f.kept = scratch_file(f.scratch, "kept");
    assert_ok(file_mkdirs(AT_FDCWD, f.served, 0755, &err));
    http_server_start(f.served, &f.server);
    (void)state;
    return 0;
}

static int stop(void **state) {
    void *scratch = f.scratch;
    http_server_stop(&f.server);
    free(f.served);
    free(f.kept);
    (void)state;
    return scratch_teardown(&scratch);
}

// Before each test: one file on offer, nothing kept.
static int reset(void **state) {
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/hello", f.served);
    put_file(path, "hello", 5);
    assert_ok(file_remove_tree(AT_FDCWD, f.kept, &err));
    assert_ok(file_mkdirs(AT_FDCWD, f.kept, 0755, &err));
    (void)state;
    return 0;
}

static char *address(bool http, const char *name) {
    return http ? str_printf("http://127.0.0.1:%u/%s", f.server.port, name) : str_printf("file://%s/%s", f.served, name);
}

static int fetch(const char *url, const char *sha256, struct err *err) {
    struct recipe_fetch wanted = {TEXT(url), TEXT(sha256), TEXT("/opt/x"), 0644, NULL};
    return download_ensure(f.kept, &wanted, false, err);
}

// What is in the directory: one name or "" for none; more fail.
static void expect_kept(const char *name, const char *text) {
    cleanup_dir DIR *dir = opendir(f.kept);
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.') {
            assert_string_equal(entry->d_name, name);
            count++;
        }
    assert_int_equal(count, *name ? 1 : 0);
    if (*name) {
        struct err err = {0};
        cleanup_free char *path = str_printf("%s/%s", f.kept, name), *have = NULL;
        assert_ok(file_read(AT_FDCWD, path, 100, &have, NULL, &err));
        assert_string_equal(have, text);
    }
}

static void test_right(void **state) {
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct err err = {0};
        cleanup_free char *url = address(http, "hello");
        assert_ok(fetch(url, HELLO, &err));
        expect_kept(HELLO, "hello");
        reset(NULL);
    }
}

static void test_empty_file(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/empty", f.served), *url = address(true, "empty");
    put_file(path, "", 0);
    assert_ok(fetch(url, EMPTY, &err));
    expect_kept(EMPTY, "");
}

static void test_wrong_hash(void **state) {
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct err err = {0};
        cleanup_free char *url = address(http, "hello");
        assert_int_equal(fetch(url, EMPTY, &err), -EBADMSG);
        assert_contains(err.text, url);
        assert_contains(err.text, "has SHA-256 " HELLO);
        assert_contains(err.text, "expected was " EMPTY);
        expect_kept("", NULL);
    }
}

// What is there and right is not fetched again, even when the source is gone; what is there and wrong is.
static void test_kept_copy(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *url = address(true, "hello"), *gone = address(true, "gone"), *path = str_printf("%s/" HELLO, f.kept);
    assert_false(download_is_there(f.kept, HELLO));
    put_file(path, "hello", 5);
    assert_true(download_is_there(f.kept, HELLO));
    assert_int_equal(fetch(gone, HELLO, &err), 0);
    put_file(path, "hellO", 5);
    assert_false(download_is_there(f.kept, HELLO));
    assert_int_equal(fetch(gone, HELLO, &err), -EAGAIN);
    assert_int_equal(fetch(url, HELLO, &err), 1);
    expect_kept(HELLO, "hello");
    put_file(path, "", 0); // cut off
    assert_ok(fetch(url, HELLO, &err));
    expect_kept(HELLO, "hello");
}

static void test_missing(void **state) {
    (void)state;
    for (int http = 0; http < 2; http++) {
        struct err err = {0};
        cleanup_free char *url = address(http, "no/such/file");
        assert_int_equal(fetch(url, HELLO, &err), -EAGAIN);
        assert_contains(err.text, url);
        assert_contains(err.text, http ? "404" : "open");
        expect_kept("", NULL); // not the server's error page
    }
}

static void test_nobody_listens(void **state) {
    (void)state;
    struct err err = {0};
    assert_int_equal(fetch("http://127.0.0.1:9/x", HELLO, &err), -EAGAIN);
    assert_contains(err.text, "cannot fetch http://127.0.0.1:9/x: ");
    expect_kept("", NULL);
}

static void test_schemes(void **state) {
    (void)state;
    static const char *const urls[] = {"ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "dict://127.0.0.1/x", "nothing", "",
                                       "scp://127.0.0.1/x"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct err err = {0};
        assert_true(fetch(urls[i], HELLO, &err) < 0);
        assert_contains(err.text, "cannot fetch ");
        expect_kept("", NULL);
    }
}

static void test_bad_hashes(void **state) {
    (void)state;
    static const char *const hashes[] = {
        "",
        "2cf24d",
        "2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824",
        HELLO "0",
        "../../../../../../../../../../../../../../../../../../etc/passwd",
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b982 ",
    };
    cleanup_free char *url = address(false, "hello");
    for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
        struct err err = {0};
        assert_int_equal(fetch(url, hashes[i], &err), -EINVAL);
        assert_contains(err.text, "64 lower-case hex digits");
        expect_kept("", NULL);
    }
}

// The size is told before the first byte: nothing of it is written (more than a little would be the end of this process).
static void test_too_large(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *path = str_printf("%s/large", f.served), *url = address(true, "large");
    cleanup_fd int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(ftruncate(fd, (off_t)DOWNLOAD_MAX_BYTES + 1), 0); // sparse
    struct rlimit before, little;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    little = before;
    little.rlim_cur = MIB;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
    int r = fetch(url, HELLO, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(r, -EFBIG);
    assert_contains(err.text, url);
    expect_kept("", NULL);
    assert_int_equal(unlink(path), 0);
}

static void test_no_directory(void **state) {
    (void)state;
    struct err err = {0};
    cleanup_free char *url = address(false, "hello");
    assert_ok(file_remove_tree(AT_FDCWD, f.kept, &err));
    assert_int_equal(fetch(url, HELLO, &err), -ENOENT);
    assert_contains(err.text, f.kept);
}

#define TEST(function) cmocka_unit_test_setup(function, reset)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_right),          TEST(test_empty_file), TEST(test_wrong_hash), TEST(test_kept_copy), TEST(test_missing),
        TEST(test_nobody_listens), TEST(test_schemes),    TEST(test_bad_hashes), TEST(test_too_large), TEST(test_no_directory),
    };
    return cmocka_run_group_tests_name("download", tests, start, stop);
}
