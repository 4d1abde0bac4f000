// SPDX-License-Identifier: Apache-2.0
// Memory files for the output of tools, and the environment they run in.
#include "builder/tool_log.h"
#include "common/buf.h"
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define TAIL_BYTES 65536

int tool_log_open(struct err *err) {
    int fd = memfd_create("tool-log", MFD_CLOEXEC);
    return fd < 0 ? err_sys(err, -errno, "cannot make a memory file") : fd;
}

static bool is_telling(const char *line, size_t size) {
    static const char *const marks[] = {"E: ", "dpkg: error", "error:", "ERROR", "FATAL", "Err:", "failed", "cannot", "No space left"};
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
        if (memmem(line, size, marks[i], strlen(marks[i])))
            return true;
    return false;
}

const char *tool_log_line(const char *text, size_t size, size_t *ret_size) {
    const char *last = text, *telling = NULL;
    size_t last_size = 0, telling_size = 0;
    for (size_t at = 0; at < size;) {
        size_t length = 0;
        while (at + length < size && text[at + length] != '\n' && text[at + length] != '\r')
            length++;
        while (length && isspace((unsigned char)text[at]))
            at++, length--;
        if (length) {
            last = text + at;
            last_size = length;
        }
        if (length && is_telling(last, length)) {
            telling = last;
            telling_size = length;
        }
        at += length + 1;
    }
    *ret_size = telling ? telling_size : last_size;
    return telling ? telling : last;
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
    static const char *const dropped[] = {"LANG=", "LANGUAGE=", "LC_", "SOURCE_DATE_EPOCH=", "APT_CONFIG=", "TMPDIR=", "DEBIAN_", "DPKG_"};
    for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
        if (strncmp(variable, dropped[i], strlen(dropped[i])) == 0)
            return false;
    return true;
}

char **tool_env(const char *const *extra) {
    static const char *const always[] = {"LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "TZ=UTC", NULL};
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

void tool_env_free(char ***env) {
    for (char **v = *env; v && *v; v++)
        free(*v);
    free(*env);
    *env = NULL;
}
