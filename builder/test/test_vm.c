// SPDX-License-Identifier: Apache-2.0
// The life of a machine, played by small programs instead of QEMU; and the control socket against a double that speaks QMP.
#include "builder/qmp.h"
#include "builder/test/support.h"
#include "builder/vm.h"
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>

struct place {
    char dir[32], serial[64], qmp[64];
};

static int make_place(void **state) {
    struct place *place = mem_array(1, sizeof(*place));
    strcpy(place->dir, "/tmp/webops-test.XXXXXX");
    if (!mkdtemp(place->dir))
        return -1;
    snprintf(place->serial, sizeof(place->serial), "%s/serial", place->dir);
    snprintf(place->qmp, sizeof(place->qmp), "%s/qmp", place->dir);
    *state = place;
    return 0;
}

static int remove_place(void **state) {
    struct place *place = *state;
    unlink(place->serial);
    unlink(place->qmp);
    int r = rmdir(place->dir);
    free(place);
    return r;
}

static void start(struct vm *vm, const struct place *place, const char *script) {
    struct err err = {0};
    static const char *argv[6]; // must outlive the machine
    memcpy(argv, (const char *[]){"sh", "-c", script, "sh", place->serial, NULL}, sizeof(argv));
    assert_int_equal(vm_start(vm, argv, place->serial, place->qmp, &err), 0);
}

static void test_stage_then_end(void **state) {
    cleanup_vm struct vm vm = VM_INIT;
    struct err err = {0};
    const struct place *place = *state;
    start(&vm, place,
          "echo 'Linux version 6' >>\"$1\"; until [ -e \"$1.go\" ]; do sleep 0.05; done; echo 'webops: healthy' >>\"$1\"; "
          "while [ -e \"$1.go\" ]; do sleep 0.05; done");
    assert_int_equal(vm_wait(&vm, 60000, &err), VM_STAGE);
    assert_int_equal(vm.watch.stage, BOOT_KERNEL);
    cleanup_free char *go = str_printf("%s.go", place->serial);
    put_file(go, "", 0);
    assert_int_equal(vm_wait(&vm, 60000, &err), VM_STAGE);
    assert_int_equal(vm.watch.stage, BOOT_HEALTHY);
    unlink(go);
    assert_int_equal(vm_wait(&vm, 5000, &err), VM_ENDED);
    assert_true(vm.ended);
}

static void test_last_words_are_read(void **state) {
    cleanup_vm struct vm vm = VM_INIT;
    struct err err = {0};
    start(&vm, *state, "echo 'webops: unhealthy: x' >>\"$1\"");
    assert_int_equal(vm_wait(&vm, 5000, &err), VM_STAGE);
    assert_int_equal(vm.watch.stage, BOOT_UNHEALTHY);
}

static void test_failure_is_an_error(void **state) {
    cleanup_vm struct vm vm = VM_INIT;
    struct err err = {0};
    start(&vm, *state, "exit 3");
    assert_int_equal(vm_wait(&vm, 5000, &err), -EIO);
    assert_non_null(strstr(err.text, "exit status 3"));
}

static void test_timeout_and_kill(void **state) {
    const struct place *place = *state;
    struct err err = {0};
    pid_t pid;
    long child = 0;
    {
        cleanup_vm struct vm vm = VM_INIT;
        start(&vm, place, "sleep 60 & echo $! >>\"$1\"; sleep 60");
        pid = vm.pid;
        while (child <= 0) {
            assert_int_equal(vm_wait(&vm, 200, &err), VM_TIMEOUT);
            cleanup_free char *text = NULL;
            assert_ok(file_read(AT_FDCWD, place->serial, 100, &text, NULL, &err));
            child = strchr(text, '\n') ? strtol(text, NULL, 10) : 0;
        }
        assert_int_equal(kill(pid, 0), 0);
    }
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(errno, ESRCH);
    assert_true(is_gone(child)); // which went with it
}

static void test_signal_is_an_event(void **state) {
    cleanup_vm struct vm vm = VM_INIT;
    struct err err = {0};
    signal(SIGINT, SIG_DFL); // the tests themselves may run in the background
    start(&vm, *state, "sleep 60");
    kill(getpid(), SIGINT);
    assert_int_equal(vm_wait(&vm, 5000, &err), VM_SIGNAL);
    vm_stop(&vm, 0);
    assert_int_equal(vm.pid, -1);
}

// As under nohup: the terminal goes, and the machine stays until it ends by itself.
static void test_ignored_signals_are_none(void **state) {
    cleanup_vm struct vm vm = VM_INIT;
    struct err err = {0};
    signal(SIGHUP, SIG_IGN);
    start(&vm, *state, "true");
    kill(getpid(), SIGHUP);
    assert_int_equal(vm_wait(&vm, 5000, &err), VM_ENDED);
    signal(SIGHUP, SIG_DFL);
}

static void test_missing_program(void **state) {
    const struct place *place = *state;
    cleanup_vm struct vm vm = VM_INIT;
    struct err err = {0};
    const char *const argv[] = {"no-such-program-of-webops", NULL};
    assert_true(vm_start(&vm, argv, place->serial, place->qmp, &err) < 0);
    assert_non_null(strstr(err.text, "not installed"));
}

// A QMP double: greeting, then one answer per line read; keeps what it was told.
struct qmp_double {
    int fd;
    const char *second_answer;
    char told[512];
};

static void *serve(void *arg) {
    struct qmp_double *server = arg;
    static const char greeting[] = "{\"QMP\": {\"version\": {}}}\r\n", event[] = "{\"event\": \"RESUME\"}\r\n{\"return\": {}}\r\n";
    cleanup_fd int fd = accept(server->fd, NULL, NULL);
    send(fd, greeting, strlen(greeting), MSG_NOSIGNAL);
    const char *answers[] = {event, server->second_answer};
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        size_t used = strlen(server->told);
        for (char c = 0; c != '\n' && used < sizeof(server->told) - 1 && recv(fd, &c, 1, 0) == 1;)
            server->told[used++] = c;
        if (answers[i])
            send(fd, answers[i], strlen(answers[i]), MSG_NOSIGNAL);
    }
    return NULL;
}

static int execute_against(const struct place *place, struct qmp_double *server, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, place->qmp);
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->fd, 1), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
    int r = qmp_execute(place->qmp, "system_powerdown", err);
    pthread_join(thread, NULL);
    close(server->fd);
    return r;
}

static void test_qmp_executes(void **state) {
    struct qmp_double server = {.second_answer = "{\"return\": {}}\n"};
    struct err err = {0};
    assert_int_equal(execute_against(*state, &server, &err), 0);
    assert_string_equal(server.told, "{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"system_powerdown\"}\n");
}

static void test_qmp_reports_error_garbage_and_end(void **state) {
    static const struct {
        const char *answer;
        int code;
    } cases[] = {{"{\"error\": {\"class\": \"GenericError\"}}\n", -EPROTO}, {"garbage\n", -EPROTO}, {NULL, -EIO}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct qmp_double server = {.second_answer = cases[i].answer};
        struct err err = {0};
        assert_int_equal(execute_against(*state, &server, &err), cases[i].code);
        assert_int_equal(unlink(((struct place *)*state)->qmp), 0);
    }
}

static void test_qmp_without_socket(void **state) {
    const struct place *place = *state;
    struct err err = {0};
    assert_int_equal(qmp_execute(place->qmp, "quit", &err), -ENOENT);
    char path[200];
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(qmp_execute(path, "quit", &err), -ENAMETOOLONG);
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_PLACE(test_stage_then_end),     WITH_PLACE(test_last_words_are_read), WITH_PLACE(test_failure_is_an_error),
        WITH_PLACE(test_timeout_and_kill),   WITH_PLACE(test_signal_is_an_event),  WITH_PLACE(test_ignored_signals_are_none),
        WITH_PLACE(test_missing_program),    WITH_PLACE(test_qmp_executes),        WITH_PLACE(test_qmp_reports_error_garbage_and_end),
        WITH_PLACE(test_qmp_without_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
