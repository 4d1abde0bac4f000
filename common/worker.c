// SPDX-License-Identifier: Apache-2.0
// The thread stays from the first job to the last: one per job would be started, more often than not, on the processor of the one that waits.
#include "common/worker.h"
#include <assert.h>
#include <signal.h>

static void *work(void *context) {
    struct worker *worker = context;
    pthread_mutex_lock(&worker->lock);
    while (!worker->is_ending) {
        if (worker->job) {
            pthread_mutex_unlock(&worker->lock);
            worker->job(worker->context);
            pthread_mutex_lock(&worker->lock);
            worker->job = NULL;
            pthread_cond_signal(&worker->changed);
        } else
            pthread_cond_wait(&worker->changed, &worker->lock);
    }
    pthread_mutex_unlock(&worker->lock);
    return NULL;
}

void worker_init(struct worker *worker) {
    sigset_t all, kept;
    *worker = (struct worker){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &kept); // inherited by the thread
    worker->has_thread = pthread_create(&worker->thread, NULL, work, worker) == 0;
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
}

void worker_done(struct worker *worker) {
    if (!worker->has_thread)
        return;
    worker_wait(worker);
    pthread_mutex_lock(&worker->lock);
    worker->is_ending = true;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    worker->has_thread = false;
}

void worker_start(struct worker *worker, void (*job)(void *context), void *context) {
    if (!worker->has_thread) {
        job(context);
        return;
    }
    pthread_mutex_lock(&worker->lock);
    assert(!worker->job);
    worker->job = job;
    worker->context = context;
    pthread_cond_signal(&worker->changed);
    pthread_mutex_unlock(&worker->lock);
}

void worker_wait(struct worker *worker) {
    if (!worker->has_thread)
        return;
    pthread_mutex_lock(&worker->lock);
    while (worker->job)
        pthread_cond_wait(&worker->changed, &worker->lock);
    pthread_mutex_unlock(&worker->lock);
}
