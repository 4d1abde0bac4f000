// SPDX-License-Identifier: Apache-2.0
// Appends with O_APPEND in one write, so that two webops at once do not mix their lines; bounded by one rotation.
#include "firstboot/actionlog.h"
#include "common/file.h"
#include "common/buf.h"
#include "common/log.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

struct actionlog_time actionlog_now(void) {
    struct actionlog_time now;
    struct tm parts;
    time_t seconds = time(NULL);
    gmtime_r(&seconds, &parts);
    strftime(now.text, sizeof(now.text), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return now;
}

static void rotate(int root_fd) {
    struct stat st;
    if (fstatat(root_fd, ACTIONLOG_PATH, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size >= ACTIONLOG_MAX_BYTES)
        renameat(root_fd, ACTIONLOG_PATH, root_fd, ACTIONLOG_PATH ".1");
}

static int append(int root_fd, const char *line, struct err *err) {
    int r = file_mkdirs(root_fd, "var/log/webops", 0755, err);
    if (r < 0)
        return r;
    rotate(root_fd);
    cleanup_fd int fd = file_open(root_fd, ACTIONLOG_PATH, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0640, err);
    return fd < 0 ? fd : file_write_all(fd, ACTIONLOG_PATH, line, strlen(line), err);
}

void actionlog_write(int root_fd, const char *stage, const char *action, const char *object, const char *result) {
    struct actionlog_time now = actionlog_now();
    json_t *entry =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "time", now.text, "stage", stage, "action", action, "object", object, "result", result);
    if (!entry) {
        log_warn("an action could not be logged: not UTF-8");
        return;
    }
    cleanup_free char *text = json_dumps(entry, JSON_COMPACT);
    json_decref(entry);
    cleanup_free char *line = str_printf("%s\n", text ? text : "{}");
    struct err err = {0};
    if (append(root_fd, line, &err) < 0)
        log_warn("%s", err.text);
}
