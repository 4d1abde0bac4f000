// SPDX-License-Identifier: Apache-2.0
// The fingerprint of what mirrors offer: what changes it, when a mirror is asked, and what is said when it cannot be.
#include "builder/apt.h"
#include "builder/test/http_server.h"
#include <dirent.h>
#include <time.h>
#include <utime.h>

#define TEXT(s) ((char *)(uintptr_t)(s))

struct fixture {
    struct scratch *scratch;
    char *metadata, *mirror, *keyring;
    char *suites[2], *components[2];
    struct recipe_source source;
    struct recipe_image image;
    struct package_dirs dirs;
};

static char *release_path(const struct fixture *f, const char *suite) {
    return str_printf("%s/mirror/dists/%s/InRelease", f->scratch->path, suite);
}

static void offer(const struct fixture *f, const char *suite, const char *text) {
    struct err err = {0};
    cleanup_free char *path = release_path(f, suite), *dir = str_dup(path);
    *strrchr(dir, '/') = 0;
    assert_ok(file_mkdirs(AT_FDCWD, dir, 0755, &err));
    put_file(path, text, strlen(text));
}

static int setup(void **state) {
    struct fixture *f = mem_array(1, sizeof(*f));
    struct err err = {0};
    void *scratch;
    scratch_setup(&scratch);
    f->scratch = scratch;
    f->metadata = scratch_file(f->scratch, "metadata");
    f->mirror = str_printf("file://%s/mirror", f->scratch->path);
    f->keyring = scratch_file(f->scratch, "key.gpg");
    assert_ok(file_mkdirs(AT_FDCWD, f->metadata, 0755, &err));
    put_file(f->keyring, "key", 3);
    f->suites[0] = TEXT("one");
    f->suites[1] = TEXT("two");
    f->components[0] = TEXT("main");
    f->components[1] = TEXT("extra");
    f->source = (struct recipe_source){
        .archive = TEXT("debian"), .mirror = f->mirror, .suites = {f->suites, 2}, .components = {f->components, 1}, .keyring = f->keyring};
    f->image = (struct recipe_image){.id = TEXT("tiny"), .architecture = TEXT("amd64"), .sources = &f->source, .source_count = 1};
    f->dirs = (struct package_dirs){.metadata = f->metadata, .packages = f->metadata};
    offer(f, "one", "release one");
    offer(f, "two", "release two");
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    void *scratch = f->scratch;
    free(f->metadata);
    free(f->mirror);
    free(f->keyring);
    free(f);
    return scratch_teardown(&scratch);
}

struct print {
    char hex[FINGERPRINT_HEX_BYTES];
};

static struct print take(const struct fixture *f, long max_age_s) {
    struct print print;
    struct err err = {0};
    assert_ok(apt_fingerprint(&f->image, &f->dirs, max_age_s, print.hex, &err));
    assert_int_equal(strlen(print.hex), 64);
    assert_int_equal(strspn(print.hex, "0123456789abcdef"), 64);
    return print;
}

static void expect_refused(const struct fixture *f, long max_age_s, int code, const char *words) {
    char hex[FINGERPRINT_HEX_BYTES] = "untouched";
    struct err err = {0};
    assert_int_equal(apt_fingerprint(&f->image, &f->dirs, max_age_s, hex, &err), code);
    assert_contains(err.text, words);
    assert_string_equal(hex, "untouched");
}

static void test_every_input(void **state) {
    struct fixture *f = *state;
    struct print first = take(f, 0), again = take(f, 0);
    assert_string_equal(first.hex, again.hex);
    offer(f, "two", "release twO");
    assert_string_not_equal(first.hex, take(f, 0).hex);
    offer(f, "two", "release two");
    assert_string_equal(first.hex, take(f, 0).hex);
    put_file(f->keyring, "KEY", 3);
    assert_string_not_equal(first.hex, take(f, 0).hex);
    put_file(f->keyring, "key", 3);
    f->source.components.count = 2;
    assert_string_not_equal(first.hex, take(f, 0).hex);
    f->source.components.count = 1;
    f->source.suites.count = 1;
    assert_string_not_equal(first.hex, take(f, 0).hex);
    f->source.suites.count = 2;
    f->image.architecture = TEXT("arm64");
    assert_string_not_equal(first.hex, take(f, 0).hex);
    f->image.architecture = TEXT("amd64");
    assert_string_equal(first.hex, take(f, 0).hex);
}

// Text that moves from one file into its neighbour is another offer.
static void test_borders(void **state) {
    struct fixture *f = *state;
    offer(f, "one", "ab");
    offer(f, "two", "c");
    struct print first = take(f, 0);
    offer(f, "one", "a");
    offer(f, "two", "bc");
    assert_string_not_equal(first.hex, take(f, 0).hex);
}

static void age_stamps(const struct fixture *f, long seconds) {
    cleanup_dir DIR *dir = opendir(f->metadata);
    unsigned count = 0;
    time_t then = time(NULL) - seconds;
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".asked") != 0)
            continue;
        cleanup_free char *path = str_printf("%s/%s", f->metadata, entry->d_name);
        assert_int_equal(utime(path, &(struct utimbuf){then, then}), 0);
        count++;
    }
    assert_int_equal(count, 2);
}

static void test_age(void **state) {
    struct fixture *f = *state;
    struct print first = take(f, 60);
    offer(f, "one", "newer");
    assert_string_equal(first.hex, take(f, 60).hex); // asked a moment ago
    age_stamps(f, 50);
    assert_string_equal(first.hex, take(f, 60).hex);
    age_stamps(f, 61);
    struct print second = take(f, 60);
    assert_string_not_equal(first.hex, second.hex);
    offer(f, "one", "newest");
    age_stamps(f, -1000); // a stamp from the future is no reason to believe it for ever
    assert_string_not_equal(second.hex, take(f, 60).hex);
}

static void test_offline(void **state) {
    struct fixture *f = *state;
    struct err err = {0};
    expect_refused(f, -1, -EAGAIN, "/mirror/dists/one/InRelease was never fetched: an offline build needs one online build before it");
    struct print first = take(f, 0);
    cleanup_free char *mirror = scratch_file(f->scratch, "mirror");
    assert_ok(file_remove_tree(AT_FDCWD, mirror, &err));
    age_stamps(f, 1000000);
    assert_string_equal(first.hex, take(f, -1).hex);
    expect_refused(f, 0, -EAGAIN, "/mirror/dists/");
    assert_string_equal(first.hex, take(f, -1).hex); // a failed request spoils nothing
}

static void test_missing(void **state) {
    struct fixture *f = *state;
    cleanup_free char *path = release_path(f, "two"), *url = str_printf("cannot fetch file://%s", path);
    assert_int_equal(unlink(path), 0);
    expect_refused(f, 0, -EAGAIN, url);
    expect_refused(f, 0, -EAGAIN, "check network and mirror, or build offline");
}

static void test_too_large(void **state) {
    struct fixture *f = *state;
    cleanup_free char *path = release_path(f, "one"), *url = str_printf("cannot fetch file://%s", path);
    cleanup_fd int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 4 << 20), 0);
    take(f, 0); // the largest that is read
    assert_int_equal(ftruncate(fd, (4 << 20) + 1), 0);
    expect_refused(f, 0, -EAGAIN, url);
}

static void test_bad_sources(void **state) {
    struct fixture *f = *state;
    f->source.keyring = TEXT("relative.gpg");
    expect_refused(f, 0, -EINVAL, "mirror of debian");
    cleanup_free char *missing = scratch_file(f->scratch, "none.gpg");
    f->source.keyring = missing;
    expect_refused(f, 0, -ENOENT, "keyring of debian");
    f->source.keyring = f->keyring;
    f->source.mirror = TEXT("ftp://127.0.0.1/debian");
    expect_refused(f, 0, -EINVAL, "mirror of debian");
}

// A suite that ends in '/' is a flat repository: its release file lies in the suite itself.
static void test_flat(void **state) {
    struct fixture *f = *state;
    f->suites[0] = TEXT("flat/");
    f->source.suites.count = 1;
    expect_refused(f, 0, -EAGAIN, "/mirror/flat/InRelease");
    offer(f, "../flat", "flat release");
    take(f, 0);
}

// The tag is what the file "tag" says. With "never" there the server claims that nothing has changed, whatever it was asked.
#define TAG_SERVER                                                                                                                         \
    "import http.server, os, sys\n"                                                                                                        \
    "class Handler(http.server.SimpleHTTPRequestHandler):\n"                                                                               \
    "    def tag(self):\n"                                                                                                                 \
    "        return open(os.path.join(sys.argv[4], 'tag')).read()\n"                                                                       \
    "    def end_headers(self):\n"                                                                                                         \
    "        if self.tag(): self.send_header('ETag', self.tag())\n"                                                                        \
    "        super().end_headers()\n"                                                                                                      \
    "    def do_GET(self):\n"                                                                                                              \
    "        if self.tag() == 'never' or self.tag() and self.headers.get('If-None-Match') == self.tag():\n"                                \
    "            self.send_response(304)\n"                                                                                                \
    "            return self.end_headers()\n"                                                                                              \
    "        super().do_GET()\n"                                                                                                           \
    "server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), lambda *a: Handler(*a, directory=sys.argv[4]))\n"                          \
    "print('Serving HTTP on 127.0.0.1 port %d (' % server.server_port, flush=True)\n"                                                      \
    "server.serve_forever()\n"

static void serve_tags(struct fixture *f, struct http_server *server, char **ret_mirror, char **ret_tag) {
    *ret_tag = scratch_file(f->scratch, "tag");
    put_file(*ret_tag, "", 0);
    http_server_start_script(f->scratch->path, TAG_SERVER, server);
    f->source.mirror = *ret_mirror = str_printf("http://127.0.0.1:%u/mirror", server->port);
}

// Over HTTP: what has the same tag is not sent again, all else is; also where a mirror goes back, or says that its files are of another year.
static void test_http(void **state) {
    struct fixture *f = *state;
    struct http_server server;
    cleanup_free char *path = release_path(f, "one"), *mirror = NULL, *tag = NULL;
    const time_t old = time(NULL) - 1000, late = time(NULL) + 100000000;
    serve_tags(f, &server, &mirror, &tag);
    assert_int_equal(utime(path, &(struct utimbuf){late, late}), 0);
    struct print first = take(f, 0);
    offer(f, "one", "release ONE");
    assert_int_equal(utime(path, &(struct utimbuf){old, old}), 0);
    struct print second = take(f, 0);
    assert_string_not_equal(first.hex, second.hex);
    put_file(tag, "\"a\"", 3);
    assert_string_equal(second.hex, take(f, 0).hex); // now our copies have the tag
    offer(f, "one", "release one");
    assert_string_equal(second.hex, take(f, 0).hex); // the server says: not modified
    put_file(tag, "W/\"b\"", 5);
    assert_string_equal(first.hex, take(f, 0).hex);
    http_server_stop(&server);
    expect_refused(f, 0, -EAGAIN, mirror);
    assert_string_equal(first.hex, take(f, -1).hex);
}

static void damage_copies(const struct fixture *f) {
    cleanup_dir DIR *dir = opendir(f->metadata);
    unsigned count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (str_ends_with(entry->d_name, ".release")) {
            cleanup_free char *path = str_printf("%s/%s", f->metadata, entry->d_name);
            put_file(path, "damaged", 7);
            count++;
        }
    assert_int_equal(count, 2);
}

// A copy that is not the one with that tag any more is not asked for by it.
static void test_tag_of_another_copy(void **state) {
    struct fixture *f = *state;
    struct http_server server;
    cleanup_free char *mirror = NULL, *tag = NULL;
    serve_tags(f, &server, &mirror, &tag);
    put_file(tag, "\"a\"", 3);
    struct print first = take(f, 0);
    damage_copies(f);
    assert_string_equal(first.hex, take(f, 0).hex);
    put_file(tag, "never", 5);
    damage_copies(f);
    expect_refused(f, 0, -EPROTO, "without having been asked for that");
    http_server_stop(&server);
}

// Fails as often as the file "failures" says, each time in another way: an answer of the mirror's, half a body, none at all.
#define FAILING_SERVER                                                                                                                     \
    "import http.server, os, sys\n"                                                                                                        \
    "class Handler(http.server.SimpleHTTPRequestHandler):\n"                                                                               \
    "    def do_GET(self):\n"                                                                                                              \
    "        path = os.path.join(sys.argv[4], 'failures')\n"                                                                               \
    "        left = int(open(path).read()) if self.path.endswith('/two/InRelease') else 0\n"                                               \
    "        if not left: return super().do_GET()\n"                                                                                       \
    "        open(path, 'w').write(str(left - 1))\n"                                                                                       \
    "        if left % 3 == 1: return self.send_error(503)\n"                                                                              \
    "        if left % 3 == 2: self.wfile.write(b'HTTP/1.0 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\nrelease')\n"                         \
    "        self.close_connection = True\n"                                                                                               \
    "server = http.server.HTTPServer(('127.0.0.1', 0), lambda *a: Handler(*a, directory=sys.argv[4]))\n"                                   \
    "print('Serving HTTP on 127.0.0.1 port %d (' % server.server_port, flush=True)\n"                                                      \
    "server.serve_forever()\n"

static void expect_failures_left(const char *path, const char *count) {
    cleanup_free char *text = NULL;
    struct err err;
    assert_ok(file_read(AT_FDCWD, path, 16, &text, NULL, &err));
    assert_string_equal(text, count);
}

// What is over in a moment fails no build; what is not is told after three requests.
static void test_passing_failures(void **state) {
    struct fixture *f = *state;
    struct http_server server;
    cleanup_free char *failures = scratch_file(f->scratch, "failures"), *mirror = NULL;
    put_file(failures, "2", 1);
    http_server_start_script(f->scratch->path, FAILING_SERVER, &server);
    f->source.mirror = mirror = str_printf("http://127.0.0.1:%u/mirror", server.port);
    struct print first = take(f, 0);
    expect_failures_left(failures, "0");
    assert_string_equal(first.hex, take(f, 0).hex);
    put_file(failures, "4", 1);
    expect_refused(f, 0, -EAGAIN, "/mirror/dists/two/InRelease");
    expect_failures_left(failures, "1");
    http_server_stop(&server);
}

#define RELEASE(date) "Origin: test\nValid-Until: " date "\nArchitectures: amd64\n"

// The mirror stands still: what was resolved before would be taken for today's for ever.
static void test_last_day(void **state) {
    struct fixture *f = *state;
    offer(f, "two", RELEASE("Sat, 03 Jan 2015 00:00:00 UTC"));
    expect_refused(f, 0, -ESTALE, "/mirror/dists/two/InRelease was to be used until Sat, 03 Jan 2015 00:00:00 UTC");
    expect_refused(f, 60, -ESTALE, "say `snapshot: true` in images/tiny.yaml");
    take(f, -1); // offline it is what there is
    f->source.snapshot = true;
    take(f, 0);
    f->source.snapshot = false;
    offer(f, "two", RELEASE("Tue, 03 Jan 2150 00:00:00 UTC"));
    take(f, 0);
    offer(f, "two", RELEASE("soon"));
    take(f, 0); // apt refuses it
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_every_input),         TEST(test_borders),          TEST(test_age),  TEST(test_offline), TEST(test_missing),
        TEST(test_too_large),           TEST(test_bad_sources),      TEST(test_flat), TEST(test_http),    TEST(test_last_day),
        TEST(test_tag_of_another_copy), TEST(test_passing_failures),
    };
    return cmocka_run_group_tests_name("apt_fingerprint", tests, NULL, NULL);
}
