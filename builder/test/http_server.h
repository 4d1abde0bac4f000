// SPDX-License-Identifier: Apache-2.0
// A web server over a directory on a free port of the loopback interface, for tests of what downloads. Stopped by its process id;
// ends with the test program in any case.
#pragma once
#include "builder/test/support.h"
#include <poll.h>
#include <signal.h>

struct http_server {
    pid_t pid;
    unsigned port;
};

// `script` (Python; NULL = the module http.server) gets the same arguments and says the same line.
static inline void http_server_start_script(const char *dir, const char *script, struct http_server *ret_server) {
    struct err err = {0};
    int pipes[2];
    char line[256];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    struct run run = {.argv = RUN_ARGV("setpriv", "--pdeathsig", "KILL", "/usr/bin/python3", "-u", script ? "-c" : "-m",
                                       script ?: "http.server", "--bind", "127.0.0.1", "--directory", dir, "0"),
                      .out = pipes[1],
                      .error = open("/dev/null", O_WRONLY | O_CLOEXEC)};
    assert_ok(run_start(&run, &ret_server->pid, &err));
    close(pipes[1]);
    close(run.error);
    struct pollfd poll_fd = {.fd = pipes[0], .events = POLLIN};
    size_t size = 0;
    while (!memchr(line, '\n', size)) { // "Serving HTTP on 127.0.0.1 port 40001 (…"
        assert_int_equal(poll(&poll_fd, 1, 20000), 1);
        ssize_t got = read(pipes[0], line + size, sizeof(line) - 1 - size);
        assert_true(got > 0);
        size += (size_t)got;
    }
    line[size] = 0;
    close(pipes[0]);
    assert_int_equal(sscanf(line, "Serving HTTP on 127.0.0.1 port %u", &ret_server->port), 1);
}

static inline void http_server_start(const char *dir, struct http_server *ret_server) {
    http_server_start_script(dir, NULL, ret_server);
}

static inline void http_server_stop(struct http_server *server) {
    kill(server->pid, SIGKILL);
    assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
}
