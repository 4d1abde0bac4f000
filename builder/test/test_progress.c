// SPDX-License-Identifier: Apache-2.0
// What a pipe, a program and a terminal see of a run: exact lines, valid JSON events in order, and a live line that leaves nothing behind.
#include "builder/progress.h"
#include "common/buf.h"
#include "common/file.h"
#include "common/log.h"
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

// Runs two stages with standard output and error going to one file each.
static void run_stages(bool json, char **ret_out, char **ret_error) {
    struct err err = {0};
    int out = memfd_create("out", MFD_CLOEXEC), error = memfd_create("error", MFD_CLOEXEC);
    fflush(stdout);
    int kept_out = dup(1), kept_error = dup(2);
    dup2(out, 1);
    dup2(error, 2);
    {
        cleanup_progress struct progress *progress = progress_new(2, json);
        progress_start(progress, "base debian-12");
        progress_update(progress, 1, 4);
        assert_true(progress_end(progress, "built") >= 0);
        progress_start(progress, "layer \"odd\"");
        progress_end(progress, "failed");
    }
    fflush(stdout);
    dup2(kept_out, 1);
    dup2(kept_error, 2);
    close(kept_out);
    close(kept_error);
    lseek(out, 0, SEEK_SET);
    lseek(error, 0, SEEK_SET);
    assert_int_equal(file_read_fd(out, "out", 1 << 16, ret_out, NULL, &err), 0);
    assert_int_equal(file_read_fd(error, "error", 1 << 16, ret_error, NULL, &err), 0);
    close(out);
    close(error);
}

static void test_lines(void **state) {
    (void)state;
    cleanup_free char *out = NULL, *error = NULL;
    run_stages(false, &out, &error);
    assert_string_equal(out, "");
    assert_null(strchr(error, '\033'));
    assert_null(strchr(error, '\r'));
    assert_non_null(strstr(error, "[1/2] base debian-12 "));
    assert_non_null(strstr(error, " s  built\n[2/2] layer \"odd\" "));
    assert_non_null(strstr(error, " s  failed\n"));
}

// Everything the terminal got, until `words` are in it; a run that never draws them ends by the timeout.
static void read_until(int terminal, struct buf *shown, const char *words) {
    while (!strstr(buf_str(shown), words)) {
        char chunk[4096];
        struct pollfd wait = {.fd = terminal, .events = POLLIN};
        if (poll(&wait, 1, 10000) != 1)
            fail_msg("the terminal did not get '%s', but '%s'", words, buf_str(shown));
        ssize_t got = read(terminal, chunk, sizeof(chunk));
        assert_true(got > 0);
        buf_add(shown, chunk, (size_t)got);
    }
}

// What is left on a terminal's line: \r\033[K erases, as this program uses it.
static char *line_with(const char *shown, const char *words) {
    const char *at = strstr(shown, words);
    assert_non_null(at);
    while (at > shown && at[-1] != '\n')
        at--;
    size_t length = strcspn(at, "\n");
    cleanup_free char *line = str_printf("%.*s", (int)length - (length && at[length - 1] == '\r'), at); // terminals end lines with both
    const char *erase = "\r\033[K", *rest = line;
    for (const char *next; (next = strstr(rest, erase));)
        rest = next + strlen(erase);
    return str_dup(rest);
}

static void test_terminal(void **state) {
    (void)state;
    int terminal, ours;
    cleanup_buf struct buf shown = {0};
    assert_int_equal(openpty(&terminal, &ours, NULL, NULL, NULL), 0);
    int kept = dup(2);
    dup2(ours, 2);
    log_init("test", LOG_LEVEL_INFO, false);
    struct progress *progress = progress_new(2, false);
    progress_start(progress, "base debian-12");
    read_until(terminal, &shown, "\r\033[K[1/2] base debian-12 "); // without a size there is no bar
    assert_null(strchr(buf_str(&shown), '#'));
    progress_update(progress, 5, 10);
    read_until(terminal, &shown, " s ##########----------  50 %");
    progress_update(progress, 11, 10); // a size was estimated too low
    read_until(terminal, &shown, " s ####################");
    log_warn("in between");
    progress_update(progress, 3, 4);
    read_until(terminal, &shown, " s ###############-----"); // drawn again below, and erased by the end
    progress_end(progress, "built");
    progress_start(progress, "layer");
    read_until(terminal, &shown, "[2/2] layer ");
    progress_free(progress); // given up in the middle
    log_warn("after all");
    read_until(terminal, &shown, "after all\r\n");
    dup2(kept, 2);
    close(kept);
    close(ours);
    close(terminal);
    cleanup_free char *between = line_with(buf_str(&shown), "in between"), *stage = line_with(buf_str(&shown), " s  built");
    cleanup_free char *after = line_with(buf_str(&shown), "after all");
    assert_string_equal(between, "test: warning: in between");
    assert_int_equal(strncmp(stage, "[1/2] base debian-12 ", strlen("[1/2] base debian-12 ")), 0);
    assert_null(strchr(stage, '#'));
    assert_string_equal(after, "test: warning: after all");
}

static void test_json(void **state) {
    (void)state;
    static const struct {
        const char *event, *stage;
        int number, done; // 0: not in the event
    } rows[] = {{"start", "base debian-12", 1, 0},
                {"progress", "base debian-12", 0, 1},
                {"end", "base debian-12", 0, 0},
                {"start", "layer \"odd\"", 2, 0},
                {"end", "layer \"odd\"", 0, 0}};
    cleanup_free char *out = NULL, *error = NULL;
    run_stages(true, &out, &error);
    assert_string_equal(error, "");
    unsigned count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), count++) {
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(event);
        assert_true(count < ARRAY_SIZE(rows));
        assert_string_equal(json_string_value(json_object_get(event, "event")), rows[count].event);
        assert_string_equal(json_string_value(json_object_get(event, "stage")), rows[count].stage);
        assert_int_equal(json_integer_value(json_object_get(event, "number")), rows[count].number);
        assert_int_equal(json_integer_value(json_object_get(event, "done_bytes")), rows[count].done);
        assert_int_equal(json_is_real(json_object_get(event, "seconds")), strcmp(rows[count].event, "end") == 0);
        json_decref(event);
    }
    assert_int_equal(count, ARRAY_SIZE(rows));
}

// Who reads signals where it is safe (builder/upload/stop.h) blocks them after the bar was drawn: its thread must not be the one that dies of them.
static void bar_and_signal(void) {
    int terminal, line;
    sigset_t set;
    assert_int_equal(openpty(&terminal, &line, NULL, NULL, NULL), 0);
    dup2(line, STDERR_FILENO);
    cleanup_progress struct progress *progress = progress_new(1, false);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGTERM);
    assert_int_equal(sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = 10}), SIGTERM);
}

static void test_signals(void **state) {
    int status = 0;
    (void)state;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bar_and_signal();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_json), cmocka_unit_test(test_terminal),
                                       cmocka_unit_test(test_signals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
