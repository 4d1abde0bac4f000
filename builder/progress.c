// SPDX-License-Identifier: Apache-2.0
// A ticker thread redraws the live line, so that a stage that waits for a child still shows its time.
#include "builder/progress.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/meter.h"
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define REDRAW_NS 100000000L
#define BAR_CELLS 20
#define EVENT_MS 500

struct progress {
    enum progress_style style;
    unsigned stages, number;
    char label[80];
    int64_t started_ms, told_ms;
    uint64_t done, total;
    bool running, stopping;
    pthread_t ticker;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static void clear_line(void) {
    fputs("\r\033[K", stderr);
}

static void draw(const struct progress *progress) {
    char bar[BAR_CELLS + 1] = "", numbers[METER_BYTES] = "";
    int64_t ms = clock_ms() - progress->started_ms;
    if (progress->total) {
        meter_format(progress->done, progress->total, ms > 0 ? progress->done * 1000 / (uint64_t)ms : 0, numbers);
        uint64_t cells = progress->done >= progress->total ? BAR_CELLS : progress->done * BAR_CELLS / progress->total;
        memset(bar, '#', cells);
        memset(bar + cells, '-', BAR_CELLS - cells);
        bar[BAR_CELLS] = 0;
    }
    clear_line();
    fprintf(stderr, "[%u/%u] %-28s %6.1f s %s %s", progress->number, progress->stages, progress->label, (double)ms / 1000, bar, numbers);
    fflush(stderr);
}

static void *tick(void *argument) {
    struct progress *progress = argument;
    pthread_mutex_lock(&progress->lock);
    while (!progress->stopping) {
        if (progress->running)
            draw(progress);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REDRAW_NS;
        if (until.tv_nsec >= 1000000000L) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000L;
        }
        pthread_cond_timedwait(&progress->wake, &progress->lock, &until);
    }
    pthread_mutex_unlock(&progress->lock);
    return NULL;
}

struct progress *progress_new(unsigned stages, bool json) {
    struct progress *progress = mem_array(1, sizeof(*progress));
    progress->style = json ? PROGRESS_JSON : isatty(STDERR_FILENO) ? PROGRESS_TERMINAL : PROGRESS_LINES;
    progress->stages = stages;
    pthread_mutex_init(&progress->lock, NULL);
    pthread_cond_init(&progress->wake, NULL);
    if (progress->style == PROGRESS_TERMINAL) {
        log_set_before_line(clear_line);
        sigset_t all, kept;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &kept); // inherited by the thread: signals are for who started it
        if (pthread_create(&progress->ticker, NULL, tick, progress) != 0)
            progress->style = PROGRESS_LINES;
        pthread_sigmask(SIG_SETMASK, &kept, NULL);
    }
    return progress;
}

void progress_free(struct progress *progress) {
    if (progress->style == PROGRESS_TERMINAL) {
        pthread_mutex_lock(&progress->lock);
        progress->stopping = true;
        pthread_cond_signal(&progress->wake);
        pthread_mutex_unlock(&progress->lock);
        pthread_join(progress->ticker, NULL);
        if (progress->running)
            clear_line();
        log_set_before_line(NULL);
    }
    pthread_cond_destroy(&progress->wake);
    pthread_mutex_destroy(&progress->lock);
    free(progress);
}

static void print_event(json_t *event) {
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    if (text)
        puts(text);
    fflush(stdout);
    free(text);
    json_decref(event);
}

void progress_start(struct progress *progress, const char *label) {
    pthread_mutex_lock(&progress->lock);
    progress->number++;
    snprintf(progress->label, sizeof(progress->label), "%s", label);
    progress->started_ms = clock_ms();
    progress->done = progress->total = 0;
    progress->running = true;
    pthread_mutex_unlock(&progress->lock);
    if (progress->style == PROGRESS_JSON)
        print_event(json_pack("{s:s, s:s, s:i, s:i}", "event", "start", "stage", label, "number", (int)progress->number, "stages",
                              (int)progress->stages));
}

void progress_update(struct progress *progress, uint64_t done, uint64_t total) {
    pthread_mutex_lock(&progress->lock);
    progress->done = done;
    progress->total = total;
    pthread_mutex_unlock(&progress->lock);
    if (progress->style == PROGRESS_JSON && clock_ms() - progress->told_ms >= EVENT_MS) {
        progress->told_ms = clock_ms();
        print_event(json_pack("{s:s, s:s, s:I, s:I}", "event", "progress", "stage", progress->label, "done_bytes", (json_int_t)done,
                              "total_bytes", (json_int_t)total));
    }
}

double progress_end(struct progress *progress, const char *outcome) {
    pthread_mutex_lock(&progress->lock);
    double seconds = (double)(clock_ms() - progress->started_ms) / 1000;
    progress->running = false;
    pthread_mutex_unlock(&progress->lock);
    if (progress->style == PROGRESS_JSON) {
        print_event(json_pack("{s:s, s:s, s:s, s:f}", "event", "end", "stage", progress->label, "outcome", outcome, "seconds", seconds));
        return seconds;
    }
    if (progress->style == PROGRESS_TERMINAL)
        clear_line();
    fprintf(stderr, "[%u/%u] %-28s %6.1f s  %s\n", progress->number, progress->stages, progress->label, seconds, outcome);
    return seconds;
}
