// SPDX-License-Identifier: Apache-2.0
// Counts what builder/signals.h lets us read.
#include "builder/upload/stop.h"
#include "builder/signals.h"
#include "common/clock.h"
#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>

int stop_open(struct stop *ret_stop, struct err *err) {
    int fd = signals_open(err);
    if (fd < 0)
        return fd;
    *ret_stop = (struct stop){.fd = fd};
    return 0;
}

// Signals of an interrupted run that nobody read stay blocked: it has ended in its own way.
void stop_done(struct stop *stop) {
    if (stop->fd >= 0)
        close(stop->fd);
    stop->fd = -1;
}

int stop_check(struct stop *stop, struct err *err) {
    struct signalfd_siginfo info;
    while (read(stop->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        stop->seen++;
    return stop->seen > stop->allowed ? err_set(err, -EINTR, "interrupted") : 0;
}

int stop_sleep(struct stop *stop, int64_t ms, struct err *err) {
    int64_t end = clock_ms() + ms;
    for (int64_t left = ms; left > 0; left = end - clock_ms()) {
        poll(&(struct pollfd){.fd = stop->fd, .events = POLLIN}, 1, (int)left);
        int r = stop_check(stop, err);
        if (r < 0)
            return r;
    }
    return stop_check(stop, err);
}
