// SPDX-License-Identifier: Apache-2.0
// The bar is for eyes, the lines for logs, the objects for programs; nothing is decided here.
#include "firstboot/update/progress.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/meter.h"
#include "firstboot/actionlog.h"
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#define EVENT_MS 500

const char *progress_phase(enum delta_phase phase) {
    static const char *const names[] = {"comparing", "writing", "checking"};
    return names[phase];
}

static unsigned percent(const struct delta_progress *delta) {
    return meter_percent(delta->done_bytes, delta->total_bytes);
}

void progress_format(const struct delta_progress *delta, unsigned width, char ret_line[PROGRESS_LINE_BYTES]) {
    char numbers[METER_BYTES];
    meter_format(delta->done_bytes, delta->total_bytes, delta->rate_bytes, numbers);
    int used = 11 + (int)strlen(numbers);
    if (width >= PROGRESS_LINE_BYTES)
        width = PROGRESS_LINE_BYTES - 1;
    int room = (int)width - used - 3;
    int length = snprintf(ret_line, PROGRESS_LINE_BYTES, "%-9s ", progress_phase(delta->phase));
    if (room >= 10) {
        int full = room * (int)percent(delta) / 100;
        ret_line[length++] = '[';
        for (int i = 0; i < room; i++)
            ret_line[length++] = i < full ? '#' : '.';
        ret_line[length++] = ']';
    }
    snprintf(ret_line + length, PROGRESS_LINE_BYTES - (size_t)length, " %s", numbers);
    ret_line[width] = 0;
}

static void clear_line(void) {
    fputs("\r\033[K", stdout);
    fflush(stdout);
}

void progress_init(struct progress *progress, bool is_json) {
    struct winsize size = {0};
    *progress = (struct progress){.is_json = is_json, .width = 79, .last_tenth = -1};
    progress->is_terminal = !is_json && isatty(STDOUT_FILENO);
    if (progress->is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        progress->width = size.ws_col - 1;
    if (progress->is_terminal)
        log_set_before_line(clear_line);
}

void progress_event(struct progress *progress, const char *event, json_t *object) {
    struct actionlog_time now = actionlog_now();
    if (progress->is_json && object) {
        json_object_set_new(object, "event", json_string(event));
        json_object_set_new(object, "time", json_string(now.text));
        cleanup_free char *text = json_dumps(object, JSON_COMPACT);
        printf("%s\n", text ? text : "{}");
        fflush(stdout);
    }
    json_decref(object);
}

void progress_say(struct progress *progress, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    cleanup_free char *text = NULL;
    if (vasprintf(&text, fmt, args) < 0)
        abort();
    va_end(args);
    if (progress->is_json) {
        progress_event(progress, "message", json_pack("{s:s}", "text", text));
        return;
    }
    if (progress->is_terminal)
        clear_line();
    printf("%s\n", text);
    fflush(stdout);
}

static void print_to_file(struct progress *progress, const struct delta_progress *delta) {
    char done[METER_SIZE_BYTES], total[METER_SIZE_BYTES];
    int tenth = (int)percent(delta) / 10;
    if (delta->total_bytes == 0 || (delta->phase == progress->last_phase && tenth == progress->last_tenth))
        return;
    progress->last_tenth = tenth;
    printf("%s: %u %%, %s of %s\n", progress_phase(delta->phase), percent(delta), meter_size(delta->done_bytes, done),
           meter_size(delta->total_bytes, total));
    fflush(stdout);
}

static void print_event(struct progress *progress, const struct delta_progress *delta) {
    int64_t now = clock_ms();
    if (delta->phase == progress->last_phase && delta->done_bytes != delta->total_bytes && now - progress->last_ms < EVENT_MS)
        return;
    progress->last_ms = now;
    progress_event(progress, "progress",
                   json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "phase", progress_phase(delta->phase), "done_bytes",
                             (json_int_t)delta->done_bytes, "total_bytes", (json_int_t)delta->total_bytes, "fetched_bytes",
                             (json_int_t)delta->fetched_bytes, "fetch_bytes", (json_int_t)delta->fetch_bytes, "rate_bytes",
                             (json_int_t)delta->rate_bytes));
}

void progress_update(struct progress *progress, const struct delta_progress *delta) {
    char line[PROGRESS_LINE_BYTES];
    if (progress->is_json)
        print_event(progress, delta);
    else if (!progress->is_terminal)
        print_to_file(progress, delta);
    else {
        progress_format(delta, progress->width, line);
        printf("\r\033[K%s", line);
        fflush(stdout);
    }
    progress->last_phase = delta->phase;
}

void progress_end(struct progress *progress) {
    if (!progress->is_terminal)
        return;
    clear_line();
    log_set_before_line(NULL);
}
