// SPDX-License-Identifier: Apache-2.0
// A second thread that does one job at a time, so that hashing does not wait for reading and writing. Where the system gives no thread, the
// caller does each job at once: slower, and nothing else.
#pragma once
#include "common/cleanup.h"
#include <pthread.h>
#include <stdbool.h>

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*job)(void *context); // NULL: nothing to do
    void *context;
    bool has_thread, is_ending;
};

// In place: a worker cannot be moved. Signals stay with the caller's thread.
void worker_init(struct worker *worker) nonnull(1);
// Waits for the job and ends the thread.
void worker_done(struct worker *worker) nonnull(1);
// Any job before must have been waited for. Until then what the job writes is the job's alone.
void worker_start(struct worker *worker, void (*job)(void *context), void *context) nonnull(1, 2);
// Returns when the job is done, or there is none.
void worker_wait(struct worker *worker) nonnull(1);
