// SPDX-License-Identifier: Apache-2.0
// The real ssh against ports of our own that refuse or never answer, beside small programs in the place of a machine.
#include "builder/machine.h"
#include "builder/qemu.h"
#include "builder/remote.h"
#include "builder/test/support.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

struct place {
    char *key, *control, *serial, *qmp;
    struct vm vm;
    struct remote remote;
};

static void place_done(struct place *place) {
    vm_done(&place->vm);
    free(place->key);
    free(place->control);
    free(place->serial);
    free(place->qmp);
}

static void prepare(const struct scratch *scratch, struct place *place, long port) {
    place->vm = (struct vm)VM_INIT;
    place->key = scratch_file(scratch, "id");
    place->control = scratch_file(scratch, "ssh");
    place->serial = scratch_file(scratch, "serial");
    place->qmp = scratch_file(scratch, "qmp");
    free(tool(RUN_ARGV("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place->key)));
    place->remote = (struct remote){"ops", place->key, port, place->control};
}

static void start(struct place *place, const char *script) {
    struct err err = {0};
    static const char *argv[6]; // must outlive the machine
    memcpy(argv, (const char *[]){"sh", "-c", script, "sh", place->serial, NULL}, sizeof(argv));
    assert_ok(vm_start(&place->vm, argv, place->serial, place->qmp, &err));
}

// A port that takes connections and never says a word.
static int silent_port(int *ret_fd) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_fd = fd;
    return ntohs(address.sin_port);
}

static const char *word_after(char *const *argv, const char *word) {
    for (; *argv; argv++)
        if (strcmp(*argv, word) == 0)
            return argv[1];
    return "";
}

static void argv_names_everything_and_the_command_last(void **state) {
    (void)state;
    const struct remote remote = {"ops", "/tmp/a key", 2222, "/tmp/mux"};
    cleanup(qemu_argv_done) char **argv = remote_argv(&remote, RUN_ARGV("-T"), "echo 'a b'; true");
    size_t count = 0;
    while (argv[count])
        count++;
    assert_string_equal(argv[0], "ssh");
    assert_string_equal(argv[1], "-T"); // ours come first, because the first one counts
    assert_string_equal(word_after(argv, "-i"), "/tmp/a key");
    assert_string_equal(word_after(argv, "-p"), "2222");
    assert_string_equal(argv[count - 2], "ops@127.0.0.1");
    assert_string_equal(argv[count - 1], "echo 'a b'; true");
    // The user's own configuration of ssh must not change what a test does.
    assert_string_equal(word_after(argv, "-F"), "/dev/null");
}

static void argv_without_a_command(void **state) {
    (void)state;
    const struct remote remote = {"ops", "key", 22, "mux"};
    cleanup(qemu_argv_done) char **argv = remote_argv(&remote, RUN_ARGV("-O", "exit"), NULL);
    size_t count = 0;
    while (argv[count])
        count++;
    assert_string_equal(word_after(argv, "-O"), "exit");
    assert_string_equal(argv[count - 1], "ops@127.0.0.1");
}

static void a_refused_connection_is_status_255(void **state) {
    cleanup(place_done) struct place place = {0};
    cleanup_remote_result struct remote_result result = {0};
    struct err err = {0};
    int port = machine_free_port(&err);
    assert_true(port > 0);
    prepare(*state, &place, port);
    start(&place, "sleep 60");
    assert_ok(remote_run(&place.remote, &place.vm, "true", 20000, &result, &err));
    assert_int_equal(result.status, 255);
    assert_contains(result.error, "refused");
    assert_string_equal(result.output, "");
}

static void an_answer_that_never_comes_times_out(void **state) {
    cleanup(place_done) struct place place = {0};
    struct remote_result result = {0};
    struct err err = {0};
    int fd;
    prepare(*state, &place, silent_port(&fd));
    start(&place, "sleep 60");
    assert_int_equal(remote_run(&place.remote, &place.vm, "true", 500, &result, &err), -ETIMEDOUT);
    assert_contains(err.text, "`true` on the machine");
    assert_null(result.output);
    close(fd);
}

static void a_signal_ends_the_wait(void **state) {
    cleanup(place_done) struct place place = {0};
    struct remote_result result = {0};
    struct err err = {0};
    int fd;
    prepare(*state, &place, silent_port(&fd));
    start(&place, "sleep 60");
    kill(getpid(), SIGTERM); // blocked since the machine's start: it waits for us
    assert_int_equal(remote_run(&place.remote, &place.vm, "true", 60000, &result, &err), -EINTR);
    close(fd);
}

static void the_console_is_read_meanwhile(void **state) {
    cleanup(place_done) struct place place = {0};
    struct remote_result result = {0};
    struct err err = {0};
    int fd;
    prepare(*state, &place, silent_port(&fd));
    start(&place, "echo 'webops: unhealthy: x' >>\"$1\"; echo 'webops: healthy' >>\"$1\"; sleep 60");
    assert_int_equal(remote_run(&place.remote, &place.vm, "true", 3000, &result, &err), -ETIMEDOUT);
    assert_int_equal(place.vm.watch.verdicts, 2);
    assert_true(place.vm.watch.is_good);
    close(fd);
}

static void a_machine_that_ends_leaves_ssh_its_end(void **state) {
    cleanup(place_done) struct place place = {0};
    cleanup_remote_result struct remote_result result = {0};
    struct err err = {0};
    int fd;
    prepare(*state, &place, silent_port(&fd));
    start(&place, "exit 0");
    assert_int_equal(remote_run(&place.remote, &place.vm, "true", 2000, &result, &err), -ETIMEDOUT);
    assert_true(place.vm.ended);
    close(fd);
}

static void closing_nothing_is_fine(void **state) {
    cleanup(place_done) struct place place = {0};
    prepare(*state, &place, 1);
    remote_close(&place.remote);
    // What a dead connection left behind goes away.
    put_file(place.control, "", 0);
    remote_close(&place.remote);
    assert_false(file_exists(AT_FDCWD, place.control));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(argv_names_everything_and_the_command_last),
        cmocka_unit_test(argv_without_a_command),
        cmocka_unit_test_setup_teardown(a_refused_connection_is_status_255, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_never_comes_times_out, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_signal_ends_the_wait, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(the_console_is_read_meanwhile, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(a_machine_that_ends_leaves_ssh_its_end, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(closing_nothing_is_fine, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
