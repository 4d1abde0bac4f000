// SPDX-License-Identifier: Apache-2.0
// webops-fetch --ranges by itself: the lines it takes and gives, their order, its memory, and its rights.
#include "firstboot/update/test/http.h"
#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#define MAX_RSS_KIB (64 << 10)

static struct http *http;

struct child {
    pid_t pid;
    int in, out;
    const char *const *argv; // for messages
};

static struct child start(const char *path, const char *option) {
    cleanup_free char *url = http_url(http, path);
    struct child child = {0};
    struct err err;
    int in[2], out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    const struct run run = {
        .argv = RUN_ARGV(http->program, "--ranges", "--tries=2", "--backoff-ms=1", "--longest-wait-ms=10", option, url),
        .in = in[0],
        .out = out[1],
        .error = out[1], // so that its messages are seen where a test fails
    };
    assert_int_equal(run_start(&run, &child.pid, &err), 0);
    close(in[0]);
    close(out[1]);
    child.in = in[1];
    child.out = out[0];
    return child;
}

static void ask(const struct child *child, const char *text) {
    assert_int_equal(write(child->in, text, strlen(text)), strlen(text));
}

// Everything that is printed until the end (NULL: nobody wants it); its exit code, and its peak of resident memory. The kernel counts what
// this program had resident when it started the child, too.
static int finish(struct child *child, struct buf *output, long *ret_rss_kib) {
    char piece[65536];
    struct rusage usage;
    int status;
    close(child->in);
    for (ssize_t got; (got = read(child->out, piece, sizeof(piece))) > 0;)
        if (output)
            buf_add(output, piece, (size_t)got);
    close(child->out);
    assert_int_equal(wait4(child->pid, &status, 0, &usage), child->pid);
    if (ret_rss_kib)
        *ret_rss_kib = usage.ru_maxrss;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

// The frames without the bytes of "data" ones, which are checked against the file, neighbours of these made one.
static char *frames_of(const struct buf *output) {
    cleanup_buf struct buf text = {0};
    unsigned long long first = 0, next = 0, offset, size;
    const char *at = buf_str(output), *end = at + output->size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(newline);
        if (strncmp(at, "traffic ", 8) == 0) {
            at = newline + 1;
            continue;
        }
        bool is_data = sscanf(at, "data %llu %llu\n", &offset, &size) == 2;
        if (next > first && (!is_data || offset != next)) {
            buf_printf(&text, "data %llu %llu\n", first, next - first);
            first = next = 0;
        }
        if (is_data) {
            assert_true((size_t)(end - newline) > size);
            assert_memory_equal(newline + 1, http->data + offset, size);
            first = next > first ? first : offset;
            next = offset + size;
            at = newline + 1 + size;
            continue;
        }
        buf_add(&text, at, (size_t)(newline + 1 - at));
        at = newline + 1;
    }
    return buf_take(&text);
}

static void answers(void **state) {
    (void)state;
    static const struct {
        const char *path, *requests, *frames;
    } cases[] = {
        {"/good", "", ""},
        {"/good", "0 10\n", "data 0 10\nend\n"},
        {"/good", "3000013 4\n", "data 3000013 4\nend\n"},
        {"/good", "3000013 5\n", "data 3000013 4\nend\n"}, // the file ends
        {"/good", "3000017 5\n", "end\n"},
        {"/good", "1152921504606846975 1\n", "end\n"},
        {"/good", "0 1\n5 1\n9 1\n5 1\n", "data 0 1\nend\ndata 5 1\nend\ndata 9 1\nend\ndata 5 1\nend\n"},
        {"/good", "0 400000\n600000 2400000\n", "data 0 400000\nend\ndata 600000 2400000\nend\n"},
        {"/together/4/a", "0 1\n10 1\n20 1\n30 1\n40 1\n50 1\n60 1\n",
         "data 0 1\nend\ndata 10 1\nend\ndata 20 1\nend\ndata 30 1\nend\ndata 40 1\nend\ndata 50 1\nend\ndata 60 1\nend\n"},
        // What comes before its turn has to wait, and goes on when it is its turn.
        {"/together/4/b", "0 1\n0 3000000\n1 3000000\n2 3000000\n3 3000000\n",
         "data 0 1\nend\ndata 0 3000000\nend\ndata 1 3000000\nend\ndata 2 3000000\nend\ndata 3 3000000\nend\n"},
        {"/whole", "5 5\n", "whole 3000017\ndata 0 3000017\nend\n"},
        {"/whole-unknown", "5 5\n", "whole -\ndata 0 3000017\nend\n"},
        {"/cut-whole/1/a", "5 5\n", "whole 3000017\ndata 0 3000017\nend\n"},
        {"/then-whole/1/b", "5 5\n20 5\n", "data 5 5\nend\nwhole 3000017\ndata 0 3000017\nend\n"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf output = {0};
        struct child child = start(cases[i].path, "--slow-seconds=10");
        ask(&child, cases[i].requests);
        int code = finish(&child, &output, NULL);
        cleanup_free char *frames = frames_of(&output);
        if (code != 0 || strcmp(frames, cases[i].frames) != 0)
            fail_msg("%s %s: exit code %d, %s", cases[i].path, cases[i].requests, code, frames);
    }
}

// More requests than it reads ahead: all are answered, in order.
static void many_requests(void **state) {
    (void)state;
    cleanup_buf struct buf requests = {0}, expected = {0}, output = {0};
    for (unsigned i = 0; i < 500; i++) {
        buf_printf(&requests, "%u 7\n", i * 1999);
        buf_printf(&expected, "data %u 7\nend\n", i * 1999);
    }
    struct child child = start("/good", "--slow-seconds=10");
    ask(&child, buf_str(&requests));
    assert_int_equal(finish(&child, &output, NULL), 0);
    cleanup_free char *frames = frames_of(&output);
    assert_string_equal(frames, buf_str(&expected));
}

static void requests_that_are_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "\n",
        "x\n",
        "5\n",
        "5 \n",
        " 5 5\n",
        "5  5\n",
        "5 5 \n",
        "5 5 5\n",
        "-5 5\n",
        "5 -5\n",
        "5 0\n",
        "5 5\r\n",
        "0x5 5\n",
        "5 5",
        "1e3 5\n",
        "0 1152921504606846977\n",
        "1152921504606846977 1\n",
        "1152921504606846975 2\n",
        "30000133000013300001399999 1\n",
        "1 30000133000013300001399999\n",
        "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001 1\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup_buf struct buf output = {0};
        struct child child = start("/good", "--slow-seconds=10");
        ask(&child, cases[i]);
        int code = finish(&child, &output, NULL);
        if (code != 1 || !strstr(buf_str(&output), "\nfailed permanent http"))
            fail_msg("'%s': exit code %d, %s", cases[i], code, buf_str(&output));
    }
}

static void memory_is_bounded(void **state) {
    (void)state;
    static const struct {
        const char *path;
        int code;
    } cases[] = {
        {"/endless/body", 1},         {"/endless/error", 75}, {"/endless/headers", 1}, {"/endless/header", 1}, {"/many-headers/10000", 1},
        {"/large-header/1048576", 1}, {"/good", 0},           {"/whole", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct child child = start(cases[i].path, "--slow-seconds=10");
        long rss_kib;
        ask(&child, "0 3000017\n0 3000017\n0 3000017\n0 3000017\n0 3000017\n");
        int code = finish(&child, NULL, &rss_kib);
        if (code != cases[i].code || rss_kib > MAX_RSS_KIB)
            fail_msg("%s: exit code %d, %ld KiB", cases[i].path, code, rss_kib);
    }
}

// The environment's proxy is not asked: nothing listens there.
static void no_proxy_from_the_environment(void **state) {
    (void)state;
    static const char *const names[] = {"http_proxy", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_buf struct buf output = {0};
        setenv(names[i], "http://127.0.0.1:1", 1);
        struct child child = start("/good", "--slow-seconds=10");
        unsetenv(names[i]);
        ask(&child, "0 10\n");
        assert_int_equal(finish(&child, &output, NULL), 0);
    }
}

// A line of /proc/PID/status as a number.
static long status_number(pid_t pid, const char *name) {
    cleanup_free char *path = str_printf("/proc/%d/status", pid), *text = NULL, *key = str_printf("\n%s:", name);
    struct err err;
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 16, &text, NULL, &err), 0);
    const char *line = strstr(text, key);
    assert_non_null(line);
    return strtol(line + strlen(key), NULL, 10);
}

static bool has_more(const struct child *child, int timeout_ms) {
    struct pollfd fd = {.fd = child->out, .events = POLLIN};
    return poll(&fd, 1, timeout_ms) > 0;
}

// A reader that is slower than an endless stream holds up the server, not memory.
static void slow_reader(void **state) {
    (void)state;
    static char piece[1 << 20];
    struct child child = start("/endless/whole", "--slow-seconds=10");
    ask(&child, "0 3000017\n");
    for (size_t total = 0; total < 40u << 20;) {
        ssize_t got = read(child.out, piece, sizeof(piece));
        assert_true(got > 0);
        total += (size_t)got;
    }
    assert_true(status_number(child.pid, "VmHWM") <= MAX_RSS_KIB);
    close(child.out); // nobody reads any more: it ends by itself
    close(child.in);
    int status;
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

// While it waits for a server that says nothing: it says so, and it has no rights.
static void waiting(void **state) {
    (void)state;
    char line[16] = "";
    struct child child = start("/hold/head", "--slow-seconds=15");
    ask(&child, "0 1\n");
    assert_true(has_more(&child, 15000));
    assert_int_equal(read(child.out, line, sizeof(line)), 6);
    assert_string_equal(line, "alive\n");
    assert_int_equal(status_number(child.pid, "Seccomp"), 2);
    assert_int_equal(status_number(child.pid, "NoNewPrivs"), 1);
    assert_int_equal(status_number(child.pid, "CapEff"), 0);
    if (geteuid() == 0)
        assert_int_equal(status_number(child.pid, "Uid"), 65534);
    kill(child.pid, SIGKILL);
    close(child.in);
    close(child.out);
    assert_int_equal(waitpid(child.pid, NULL, 0), child.pid);
}

int main(int argc, char **argv) {
    (void)argc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_bounded), // first: while this program is small itself
        cmocka_unit_test(answers),
        cmocka_unit_test(many_requests),
        cmocka_unit_test(requests_that_are_refused),
        cmocka_unit_test(no_proxy_from_the_environment),
        cmocka_unit_test(slow_reader),
        cmocka_unit_test(waiting),
    };
    http = http_start(argv[0], NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    http_stop(http);
    return failed;
}
