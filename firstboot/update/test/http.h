// SPDX-License-Identifier: Apache-2.0
// For tests: the server that misbehaves (qemu-tests/doubles/bad_server.py) over a file of random bytes.
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

#define HTTP_FILE_BYTES 3000017 // no round number

struct http {
    char directory[64];
    uint8_t *data; // HTTP_FILE_BYTES
    char *file, *log; // paths: it, and one line per request
    char *program; // build/webops-fetch
    pid_t pid;
    int in; // closing it ends the server
    char port[16];
};

static inline void http_write_file(struct http *http) {
    struct err err;
    uint32_t state = 2463534242u;
    http->data = mem_array(HTTP_FILE_BYTES, 1);
    for (size_t i = 0; i < HTTP_FILE_BYTES; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        http->data[i] = (uint8_t)state;
    }
    http->file = str_printf("%s/file", http->directory);
    assert_int_equal(file_publish(AT_FDCWD, http->file, http->data, HTTP_FILE_BYTES, 0644, &err), 0);
}

// `options`: further arguments of the server, NULL-terminated, at most eight.
static inline struct http *http_start(const char *argv0, const char *const *options) {
    struct http *http = mem_array(1, sizeof(*http));
    struct err err = {0};
    strcpy(http->directory, "/tmp/webops-test-XXXXXX");
    assert_non_null(mkdtemp(http->directory));
    http_write_file(http);
    const char *build = strstr(argv0, "firstboot/");
    int length = build ? (int)(build - argv0) : 0;
    http->program = str_printf("%.*swebops-fetch", length, argv0);
    cleanup_free char *server = str_printf("%.*s../qemu-tests/doubles/bad_server.py", length, argv0);
    http->log = str_printf("%s/log", http->directory);
    const char *argv[16] = {"/usr/bin/python3", "-BWignore", server, http->file, http->log};
    for (size_t i = 0; options && options[i]; i++)
        argv[5 + i] = options[i];
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    const struct run run = {.argv = argv, .in = in[0], .out = out[1]};
    if (run_start(&run, &http->pid, &err) < 0)
        fail_msg("%s", err.text);
    close(in[0]);
    close(out[1]);
    http->in = in[1];
    cleanup_file FILE *port = fdopen(out[0], "r");
    assert_non_null(fgets(http->port, sizeof(http->port), port));
    http->port[strcspn(http->port, "\n")] = 0;
    return http;
}

static inline void http_stop(struct http *http) {
    struct err err;
    close(http->in);
    waitpid(http->pid, NULL, 0);
    assert_int_equal(file_remove_tree(AT_FDCWD, http->directory, &err), 0);
    free(http->data);
    free(http->file);
    free(http->log);
    free(http->program);
    free(http);
}

static inline char *http_url(const struct http *http, const char *path) {
    return str_printf("http://127.0.0.1:%s%s", http->port, path);
}

// How many of the requests' lines contain `text`.
static inline unsigned http_count(const struct http *http, const char *text) {
    struct err err;
    cleanup_free char *log = NULL;
    unsigned count = 0;
    if (file_read(AT_FDCWD, http->log, 16 << 20, &log, NULL, &err) < 0)
        fail_msg("%s", err.text);
    for (const char *line = log; (line = strstr(line, text)); line++)
        count++;
    return count;
}
