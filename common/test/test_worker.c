// SPDX-License-Identifier: Apache-2.0
// The worker: jobs are done beside their owner, one after the other, and where there is no second thread they are done all the same.
#include "common/worker.h"
#include "common/test/support.h"
#include <signal.h>
#include <sys/resource.h>

#define NOBODY 65534

struct sum {
    pthread_t thread; // that did the job
    pthread_mutex_t gate;
    sigset_t blocked;
    unsigned jobs;
};

static void job(void *context) {
    struct sum *sum = context;
    pthread_mutex_lock(&sum->gate);
    sum->thread = pthread_self();
    sum->jobs++;
    pthread_sigmask(SIG_SETMASK, NULL, &sum->blocked);
    pthread_mutex_unlock(&sum->gate);
}

static void jobs_are_done_beside_their_owner(void **state) {
    (void)state;
    struct worker worker;
    struct sum sum = {.gate = PTHREAD_MUTEX_INITIALIZER};
    worker_init(&worker);
    worker_wait(&worker); // nothing to wait for
    for (unsigned i = 1; i <= 1000; i++) {
        pthread_mutex_lock(&sum.gate); // were it done by the owner, it would stand still here
        worker_start(&worker, job, &sum);
        assert_int_equal(sum.jobs, i - 1);
        pthread_mutex_unlock(&sum.gate);
        worker_wait(&worker);
        assert_int_equal(sum.jobs, i);
    }
    worker_wait(&worker);
    assert_false(pthread_equal(sum.thread, pthread_self()));
    assert_int_equal(sigismember(&sum.blocked, SIGTERM), 1);
    worker_done(&worker);
    worker_done(&worker); // once more does nothing
    sigset_t mine;
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_int_equal(sigismember(&mine, SIGTERM), 0);
}

static void the_end_waits_for_the_job(void **state) {
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct worker worker;
        struct sum sum = {.gate = PTHREAD_MUTEX_INITIALIZER};
        worker_init(&worker);
        worker_start(&worker, job, &sum);
        worker_done(&worker);
        assert_int_equal(sum.jobs, 1);
    }
}

// Ends with 0 when all was well.
static int without_threads(void) {
    struct worker worker;
    struct sum sum = {.gate = PTHREAD_MUTEX_INITIALIZER};
    const struct rlimit none = {0, 0};
    if ((geteuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0) || setrlimit(RLIMIT_NPROC, &none) < 0)
        return 10;
    worker_init(&worker);
    if (worker.has_thread)
        return 11;
    worker_start(&worker, job, &sum);
    worker_wait(&worker);
    worker_start(&worker, job, &sum);
    worker_done(&worker);
    return sum.jobs == 2 && pthread_equal(sum.thread, pthread_self()) ? 0 : 12;
}

static void no_thread_is_no_reason_to_fail(void **state) {
    (void)state;
    int status = 0;
    pid_t child = fork();
    if (child == 0)
        _exit(without_threads());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_done_beside_their_owner),
        cmocka_unit_test(the_end_waits_for_the_job),
        cmocka_unit_test(no_thread_is_no_reason_to_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
