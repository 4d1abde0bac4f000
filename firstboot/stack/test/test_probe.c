// SPDX-License-Identifier: Apache-2.0
// The small clients against a server of one answer.
#include "firstboot/test/support.h"
#include "firstboot/stack/probe.h"
#include "common/buf.h"
#include "common/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void first_lines(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"HTTP/1.0 200 OK\r\n\r\n", 200}, // all that Patroni says
        {"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", 503},
        {"HTTP/1.0 200\r\n", 200},
        {"HTTP/1.0 200\n", 200},
        {"", 0},
        {"HTTP/1.", 0},
        {"HTTP/1.0 20", 0},
        {"HTTP/1.0 200 OK", 0}, // the line may go on
        {"HTTP/2 200\r\n", -EPROTO},
        {"SSH-2.0-x\r\n", -EPROTO},
        {"HTTP/1.0 2000\r\n", -EPROTO},
        {"HTTP/1.0 abc\r\n", -EPROTO},
        {"HTTP/1.0 \r\n", -EPROTO},
        {"HTTP/1.0 000 x\r\n", -EPROTO},
        {"\n", -EPROTO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_int_equal(probe_parse_status(cases[i].text, strlen(cases[i].text)), cases[i].status);
    char endless[2048];
    memset(endless, 'x', sizeof(endless));
    memcpy(endless, "HTTP/1.0 200 ", 13);
    assert_int_equal(probe_parse_status(endless, 1000), 0);
    assert_int_equal(probe_parse_status(endless, sizeof(endless)), -EPROTO);
}

// Answers one connection with `answer` (NULL: never) and ends. Returns its port.
static unsigned serve(const char *answer, pid_t *ret_pid) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 4) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    fflush(stdout);
    *ret_pid = fork();
    assert_true(*ret_pid >= 0);
    if (*ret_pid == 0) {
        int client = accept(fd, NULL, NULL);
        char request[512];
        ssize_t got = read(client, request, sizeof(request));
        for (size_t i = 0; got > 0 && answer && i < strlen(answer); i++) // byte by byte, as a slow network does
            if (write(client, answer + i, 1) != 1)
                break;
        if (!answer)
            pause();
        _exit(0);
    }
    close(fd);
    return ntohs(address.sin_port);
}

static void http_statuses(void **state) {
    (void)state;
    static const struct {
        const char *answer;
        unsigned expect;
        int code;
        const char *why;
    } cases[] = {
        {"HTTP/1.0 200 OK\r\n\r\n", 200, 0, ""},
        {"HTTP/1.0 503 no\r\n\r\n", 200, -EREMOTEIO, "the answer is status 503 instead of 200"},
        {"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, 0, ""},
        {"garbage\r\n", 200, -EPROTO, "what answers is no HTTP server"},
        {"", 200, -EPROTO, "what answers is no HTTP server"},
        {NULL, 200, -ETIMEDOUT, "no answer"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        pid_t pid;
        struct err err = {0};
        cleanup_free char *url = str_printf("http://127.0.0.1:%u/readiness", serve(cases[i].answer, &pid));
        int64_t start = clock_ms();
        assert_int_equal(probe_http(url, cases[i].expect, 1, &err), cases[i].code);
        assert_true(clock_ms() - start < 5000);
        assert_non_null(strstr(err.text, cases[i].why));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
    }
}

static void only_this_machine_is_asked(void **state) {
    (void)state;
    static const char *const refused[] = {"http://192.0.2.1/",   "https://127.0.0.1/",    "http://example.org/",
                                          "http://127.0.0.1:0/", "http://[2001:db8::1]/", "http://127.0.0.1:99999/",
                                          "http://:80/",         "http://127.0.0.1:8x/",  "http://localhost.example.org/"};
    struct err err;
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(probe_http(refused[i], 200, 1, &err), -EINVAL);
}

static void tcp_ports(void **state) {
    (void)state;
    pid_t pid;
    struct err err;
    cleanup_free char *address = str_printf("127.0.0.1:%u", serve("x", &pid));
    assert_int_equal(probe_tcp(address, 2, &err), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(probe_tcp(address, 2, &err), -ECONNREFUSED);
    assert_non_null(strstr(err.text, address));
    assert_int_equal(probe_tcp("[::1]:1", 1, &err), -ECONNREFUSED);
    assert_int_equal(probe_tcp("127.0.0.1", 1, &err), -EINVAL);
    assert_int_equal(probe_tcp("host:80", 1, &err), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_lines),
        cmocka_unit_test(http_statuses),
        cmocka_unit_test(only_this_machine_is_asked),
        cmocka_unit_test(tcp_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
