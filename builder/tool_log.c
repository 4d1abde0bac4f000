// SPDX-License-Identifier: Apache-2.0
// Memory files for the output of tools, and the environment they run in.
#include "builder/tool_log.h"
#include "common/buf.h"
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TAIL_BYTES 65536

int tool_log_open(struct err *err) {
    int fd = memfd_create("tool-log", MFD_CLOEXEC);
    return fd < 0 ? err_sys(err, -errno, "cannot make a memory file") : fd;
}

// How much a line tells: a full disk beats what tools say when they give up because of it, and that beats anything else.
static int line_rank(const char *line, size_t size) {
    static const struct {
        const char *mark;
        int rank;
    } marks[] = {
        {"No space left on device", 3},
        {"E: ", 2},
        {"dpkg: error", 2},
        {"error:", 2},
        {"ERROR", 2},
        {"FATAL", 2},
        {"Err:", 2},
        {"failed", 2},
        {"cannot", 2},
    };
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (memmem(line, size, marks[i].mark, strlen(marks[i].mark)))
            return marks[i].rank;
    return size ? 1 : 0;
}

const char *tool_log_line(const char *text, size_t size, size_t *ret_size) {
    const char *best = text;
    int best_rank = 0;
    *ret_size = 0;
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        while (at < size && isspace((unsigned char)text[at]))
            at++;
        while (at + length < size && text[at + length] != '\n' && text[at + length] != '\r')
            length++;
        int rank = line_rank(text + at, length);
        if (rank && rank >= best_rank) {
            best = text + at;
            best_rank = rank;
            *ret_size = length;
        }
        at += length + 1;
    }
    return best;
}

void tool_log_append(int log_fd, struct err *err) {
    if (log_fd < 0)
        return;
    off_t size = lseek(log_fd, 0, SEEK_END);
    if (size <= 0)
        return;
    cleanup_free char *text = mem_array(TAIL_BYTES, 1);
    ssize_t got = pread(log_fd, text, TAIL_BYTES, size > TAIL_BYTES ? size - TAIL_BYTES : 0);
    size_t length = 0, used = strlen(err->text);
    const char *line = got > 0 ? tool_log_line(text, (size_t)got, &length) : "";
    if (length && used < sizeof(err->text))
        snprintf(err->text + used, sizeof(err->text) - used, ": %.*s", (int)(length > 400 ? 400 : length), line);
}

static bool is_passed_on(const char *variable) {
    static const char *const dropped[] = {
        "LANG=", "LANGUAGE=", "LC_", "TZ=", "SOURCE_DATE_EPOCH=", "APT_CONFIG=", "TMPDIR=", "DEBIAN_", "DEBCONF_", "DPKG_", "MTOOLS"};
    for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
        if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0)
            return false;
    return true;
}

char **tool_env(const char *const *extra) {
    static const char *const always[] = {"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "TZ=UTC",
                                         NULL};
    size_t count = 0, capacity = ARRAY_SIZE(always);
    for (char **v = environ; *v; v++)
        capacity++;
    for (size_t i = 0; extra[i]; i++)
        capacity++;
    char **env = mem_array(capacity + 1, sizeof(*env));
    for (char **v = environ; *v; v++)
        if (is_passed_on(*v))
            env[count++] = str_dup(*v);
    for (size_t i = 0; always[i]; i++)
        env[count++] = str_dup(always[i]);
    for (size_t i = 0; extra[i]; i++)
        env[count++] = str_dup(extra[i]);
    return env;
}

char *tool_path(const char *path) {
    return str_printf("%s%s", *path == '/' || strncmp(path, "./", 2) == 0 ? "" : "./", path);
}

char *tool_fd_path(int fd) {
    return str_printf("/proc/%d/fd/%d", (int)getpid(), fd);
}

void tool_env_free(char ***env) {
    for (char **v = *env; v && *v; v++)
        free(*v);
    free(*env);
    *env = NULL;
}
