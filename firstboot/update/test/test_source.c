// SPDX-License-Identifier: Apache-2.0
// Ranges out of a local file and out of a well-behaved and a range-less server, through the real webops-fetch.
#include "firstboot/update/source.h"
#include "common/digest.h"
#include "firstboot/update/test/http.h"

static struct http *http;

struct taken {
    struct buf bytes[64];
    size_t last_range;
    unsigned calls, stop_after; // 0: never
};

static int take(void *context, size_t range, const void *data, size_t size, struct err *err) {
    struct taken *taken = context;
    assert_true(range >= taken->last_range);
    assert_true(size > 0);
    taken->last_range = range;
    buf_add(&taken->bytes[range], data, size);
    return ++taken->calls == taken->stop_after ? err_set(err, -ECANCELED, "enough") : 0;
}

static void taken_done(struct taken *taken) {
    for (size_t i = 0; i < ARRAY_SIZE(taken->bytes); i++)
        buf_done(&taken->bytes[i]);
}

static void assert_taken(struct taken *taken, const struct source_range *ranges, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(taken->bytes[i].size, ranges[i].bytes);
        assert_memory_equal(taken->bytes[i].data, http->data + ranges[i].offset, ranges[i].bytes);
    }
}

static struct source *open_path(const char *path) {
    struct source *source;
    struct err err;
    static const char *const arguments[] = {"--tries=2", "--backoff-ms=1", NULL};
    const struct source_options options = {http->program, arguments};
    cleanup_free char *url = http_url(http, path);
    if (source_open_with(strcmp(path, "file") == 0 ? http->file : url, &options, &source, &err) < 0)
        fail_msg("%s", err.text);
    return source;
}

static const char *const places[] = {"file", "/good", "/whole"};
// Neighbours, gaps below, at and above 8 KiB, and the last byte.
static const struct source_range ranges[] = {
    {0, 32}, {32, 5000}, {5033, 1}, {5034 + 8191, 70000}, {5034 + 8191 + 70000 + 8192, 1}, {300000, 200001}, {HTTP_FILE_BYTES - 1, 1},
};

static void streams(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_source struct source *source = open_path(places[i]);
        struct taken cleanup(taken_done) taken = {0};
        struct source_traffic traffic;
        struct err err;
        if (source_stream(source, ranges, ARRAY_SIZE(ranges), take, &taken, &err) < 0)
            fail_msg("%s: %s", places[i], err.text);
        assert_taken(&taken, ranges, ARRAY_SIZE(ranges));
        source_traffic(source, &traffic);
        assert_int_equal(traffic.is_whole, i == 2);
        if (i == 1) {
            assert_int_equal(traffic.requests, 4); // the gap of 8192 and two large ones divide
            assert_int_equal(traffic.bytes, 5034 + 8191 + 70000 + 1 + 200001 + 1);
        }
    }
}

static void reads(void **state) {
    (void)state;
    static const struct {
        uint64_t offset;
        size_t size;
        int expected;
    } cases[] = {{0, 32, 32},
                 {32, 5000, 5000},
                 {HTTP_FILE_BYTES - 10, 10, 10},
                 {HTTP_FILE_BYTES - 5, 100, 5},
                 {HTTP_FILE_BYTES, 1, 0},
                 {1 << 30, 7, 0},
                 {100, 200, 200},
                 {50, 0, 0},
                 {7, 5, 5}};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_source struct source *source = open_path(places[i]);
        for (size_t j = 0; j < ARRAY_SIZE(cases); j++) {
            char data[5000];
            struct err err = {0};
            int got = source_read(source, cases[j].offset, data, cases[j].size, &err);
            if (got != cases[j].expected)
                fail_msg("%s, case %zu: %d %s", places[i], j, got, err.text);
            assert_memory_equal(data, http->data + (got ? cases[j].offset : 0), (size_t)got);
        }
    }
}

static void loads(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_source struct source *source = open_path(places[i]);
        char *data = NULL;
        size_t size = 0;
        struct err err;
        assert_int_equal(source_load(source, HTTP_FILE_BYTES - 1, &data, &size, &err), -EFBIG);
        assert_null(data);
        assert_int_equal(source_load(source, HTTP_FILE_BYTES, &data, &size, &err), 0);
        assert_int_equal(size, HTTP_FILE_BYTES);
        assert_memory_equal(data, http->data, size);
        assert_int_equal(data[size], 0);
        free(data);
    }
}

static void stopping_and_going_on(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        cleanup_source struct source *source = open_path(places[i]);
        struct taken cleanup(taken_done) stopped = {.stop_after = 3}, taken = {0};
        struct err err;
        assert_int_equal(source_stream(source, ranges, ARRAY_SIZE(ranges), take, &stopped, &err), -ECANCELED);
        assert_int_equal(stopped.calls, 3);
        assert_string_equal(err.text, "enough");
        assert_int_equal(source_stream(source, ranges, ARRAY_SIZE(ranges), take, &taken, &err), 0);
        assert_taken(&taken, ranges, ARRAY_SIZE(ranges));
    }
}

static void beyond_the_end(void **state) {
    (void)state;
    static const struct source_range cases[][2] = {{{HTTP_FILE_BYTES - 3, 4}, {HTTP_FILE_BYTES + 10, 4}},
                                                   {{HTTP_FILE_BYTES - 3, 4}, {HTTP_FILE_BYTES + 20000, 4}}, // an answer is left over
                                                   {{HTTP_FILE_BYTES - 3, 3}, {HTTP_FILE_BYTES + 20000, 4}}};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        for (size_t j = 0; j < ARRAY_SIZE(cases); j++) {
            cleanup_source struct source *source = open_path(places[i]);
            struct taken cleanup(taken_done) taken = {0};
            struct err err;
            assert_int_equal(source_stream(source, cases[j], 2, take, &taken, &err), -EIO);
            assert_non_null(strstr(err.text, "ends before byte"));
            assert_int_equal(taken.bytes[0].size, 3);
            assert_int_equal(taken.bytes[1].size, 0);
            char byte;
            assert_int_equal(source_read(source, 0, &byte, 1, &err), 1); // it is not stuck
        }
}

static void ranges_that_are_refused(void **state) {
    (void)state;
    static const struct source_range cases[][2] = {
        {{0, 0}, {5, 1}},         {{0, 6}, {5, 1}},          {{5, 1}, {0, 1}},
        {{0, 1}, {INT64_MAX, 1}}, {{0, 1}, {1, UINT64_MAX}}, {{0, 1}, {UINT64_MAX, 2}},
    };
    cleanup_source struct source *source = open_path("file");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct taken cleanup(taken_done) taken = {0};
        struct err err;
        assert_int_equal(source_stream(source, cases[i], 2, take, &taken, &err), -EINVAL);
        assert_int_equal(taken.calls, 0);
    }
}

static void places_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *location;
        int code;
    } cases[] = {{"/nonexistent/file", -ENOENT},
                 {"/tmp", -EINVAL},
                 {"/dev/null", -EINVAL},
                 {"ftp://127.0.0.1/x", -EINVAL},
                 {"file:///etc", -EINVAL}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct source *source = NULL;
        struct err err = {0};
        assert_int_equal(source_open(cases[i].location, &source, &err), cases[i].code);
        assert_null(source);
        assert_true(err.text[0] != 0);
    }
}

// A child that cannot be started, dies, or speaks another language.
static void children_that_fail(void **state) {
    (void)state;
    static const struct {
        const char *program;
        int code;
        const char *said;
    } cases[] = {
        {"/nonexistent/program", -ENOENT, "not installed"},
        {"/bin/false", -EIO, "ended: no message"},
        {"/bin/ls", -EIO, "--ranges"}, // says so on standard error
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct source_options options = {cases[i].program, NULL};
        cleanup_source struct source *source = NULL;
        struct err err = {0};
        char byte;
        assert_int_equal(source_open_with("http://127.0.0.1:1/", &options, &source, &err), 0);
        int r = source_read(source, 0, &byte, 1, &err);
        if (r != cases[i].code || !strstr(err.text, cases[i].said))
            fail_msg("%s: %d, %s", cases[i].program, r, err.text);
    }
}

// Bytes beyond 4 GiB, of a file that is nearly all hole: what was cut to 32 bits would be read at its start.
static void large_files(void **state) {
    (void)state;
    static const char low[] = "at the start", high[] = "beyond 4 GiB";
    const uint64_t beyond = (1ULL << 32) + 100;
    const struct source_range wanted[] = {{100, sizeof(low)}, {beyond, sizeof(high)}, {beyond + (1ULL << 32), 1}};
    char path[] = "/tmp/webops-test-large-XXXXXX", text[sizeof(high)];
    struct taken cleanup(taken_done) taken = {0};
    struct err err;
    struct source *source;
    static const struct source_options options = {.program = "/nowhere"};
    cleanup_fd int fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, (off_t)(beyond + (1ULL << 32) + 1)), 0);
    assert_int_equal(pwrite_all(fd, path, low, sizeof(low), 100, &err), 0);
    assert_int_equal(pwrite_all(fd, path, high, sizeof(high), beyond, &err), 0);
    assert_int_equal(source_open_with(path, &options, &source, &err), 0);
    unlink(path);
    assert_int_equal(source_read(source, beyond, text, sizeof(text), &err), sizeof(text));
    assert_string_equal(text, high);
    assert_int_equal(source_stream(source, wanted, ARRAY_SIZE(wanted), take, &taken, &err), 0);
    assert_string_equal(taken.bytes[0].data, low);
    assert_string_equal(taken.bytes[1].data, high);
    assert_int_equal(taken.bytes[2].size, 1);
    source_close(source);
}

int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams),
        cmocka_unit_test(reads),
        cmocka_unit_test(loads),
        cmocka_unit_test(stopping_and_going_on),
        cmocka_unit_test(beyond_the_end),
        cmocka_unit_test(large_files),
        cmocka_unit_test(ranges_that_are_refused),
        cmocka_unit_test(places_that_are_refused),
        cmocka_unit_test(children_that_fail),
    };
    http = http_start(argv[0], NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    http_stop(http);
    return failed;
}
