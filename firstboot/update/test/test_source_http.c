// SPDX-License-Identifier: Apache-2.0
// Servers that misbehave, seen through source.h and the real webops-fetch: what is got over, what is refused and how, and what it costs.
#include "firstboot/update/source.h"
#include "firstboot/update/test/http.h"

static struct http *http;

static const struct source_range ranges[] = {{1000, 5000}, {100000, 50000}, {2900000, 100003}};
#define RANGES_BYTES (5000 + 50000 + 100003)

struct taken {
    size_t bytes;
    bool is_wrong;
};

static int take(void *context, size_t range, const void *data, size_t size, struct err *err) {
    struct taken *taken = context;
    size_t before = 0;
    (void)err;
    for (size_t i = 0; i < range; i++)
        before += ranges[i].bytes;
    taken->is_wrong |= memcmp(http->data + ranges[range].offset + taken->bytes - before, data, size) != 0;
    taken->bytes += size;
    return 0;
}

// Quick to give up; a connection must bring 2 KiB to count as progress.
static const char *const quick[] = {
    "--tries=3", "--backoff-ms=1", "--longest-wait-ms=20", "--slow-bytes=1024", "--slow-seconds=2", "--connect-seconds=2", NULL};

static int fetch(const char *url, const char *const *arguments, struct taken *ret_taken, struct source_traffic *ret_traffic,
                 struct err *err) {
    const struct source_options options = {http->program, arguments};
    cleanup_source struct source *source = NULL;
    assert_int_equal(source_open_with(url, &options, &source, err), 0);
    *ret_taken = (struct taken){0};
    int r = source_stream(source, ranges, ARRAY_SIZE(ranges), take, ret_taken, err);
    source_traffic(source, ret_traffic);
    return r;
}

struct bad {
    const char *path;
    int code;
    const char *said; // part of the message
};

static void try_all(const struct bad *cases, size_t count, const char *const *arguments) {
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *url = http_url(http, cases[i].path);
        struct taken taken;
        struct source_traffic traffic;
        struct err err = {0};
        int r = fetch(url, arguments, &taken, &traffic, &err);
        if (r != cases[i].code || !strstr(err.text, cases[i].said) || (r < 0 && !strstr(err.text, http->port)))
            fail_msg("%s: %d '%s', expected %d '%s'", cases[i].path, r, err.text, cases[i].code, cases[i].said);
        if (taken.is_wrong || (r == 0 && taken.bytes != RANGES_BYTES))
            fail_msg("%s: %zu bytes, %s", cases[i].path, taken.bytes, taken.is_wrong ? "wrong ones" : "too few");
    }
}

static void what_is_got_over(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"/good", 0, ""},
        {"/plain", 0, ""},
        {"/weak", 0, ""},
        {"/close", 0, ""},
        {"/whole", 0, ""},
        {"/whole-unknown", 0, ""},
        {"/then-whole/1/a", 0, ""},
        {"/then-whole/2/a", 0, ""},
        {"/chunked/right", 0, ""},
        {"/chunked/trailer", 0, ""},
        {"/chunked/early", 0, ""}, // ends properly, but too soon: the rest is asked for
        {"/cut/4000", 0, ""},
        {"/cut-whole/2", 0, ""},
        {"/redirect/5/good", 0, ""},
        {"/to/301/%2Fgood", 0, ""},
        {"/to/307/%2Fgood", 0, ""},
        {"/status/503/2/a", 0, ""},
        {"/status/429/2/0", 0, ""},
        {"/status/500/2/a", 0, ""},
        {"/status/408/1/a", 0, ""},
        {"/status/503/2/1000000000", 0, ""},
        {"/status/503/2/99999999999999999999999999", 0, ""},
        {"/status/503/2/soon", 0, ""},
        {"/status/503/2/Sat,%2001%20Jan%202000%2000:00:00%20GMT", 0, ""},
        {"/large-header/8000", 0, ""},
        {"/many-headers/150", 0, ""},
    };
    try_all(cases, ARRAY_SIZE(cases), quick);
}

static void ranges_that_are_wrong(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"/range/shifted", -EIO, "another range"},
        {"/range/earlier", -EIO, "another range"},
        {"/range/longer", -EIO, "another range"},
        {"/range/shorter", -EIO, "another range"},
        {"/range/star", -EIO, "no total size"},
        {"/range/unsatisfied", -EIO, "another range"},
        {"/range/none", -EIO, "without Content-Range"},
        {"/range/empty", -EIO, "without Content-Range"},
        {"/range/negative", -EIO, "no first and last"},
        {"/range/minus", -EIO, "no first and last"},
        {"/range/greatest", -EIO, "no first and last"},
        {"/range/overflow", -EIO, "no first and last"},
        {"/range/wrapped", -EIO, "no first and last"},
        {"/range/spaces", -EIO, "no first and last"},
        {"/range/unit", -EIO, "begin with 'bytes '"},
        {"/range/hexadecimal", -EIO, "no first and last"},
        {"/range/small-total", -EIO, "contradicts itself"},
        {"/range/behind", -EIO, "no total size"},
        {"/range/twice", -EIO, "twice"},
        {"/length/short", -EIO, "contradicts Content-Range"},
        {"/length/long", -EIO, "contradicts Content-Range"},
        {"/length/text", -EIO, ""},
        {"/length/negative", -EIO, ""},
        {"/length/twice", -EIO, ""},
        {"/chunked/late", -EIO, "more bytes came"},
        {"/chunked/both", -EIO, "both Transfer-Encoding"},
        {"/chunked/overflow", -EAGAIN, "3 tries"},
        {"/chunked/negative", -EAGAIN, "3 tries"},
        {"/multipart", -EIO, "multipart"},
        {"/coding/gzip", -EIO, "compressed"},
        {"/coding/br", -EIO, "compressed"},
        {"/coding/x", -EIO, "compressed"},
    };
    try_all(cases, ARRAY_SIZE(cases), quick);
}

static void files_that_change(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"/changing/etag", -EAGAIN, "changed while"},
        {"/changing/date", -EAGAIN, "changed while"},
        {"/changing/total", -EAGAIN, "changed while"},
        {"/replaced", -EAGAIN, "changed while"},
        {"/gone", -EIO, "HTTP status 404"},
    };
    try_all(cases, ARRAY_SIZE(cases), quick);
    assert_true(http_count(http, "/replaced bytes=100000-149999 \"one\"") > 0); // If-Range was sent
    assert_int_equal(http_count(http, "/weak bytes=100000-149999 -"), 1); // but not with a weak tag
    assert_int_equal(http_count(http, "/plain bytes=100000-149999 -"), 1);
}

static void answers_that_are_none(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"/page/200", -EAGAIN, "web page"},
        {"/page/206", -EAGAIN, "web page"},
        {"/page/511", -EAGAIN, "HTTP status 511"},
        {"/whole-html", -EAGAIN, "web page"},
        {"/whole-range", -EIO, "Content-Range came with status 200"},
        {"/status/404/9/a", -EIO, "HTTP status 404"},
        {"/status/403/9/a", -EIO, "HTTP status 403"},
        {"/status/401/9/a", -EIO, "HTTP status 401"},
        {"/status/407/9/a", -EIO, "HTTP status 407"},
        {"/status/204/9/a", -EIO, "HTTP status 204"},
        {"/status/304/9/a", -EIO, "HTTP status 304"},
        {"/status/999/9/a", -EIO, "HTTP status 999"},
        {"/no-range-416", -EIO, "416"},
        {"/status/503/9/a", -EAGAIN, "3 tries in a row: HTTP status 503"},
        {"/status/429/9/0", -EAGAIN, "3 tries in a row: HTTP status 429"},
        {"/cut/0", -EAGAIN, "3 tries"},
        {"/cut/500", -EAGAIN, "3 tries"},
        {"/cut-whole/9", -EAGAIN, "3 tries"},
        {"/raw/nothing%20like%20HTTP%0D%0A%0D%0A", -EIO, ""},
        {"/raw/", -EAGAIN, "3 tries"},
        {"/raw/HTTP%2F1.1%20206", -EAGAIN, "3 tries"},
        {"/raw/HTTP%2F1.1%20abc%0D%0A%0D%0A", -EIO, ""},
    };
    try_all(cases, ARRAY_SIZE(cases), quick);
}

static void redirects_that_are_refused(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"/redirect/6/good", -EIO, "more than 5 redirects"},
        {"/to/302/%2Fto%2F302%2F%252Fgood", 0, ""},
        {"/to/302/", -EIO, "leads nowhere"},
        {"/to/302/file:%2F%2F%2Fetc%2Fpasswd", -EIO, "away from http"},
        {"/to/302/ftp:%2F%2F127.0.0.1%2Fx", -EIO, "away from http"},
        {"/to/302/gopher:%2F%2F127.0.0.1%2Fx", -EIO, "away from http"},
        {"/to/302/http:%2F%2F169.254.169.254%2Flatest", -EIO, "metadata service"},
        {"/to/302/http:%2F%2F0xA9FEA9FE%2Flatest", -EIO, "metadata service"},
        {"/to/302/http:%2F%2F[fe80::1]%2Fx", -EIO, "metadata service"},
        {"/to/302/http:%2F%2F[fd00:ec2::254]%2Fx", -EIO, "metadata service"},
        {"/to/302/http:%2F%2F[::ffff:169.254.169.254]%2Fx", -EIO, "metadata service"},
        {"/to/302/http:%2F%2F0.0.0.0%2Fx", -EIO, "metadata service"},
        {"/to/302/http:%2F%2Fuser:canary@127.0.0.1%2Fx", -EIO, "user name"},
    };
    try_all(cases, ARRAY_SIZE(cases), quick);
}

static void endless_answers(void **state) {
    (void)state;
    static const struct bad cases[] = {
        {"/endless/body", -EIO, "more bytes came"},
        {"/endless/whole", 0, ""}, // what is wanted is there, and nobody waits for the rest
        {"/endless/error", -EAGAIN, "HTTP status 503"},
        {"/endless/headers", -EIO, "headers are too large"},
        {"/endless/header", -EIO, ""},
        {"/endless/continue", -EIO, "headers are too large"},
        {"/large-header/9000", -EIO, "headers are too large"},
        {"/many-headers/10000", -EIO, "headers are too large"},
    };
    try_all(cases, ARRAY_SIZE(cases), quick);
}

static void slow_answers(void **state) {
    (void)state;
    static const char *const impatient[] = {"--tries=1", "--slow-bytes=1024", "--slow-seconds=1", NULL};
    static const struct bad cases[] = {
        {"/slow", -EAGAIN, "1 tries"},
        {"/hold/head", -EAGAIN, "1 tries"},
        {"/hold/header", -EAGAIN, "1 tries"},
        {"/hold/body/2000", -EAGAIN, "1 tries"},
    };
    try_all(cases, ARRAY_SIZE(cases), impatient);
}

static void no_server(void **state) {
    (void)state;
    static const struct bad cases[] = {{"http://127.0.0.1:1/x", -EAGAIN, "3 tries"},
                                       {"http://name.invalid/x", -EAGAIN, "3 tries"},
                                       {"http://", -EIO, ""},
                                       {"http://127.0.0.1:99999/x", -EIO, ""}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct taken taken;
        struct source_traffic traffic;
        struct err err = {0};
        int r = fetch(cases[i].path, quick, &taken, &traffic, &err);
        if (r != cases[i].code || !strstr(err.text, cases[i].said))
            fail_msg("%s: %d '%s'", cases[i].path, r, err.text);
    }
}

// A cut costs nothing but what was in flight: no byte that arrived is asked for again.
static void cuts_at_every_twentieth(void **state) {
    (void)state;
    for (unsigned i = 1; i < 20; i++) {
        cleanup_free char *path = str_printf("/cut-once/%u", i * (HTTP_FILE_BYTES / 20)), *url = http_url(http, path);
        const struct source_options options = {http->program, quick};
        cleanup_source struct source *source = NULL;
        cleanup_free char *data = NULL;
        struct source_traffic traffic;
        struct err err = {0};
        size_t size;
        assert_int_equal(source_open_with(url, &options, &source, &err), 0);
        if (source_load(source, HTTP_FILE_BYTES, &data, &size, &err) < 0)
            fail_msg("%s: %s", path, err.text);
        assert_int_equal(size, HTTP_FILE_BYTES);
        assert_memory_equal(data, http->data, size);
        source_traffic(source, &traffic);
        assert_int_equal(traffic.requests, 2);
        assert_true(traffic.bytes <= HTTP_FILE_BYTES + HTTP_FILE_BYTES / 10);
    }
}

static void cuts_in_all_answers(void **state) {
    (void)state;
    cleanup_free char *url = http_url(http, "/cut/50000");
    struct taken taken;
    struct source_traffic traffic;
    struct err err = {0};
    assert_int_equal(fetch(url, quick, &taken, &traffic, &err), 0);
    assert_int_equal(taken.bytes, RANGES_BYTES);
    assert_true(traffic.bytes <= RANGES_BYTES + RANGES_BYTES / 10);
}

// A wrong bit is none of our business: the caller's hash finds it.
static void bits_that_flip_arrive(void **state) {
    (void)state;
    cleanup_free char *url = http_url(http, "/flipped");
    const struct source_options options = {http->program, quick};
    cleanup_source struct source *source = NULL;
    struct err err = {0};
    uint8_t data[100];
    assert_int_equal(source_open_with(url, &options, &source, &err), 0);
    assert_int_equal(source_read(source, 950, data, sizeof(data), &err), sizeof(data));
    assert_int_equal(data[50], http->data[1000] ^ 1);
    assert_memory_equal(data, http->data + 950, 50);
}

// What is in a password or a query stays out of messages.
static void messages_keep_secrets(void **state) {
    (void)state;
    static const char *const urls[] = {"http://user:canary@127.0.0.1:1/x", "http://127.0.0.1:1/x?token=canary",
                                       "http://127.0.0.1:1/x#canary"};
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct taken taken;
        struct source_traffic traffic;
        struct err err = {0};
        assert_true(fetch(urls[i], quick, &taken, &traffic, &err) < 0);
        assert_null(strstr(err.text, "canary"));
    }
}

int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_got_over),
        cmocka_unit_test(ranges_that_are_wrong),
        cmocka_unit_test(files_that_change),
        cmocka_unit_test(answers_that_are_none),
        cmocka_unit_test(redirects_that_are_refused),
        cmocka_unit_test(endless_answers),
        cmocka_unit_test(slow_answers),
        cmocka_unit_test(no_server),
        cmocka_unit_test(cuts_at_every_twentieth),
        cmocka_unit_test(cuts_in_all_answers),
        cmocka_unit_test(bits_that_flip_arrive),
        cmocka_unit_test(messages_keep_secrets),
    };
    http = http_start(argv[0], NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    http_stop(http);
    return failed;
}
