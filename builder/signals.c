// SPDX-License-Identifier: Apache-2.0
// Linux queues a blocked signal even when it is ignored, and signalfd(2) reads it: so those are left out.
#include "builder/signals.h"
#include "common/cleanup.h"
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

int signals_open(struct err *err) {
    struct sigaction now;
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
        if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&set, ending[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_sys(err, -errno, "blocking signals");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? err_sys(err, -errno, "watching signals") : fd;
}
