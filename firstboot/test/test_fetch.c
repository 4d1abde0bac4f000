// SPDX-License-Identifier: Apache-2.0
// The webops-fetch program against a server of our own on loopback: what it accepts, what it refuses and with which exit code, and
// which rights it still has while it waits for the answer.
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
// cmocka.h wants these first.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char *program; // build/webops-fetch

struct server {
    pid_t pid;
    unsigned port;
};

static const struct {
    const char *path, *answer;
} pages[] = {
    {"/ok", "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nHOSTNAME=a\n"},
    {"/no-length", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789012345678901234567890123456789"},
    {"/empty", "HTTP/1.1 204 No Content\r\n\r\n"},
    {"/missing", "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nerror"},
    {"/forbidden", "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nerror"},
    {"/busy", "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nerror"},
    {"/slow-down", "HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n"},
    {"/away", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n"},
    {"/file", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"},
    {"/round", "HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n"},
    {"/huge", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"},
    {"/cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf"},
    {"/garbage", "\x01\x02\x03 nothing like HTTP\r\n\r\n"},
};

static void answer(int fd) {
    char request[2048] = "";
    ssize_t got = read(fd, request, sizeof(request) - 1);
    request[got > 0 ? got : 0] = 0;
    if (strncmp(request, "GET /hang ", 10) == 0)
        sleep(20);
    if (strncmp(request, "GET /header ", 12) == 0)
        dprintf(fd, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", strstr(request, "\r\nX-Test: yes\r\n") ? "200 OK" : "400 Bad");
    for (size_t i = 0; i < ARRAY_SIZE(pages) && got > 4; i++) {
        size_t size = strlen(pages[i].path);
        if (strncmp(request + 4, pages[i].path, size) == 0 && request[4 + size] == ' ')
            dprintf(fd, "%s", pages[i].answer);
    }
}

static void serve(int fd) {
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    alarm(120); // never outlives the test for long
    int null = open("/dev/null", O_RDWR | O_CLOEXEC); // a child that hangs must not keep the test's output open
    if (null < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
        _exit(1);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client < 0)
            _exit(1);
        if (fork() == 0) {
            answer(client);
            _exit(0);
        }
        close(client);
    }
}

static int server_start(void **state) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        return -1;
    struct server *server = mem_array(1, sizeof(*server));
    server->port = ntohs(address.sin_port);
    server->pid = fork();
    if (server->pid == 0)
        serve(fd);
    *state = server;
    return server->pid < 0 ? -1 : 0;
}

static int server_stop(void **state) {
    struct server *server = *state;
    kill(server->pid, SIGTERM);
    waitpid(server->pid, NULL, 0);
    free(server);
    return 0;
}

// Runs the program; its exit code, standard output in *ret_text (the caller frees) and its messages in `ret_said`.
static int fetch(const char *const *argv, char **ret_text, char ret_said[1024]) {
    int out[2], said[2], status = -1;
    pid_t pid;
    struct err err = {0};
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    const struct run run = {.argv = argv, .out = out[1], .error = said[1]};
    assert_int_equal(run_start(&run, &pid, &err), 0);
    close(out[1]);
    close(said[1]);
    size_t size;
    assert_int_equal(file_read_fd(out[0], "output", 1 << 20, ret_text, &size, &err), 0);
    ssize_t got = read(said[0], ret_said, 1023);
    ret_said[got > 0 ? got : 0] = 0;
    close(out[0]);
    close(said[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void answers(void **state) {
    const struct server *server = *state;
    static const struct {
        const char *option, *path;
        int code;
        const char *text, *said;
    } cases[] = {
        {"--timeout=5", "/ok", 0, "HOSTNAME=a\n", ""},
        {"--timeout=5", "/away", 0, "HOSTNAME=a\n", ""},
        {"--max-bytes=11", "/ok", 0, "HOSTNAME=a\n", ""},
        {"--max-bytes=10", "/ok", 1, "", "larger than 10 bytes"},
        {"--max-bytes=40", "/no-length", 0, "0123456789012345678901234567890123456789", ""},
        {"--max-bytes=39", "/no-length", 1, "", "larger than 39 bytes"},
        {"--timeout=5", "/huge", 1, "", "larger than"},
        {"--timeout=5", "/missing", 1, "", "HTTP status 404"},
        {"--missing-ok", "/missing", 0, "", ""},
        {"--timeout=5", "/empty", 1, "", "HTTP status 204"},
        {"--missing-ok", "/empty", 0, "", ""},
        {"--missing-ok", "/forbidden", 1, "", "HTTP status 403"},
        {"--timeout=5", "/forbidden?token=canary", 75, "", "/forbidden: "}, // no such page: the server just closes
        {"--timeout=5", "/busy", 75, "", "HTTP status 503"},
        {"--timeout=5", "/slow-down", 75, "", "HTTP status 429"},
        {"--timeout=5", "/cut", 75, "", "/cut: "},
        {"--timeout=5", "/round", 1, "", "/round: "},
        {"--timeout=5", "/file", 1, "", "/file: "},
        {"--timeout=5", "/garbage", 1, "", "/garbage: "},
        {"--timeout=1", "/hang", 75, "", "/hang: "},
        {"--header=X-Test: yes", "/header", 0, "", ""},
        {"--header=X-Test: no", "/header", 1, "", "HTTP status 400"},
        {"--header=X: a\r\nX-Test: yes", "/header", 1, "", "header is not usable"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *url = str_printf("http://127.0.0.1:%u%s", server->port, cases[i].path), *text = NULL;
        char said[1024];
        int code = fetch(RUN_ARGV(program, cases[i].option, url), &text, said);
        if (code != cases[i].code || !strstr(said, cases[i].said) || strcmp(text, cases[i].text) != 0)
            fail_msg("%s %s: exit code %d, said '%s', printed '%s'", cases[i].option, cases[i].path, code, said, text);
        assert_null(strstr(said, "canary"));
    }
}

static void addresses_that_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *url;
        int code;
    } cases[] = {{"file:///etc/passwd", 1},   {"ftp://127.0.0.1/x", 1}, {"gopher://127.0.0.1/", 1}, {"http://", 1},
                 {"http://127.0.0.1:1/", 75}, {"dict://127.0.0.1/", 1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_free char *text = NULL;
        char said[1024];
        int code = fetch(RUN_ARGV(program, "--timeout=3", cases[i].url), &text, said);
        if (code != cases[i].code)
            fail_msg("%s: exit code %d, said '%s'", cases[i].url, code, said);
        assert_string_equal(text, "");
        assert_true(said[0] != 0);
    }
}

static void usage(void **state) {
    (void)state;
    static const char *const options[] = {"--max-bytes=0", "--max-bytes=99999999999", "--timeout=0", "--timeout=x", "--no-such-option"};
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        cleanup_free char *text = NULL;
        char said[1024];
        assert_int_equal(fetch(RUN_ARGV(program, options[i], "http://127.0.0.1:1/"), &text, said), 2);
    }
}

// A line of /proc/PID/status, as "Name:\tvalue".
static void assert_status(const char *status, const char *line) {
    cleanup_free char *whole = str_printf("\n%s\n", line);
    if (!strstr(status, whole))
        fail_msg("'%s' is not in: %s", line, status);
}

static void rights_while_it_waits(void **state) {
    const struct server *server = *state;
    cleanup_free char *url = str_printf("http://127.0.0.1:%u/hang", server->port), *status = NULL, *limits = NULL;
    const struct run run = {.argv = RUN_ARGV(program, "--timeout=5", url), .timeout_ms = 10000};
    struct err err = {0};
    pid_t pid;
    size_t size;
    assert_int_equal(run_start(&run, &pid, &err), 0);
    cleanup_free char *path = str_printf("/proc/%d/status", pid), *limits_path = str_printf("/proc/%d/limits", pid);
    for (int i = 0; i < 100; i++) { // until it has given up its rights
        usleep(20000);
        free(status);
        status = NULL;
        assert_int_equal(file_read(AT_FDCWD, path, 1 << 16, &status, &size, &err), 0);
        if (strstr(status, "Seccomp:\t2"))
            break;
    }
    int read_limits = file_read(AT_FDCWD, limits_path, 1 << 16, &limits, &size, &err);
    kill(pid, SIGKILL);
    struct err killed;
    assert_true(run_wait(&run, pid, &killed) < 0);
    assert_int_equal(read_limits, 0);
    assert_status(status, "Seccomp:\t2");
    assert_status(status, "NoNewPrivs:\t1");
    assert_status(status, "CapEff:\t0000000000000000");
    assert_status(status, "CapPrm:\t0000000000000000");
    assert_non_null(strstr(limits, "Max core file size        0                    0"));
    assert_non_null(strstr(limits, "Max file size             0                    0"));
    assert_non_null(strstr(limits, "Max open files            64                   64"));
    if (geteuid() == 0) {
        assert_status(status, "Uid:\t65534\t65534\t65534\t65534");
        assert_status(status, "Gid:\t65534\t65534\t65534\t65534");
        assert_non_null(strstr(status, "\nGroups:\t \n"));
    }
}

int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(addresses_that_are_refused),
        cmocka_unit_test(usage),
        cmocka_unit_test(rights_while_it_waits),
    };
    const char *slash = strrchr(argv[0], '/');
    program = str_printf("%.*s/../../webops-fetch", slash ? (int)(slash - argv[0]) : 1, slash ? argv[0] : ".");
    int failed = cmocka_run_group_tests(tests, server_start, server_stop);
    free(program);
    return failed;
}
