// SPDX-License-Identifier: Apache-2.0
// The history: one JSON object per line, appended and flushed. It is for people; nothing is decided by it.
#include "common/buf.h"
#include "common/file.h"
#include "firstboot/actionlog.h"
#include "firstboot/report.h"
#include "firstboot/update/journal.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#define MAX_BYTES (256 << 10)

static void rotate(int root_fd) {
    struct stat st;
    if (fstatat(root_fd, HISTORY_PATH, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_size >= MAX_BYTES)
        renameat(root_fd, HISTORY_PATH, root_fd, HISTORY_PATH ".1");
}

static bool is_torn(int fd) {
    struct stat st;
    char last = '\n';
    return fstat(fd, &st) == 0 && st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

static json_t *make_event(const char *event, const struct manifest *manifest, const char *detail) {
    char hex[65] = "";
    struct actionlog_time now = actionlog_now();
    hex_format(manifest->boot.root_hash, 32, hex);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:o}", "time", now.text, "event", event, "profile", manifest->profile, "version",
                     manifest->version, "sequence", (json_int_t)manifest->sequence, "root_hash", hex, "detail",
                     report_text(detail ? detail : ""));
}

int history_add(int root_fd, const char *event, const struct manifest *manifest, const char *detail, struct err *err) {
    cleanup_json json_t *object = make_event(event, manifest, detail);
    cleanup_free char *json = json_dumps(object, JSON_COMPACT);
    int r = json ? file_mkdirs(root_fd, UPDATE_DIR, 0700, err) : err_set(err, -EINVAL, "this event cannot be written as JSON");
    if (r < 0)
        return r;
    rotate(root_fd);
    cleanup_fd int fd = file_open(root_fd, HISTORY_PATH, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW, 0600, err);
    if (fd < 0)
        return fd;
    cleanup_free char *line = str_printf("%s%s\n", is_torn(fd) ? "\n" : "", json);
    r = file_write_all(fd, HISTORY_PATH, line, strlen(line), err);
    return r < 0 ? r : fsync(fd) < 0 ? err_sys(err, -errno, "cannot flush /" HISTORY_PATH) : 0;
}

static void read_file(int root_fd, const char *path, json_t *events) {
    cleanup_free char *text = NULL;
    struct err err;
    if (file_read(root_fd, path, 4 * MAX_BYTES, &text, NULL, &err) < 0)
        return;
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        json_t *event = json_loadb(line, strcspn(line, "\n"), JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(event))
            json_array_append(events, event);
        json_decref(event);
    }
}

json_t *history_read(int root_fd) {
    json_t *events = json_array();
    read_file(root_fd, HISTORY_PATH ".1", events);
    read_file(root_fd, HISTORY_PATH, events);
    return events;
}
