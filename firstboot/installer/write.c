// SPDX-License-Identifier: Apache-2.0
// Runs webops-flash. It reads the network as nobody, and holds each range of an image against its hash in the block map.
#include "firstboot/installer/write.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/meter.h"
#include "common/run.h"
#include "firstboot/installer/disks.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <sys/mman.h>

#define SAID_BYTES 4096
#define TELL_MS 5000

bool install_progress(const char *line, char ret_text[INSTALL_LINE_BYTES]) {
    json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *kind = json_string_value(json_object_get(event, "event")), *stage = json_string_value(json_object_get(event, "stage"));
    bool is_progress = kind && strcmp(kind, "progress") == 0, is_worth = stage && (is_progress || (kind && strcmp(kind, "start") == 0));
    json_int_t done = json_integer_value(json_object_get(event, "done_bytes")),
               total = json_integer_value(json_object_get(event, "total_bytes"));
    if (is_worth && is_progress)
        snprintf(ret_text, INSTALL_LINE_BYTES, "%.60s %u %%", stage,
                 meter_percent(done > 0 ? (uint64_t)done : 0, total > 0 ? (uint64_t)total : 0));
    else if (is_worth)
        snprintf(ret_text, INSTALL_LINE_BYTES, "%.60s", stage);
    json_decref(event);
    return is_worth;
}

// At most a line every few seconds within a stage: a serial console is slow. True: a stage was begun.
static bool listen(FILE *output, void (*tell)(const char *line)) {
    cleanup_free char *line = NULL;
    size_t capacity = 0;
    int64_t told_ms = 0;
    bool has_begun = false;
    while (getline(&line, &capacity, output) >= 0) {
        char text[INSTALL_LINE_BYTES];
        if (!install_progress(line, text))
            continue;
        has_begun = true;
        if (strchr(text, '%') && clock_ms() - told_ms < TELL_MS)
            continue;
        told_ms = clock_ms();
        tell(text);
    }
    return has_begun;
}

// The last line of what a child said, behind "…: error: ", in the place of what is said of how it ended. False: that is no error; one that was killed
// says none.
static bool take_said(int said_fd, int code, struct err *err) {
    char text[SAID_BYTES + 1], *save = NULL;
    off_t size = lseek(said_fd, 0, SEEK_END);
    ssize_t got = pread(said_fd, text, SAID_BYTES, size > SAID_BYTES ? size - SAID_BYTES : 0);
    const char *error = NULL;
    text[got > 0 ? got : 0] = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        log_info("%s", line);
        error = strstr(line, "error: ");
    }
    if (error && code < 0)
        (void)!err_set(err, code, "%s", error + strlen("error: "));
    return error;
}

static void add(const char **argv, size_t *count, const char *option, const char *value) {
    if (option)
        argv[(*count)++] = option;
    argv[(*count)++] = value;
}

static void plan_arguments(const struct install_write *write, const char **argv) {
    size_t count = 0;
    add(argv, &count, NULL, write->program ?: INSTALL_FLASH_PROGRAM);
    add(argv, &count, NULL, "--yes");
    add(argv, &count, NULL, "--json");
    if (*write->serial)
        add(argv, &count, "--serial", write->serial);
    if (write->sha256)
        add(argv, &count, "--bmap-sha256", write->sha256);
    if (write->config)
        add(argv, &count, "--config", write->config);
    if (write->config && write->secrets)
        add(argv, &count, "--secrets", write->secrets);
    add(argv, &count, "--", write->image);
    add(argv, &count, NULL, write->disk);
    argv[count] = NULL;
}

static int run_flash(const struct install_write *write, int said_fd, bool *ret_has_begun, struct err *err) {
    const char *argv[16];
    int ends[2];
    pid_t pid = 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, -errno, "cannot make a pipe");
    cleanup_fd int out = ends[1];
    cleanup_file FILE *output = fdopen(ends[0], "r");
    plan_arguments(write, argv);
    const struct run run = {.argv = argv, .out = out, .error = said_fd};
    int r = run_start(&run, &pid, err);
    if (r < 0)
        return r;
    close(take_fd(&out));
    *ret_has_begun = listen(output, write->tell);
    return run_wait(&run, pid, err);
}

int install_write(const struct install_write *write, struct err *err) {
    cleanup_fd int said_fd = memfd_create("said", MFD_CLOEXEC);
    bool has_begun = false;
    if (said_fd < 0)
        return err_sys(err, -errno, "memfd_create");
    int r = run_flash(write, said_fd, &has_begun, err);
    bool is_said = take_said(said_fd, r, err);
    if (r < 0 && !is_said && has_begun)
        r = err_set(err, r, "%s; %s is unfinished, what it held is gone, and the next start of the medium goes on", err->text, write->disk);
    return r;
}
