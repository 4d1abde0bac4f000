// SPDX-License-Identifier: Apache-2.0
// webops-http: heads of requests good and bad, what is answered, and the program itself on a pair of sockets under its filter of system calls.
#include "common/clock.h"
#include "common/run.h"
#include "common/test/support.h"
#include "firstboot/http/answer.h"
#include <jansson.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

struct request_case {
    const char *text;
    unsigned status;
    bool is_head;
    enum request_target target;
};

static const struct request_case request_cases[] = {
    {"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 200, false, REQUEST_HEALTH},
    {"GET /metrics HTTP/1.0\r\n\r\n", 200, false, REQUEST_METRICS},
    {"HEAD /health HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", 200, true, REQUEST_HEALTH},
    {"GET /metrics?x=1&y HTTP/1.1\r\nX-Caf\xc3\xa9: no\r\n\r\n", 400, false, 0},
    {"GET /metrics? HTTP/1.1\r\nX: caf\xc3\xa9\t!\r\nEmpty:\r\nContent-Length: 0\r\n\r\n", 200, false, REQUEST_METRICS},
    {"GET / HTTP/1.1\r\n\r\n", 404, false, 0},
    {"HEAD /healthz HTTP/1.1\r\n\r\n", 404, true, 0},
    {"GET /health/ HTTP/1.1\r\n\r\n", 404, false, 0},
    {"GET //health HTTP/1.1\r\n\r\n", 404, false, 0},
    {"GET /../health HTTP/1.1\r\n\r\n", 404, false, 0},
    {"GET /%68ealth HTTP/1.1\r\n\r\n", 404, false, 0},
    {"GET /HEALTH HTTP/1.1\r\n\r\n", 404, false, 0},
    {"POST /health HTTP/1.1\r\n\r\n", 405, false, 0},
    {"get /health HTTP/1.1\r\n\r\n", 405, false, 0},
    {"OPTIONS /x HTTP/1.1\r\n\r\n", 405, false, 0},
    {"OPTIONS * HTTP/1.1\r\n\r\n", 400, false, 0},
    {"GET http://a/health HTTP/1.1\r\n\r\n", 400, false, 0},
    {"", 400, false, 0},
    {"\r\n\r\n", 400, false, 0},
    {"GET\r\n\r\n", 400, false, 0},
    {"GET /health\r\n\r\n", 400, false, 0},
    {"GET  /health HTTP/1.1\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1 \r\n\r\n", 400, false, 0},
    {" GET /health HTTP/1.1\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/2.0\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\n\n", 400, false, 0},
    {"GET /health HTTP/1.1\nHost: a\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\nHost: a\n\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\nHost: a\r\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\nHost\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\nHost : a\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\n: a\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 400, false, 0},
    {"GET /health HTTP/1.1\r\ncontent-length: 00\r\n\r\n", 400, false, 0},
    {"GET /health HTTP/1.1\r\nTRANSFER-ENCODING: chunked\r\n\r\n", 400, false, 0},
    {"GET /hea\x7flth HTTP/1.1\r\n\r\n", 400, false, 0},
    {"GET /health\x01 HTTP/1.1\r\n\r\n", 400, false, 0},
    {"G\x01T /health HTTP/1.1\r\n\r\n", 400, false, 0},
    {"\x16\x03\x01 TLS\r\n\r\n", 400, false, 0},
};

static void test_requests(void **state) {
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(request_cases); i++) {
        const struct request_case *c = &request_cases[i];
        struct request request = request_parse(c->text, strlen(c->text));
        if (request.status != c->status || (request.status == 200 && request.target != c->target) || request.is_head != c->is_head)
            fail_msg("'%s': %u", c->text, request.status);
    }
    assert_int_equal(request_parse("GET /health HTTP/1.1\r\nA: \0\r\n\r\n", 29).status, 400);
    assert_false(request_is_complete("GET / HTTP/1.1\r\n\r", 17));
    assert_true(request_is_complete("GET / HTTP/1.1\r\n\r\n", 18));
    cleanup_buf struct buf large = {0};
    buf_add_str(&large, "GET /health HTTP/1.1\r\nX: ");
    while (large.size <= REQUEST_MAX_BYTES)
        buf_add_str(&large, "x");
    buf_add_str(&large, "\r\n\r\n");
    assert_int_equal(request_parse(large.data, large.size).status, 400);
}

static const char healthy[] =
    "{\"healthy\": true, \"time\": \"2026-11-21T09:30:00Z\", \"profile\": \"p\", \"version\": \"1\", \"slot\": \"a\", \"more\": 1,"
    "\"checks\": [{\"name\": \"sshd\", \"state\": \"passed\", \"more\": 2}]}";
static const char unhealthy[] =
    "{\"healthy\": false, \"time\": \"t\", \"checks\": [{\"name\": \"units\", \"state\": \"failed\", \"why\": \"s3cret\"}]}";

struct health_case {
    const char *text;
    int64_t age_seconds;
    unsigned status;
    const char *why;
};

static void test_health(void **state) {
    (void)state;
    static const struct health_case cases[] = {
        {healthy, 0, 200, NULL},
        {healthy, 180, 200, NULL},
        {healthy, -5, 200, NULL}, // the clock was set
        {healthy, 181, 503, "the last check is too old"},
        {healthy, -181, 503, "the last check is too old"},
        {unhealthy, 0, 503, NULL},
        {NULL, INT64_MAX, 503, "not checked yet"},
        {"{\"healthy\": \"true\"}", 0, 503, NULL},
        {"{\"healthy\": true", 0, 503, "not checked yet"},
        {"[true]", 0, 503, "not checked yet"},
        {"", 0, 503, "not checked yet"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_answer struct answer answer = {0};
        answer_health(cases[i].text, cases[i].text ? strlen(cases[i].text) : 0, cases[i].age_seconds, &answer);
        assert_int_equal(answer.status, cases[i].status);
        assert_string_equal(answer.type, "application/json");
        json_t *body = json_loads(answer.body.data, 0, NULL);
        assert_int_equal(json_is_true(json_object_get(body, "healthy")), cases[i].status == 200);
        const char *why = json_string_value(json_object_get(body, "why"));
        assert_true(!why == !cases[i].why && (!why || strcmp(why, cases[i].why) == 0));
        assert_null(strstr(answer.body.data, "s3cret"));
        assert_null(strstr(answer.body.data, "more"));
        if (cases[i].text == healthy) {
            const json_t *check = json_array_get(json_object_get(body, "checks"), 0);
            assert_string_equal(json_string_value(json_object_get(check, "name")), "sshd");
            assert_string_equal(json_string_value(json_object_get(check, "state")), "passed");
            assert_string_equal(json_string_value(json_object_get(body, "version")), "1");
        }
        json_decref(body);
    }
}

static void test_format(void **state) {
    (void)state;
    cleanup_answer struct answer answer = {0}, refused = {0}, none = {0};
    cleanup_buf struct buf full = {0}, head = {0}, error = {0};
    answer_metrics("a 1\n", 4, &answer);
    answer_format(&answer, false, &full);
    answer_format(&answer, true, &head);
    assert_memory_equal(full.data, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: 4\r\n",
                        88);
    assert_string_equal(full.data + full.size - 8, "\r\n\r\na 1\n");
    assert_int_equal(head.size + 4, full.size);
    assert_memory_equal(head.data, full.data, head.size);
    answer_error(405, &refused);
    answer_format(&refused, false, &error);
    assert_contains(error.data, "HTTP/1.1 405 Method Not Allowed\r\n");
    assert_contains(error.data, "\r\nAllow: GET, HEAD\r\n");
    answer_metrics(NULL, 0, &none);
    assert_int_equal(none.status, 503);
}

enum client { WAITS, ENDS, DRIPS }; // what it does behind its request

// One more byte again and again, until there is an answer.
static void drip(int fd) {
    for (ssize_t sent = 1; sent == 1 && poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 200) == 0;)
        sent = send(fd, "T", 1, MSG_NOSIGNAL);
}

// Up to the end, or to the reset that an answer to a request which nobody read to its end is followed by.
static char *receive(int fd) {
    cleanup_buf struct buf text = {0};
    char part[4096];
    for (ssize_t got; (got = recv(fd, part, sizeof(part), 0)) > 0;)
        buf_add(&text, part, (size_t)got);
    return buf_take(&text);
}

// What the program sends back. The caller frees.
static char *ask(const char *root, const char *request, size_t size, enum client client, int *ret_status) {
    int pair[2], status;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cleanup_free char *option = str_printf("--root=%s", root);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pair[1], 0);
        dup2(pair[1], 1);
        execl("build/webops-http", "webops-http", option, NULL);
        _exit(99);
    }
    close(pair[1]);
    assert_int_equal(send(pair[0], request, size, MSG_NOSIGNAL), size);
    if (client == ENDS)
        shutdown(pair[0], SHUT_WR);
    if (client == DRIPS)
        drip(pair[0]);
    char *text = receive(pair[0]);
    close(pair[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    *ret_status = status;
    return text;
}

static void put(const struct scratch *scratch, const char *name, const char *text) {
    struct err err = {0};
    assert_int_equal(file_mkdirs(scratch->fd, "run/webops", 0755, &err), 0);
    assert_int_equal(file_publish(scratch->fd, name, text, strlen(text), 0644, &err), 0);
}

static void expect(const struct scratch *scratch, const char *request, const char *start, const char *part) {
    int status;
    cleanup_free char *text = ask(scratch->path, request, strlen(request), WAITS, &status);
    assert_int_equal(status, 0);
    if (strncmp(text, start, strlen(start)) != 0)
        fail_msg("'%s' gives '%s'", request, text);
    assert_contains(text, part);
}

static void test_program(void **state) {
    const struct scratch *scratch = *state;
    expect(scratch, "GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\n", "not checked yet");
    expect(scratch, "GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 503 Service Unavailable\r\n", "503");
    put(scratch, "run/webops/health.json", healthy);
    put(scratch, "run/webops/metrics.prom", "webops_healthy 1\n");
    expect(scratch, "GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\"healthy\": true");
    expect(scratch, "GET /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", "\r\n\r\nwebops_healthy 1\n");
    expect(scratch, "DELETE /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 ", "Allow:");
    expect(scratch, "GET /etc/passwd HTTP/1.1\r\n\r\n", "HTTP/1.1 404 ", "404");
    put(scratch, "run/webops/health.json", unhealthy);
    expect(scratch, "GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 503 ", "\"units\"");
    put(scratch, "run/webops/health.json", healthy);
    const struct timespec old[2] = {{.tv_sec = time(NULL) - 200}, {.tv_sec = time(NULL) - 200}};
    assert_int_equal(utimensat(scratch->fd, "run/webops/health.json", old, 0), 0);
    expect(scratch, "GET /health HTTP/1.1\r\n\r\n", "HTTP/1.1 503 ", "too old");
}

static void test_bad_clients(void **state) {
    const struct scratch *scratch = *state;
    int status;
    cleanup_free char *nothing = ask(scratch->path, "", 0, ENDS, &status);
    assert_int_equal(status, 0);
    assert_memory_equal(nothing, "HTTP/1.1 400 ", 13);
    char flood[REQUEST_MAX_BYTES];
    memset(flood, 'a', sizeof(flood));
    cleanup_free char *too_much = ask(scratch->path, flood, sizeof(flood), WAITS, &status);
    assert_int_equal(status, 0);
    assert_memory_equal(too_much, "HTTP/1.1 400 ", 13);
    alarm(300); // a deadline that each byte moves would never come
    int64_t start = clock_ms();
    cleanup_free char *slow = ask(scratch->path, "GET /health HT", 14, DRIPS, &status);
    alarm(0);
    assert_int_equal(status, 0);
    assert_memory_equal(slow, "HTTP/1.1 408 ", 13);
    assert_true(clock_ms() - start >= 2500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_format),
        cmocka_unit_test_setup_teardown(test_program, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_bad_clients, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
