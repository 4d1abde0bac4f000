// SPDX-License-Identifier: Apache-2.0
// Commands of stacks: both sides of a session, with this program instead of systemd-run and the unit.
#include "firstboot/stack/exec.h"
#include "firstboot/stack/test/machine.h"
#include <errno.h>
#include <pwd.h>

static const char *self;

// systemd-run starts the other side; setpriv says what it was told and goes on.
static struct support_root session_machine(void) {
    struct support_root root = machine_make("");
    cleanup_free char *script = str_printf("#!/bin/sh\necho \"systemd-run $*\" >>@fake@/log\nexec %s serve\n", self);
    machine_program(&root, "systemd-run", script);
    machine_program(&root, "setpriv",
                    "#!/bin/sh\necho \"setpriv $*\" >>@fake@/log\nwhile test \"$1\" != --; do shift; done\nshift\nexec \"$@\"\n");
    return root;
}

static int run_words(struct stack_session *session, const char *user, unsigned seconds, const char *const *words, struct err *err) {
    struct stack_list command = {.items = (char **)words};
    while (words[command.count])
        command.count++;
    const struct stack_exec exec = {"etcd/quorum", &command, user, seconds};
    return stack_session_exec(session, &exec, err);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static size_t count_of(const char *text, const char *part) {
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

static void one_unit_for_all(void **state) {
    (void)state;
    cleanup_root struct support_root root = session_machine();
    cleanup_stack_session struct stack_session session = {0};
    struct err err = {0};
    for (int i = 0; i < 3; i++)
        assert_int_equal(run_words(&session, NULL, 60, WORDS("true"), &err), 0);
    assert_int_equal(run_words(&session, NULL, 60, WORDS("false"), &err), -EIO);
    stack_session_done(&session);
    cleanup_free char *log = machine_log(&root);
    assert_int_equal(count_of(log, "systemd-run "), 1);
    assert_non_null(strstr(log, "--property=DefaultDependencies=no"));
    assert_non_null(strstr(log, " -- /usr/sbin/webops commands\n"));
}

static void commands_are_words(void **state) {
    (void)state;
    cleanup_root struct support_root root = session_machine();
    cleanup_stack_session struct stack_session session = {0};
    cleanup_free char *out = str_printf("%s/out", root.path);
    struct err err = {0};
    const char *const words[] = {"sh", "-c", "printf '[%s]' \"$@\" >\"$0\"", out, "a b; rm -rf /", "--property=User=root", "", " x ", NULL};
    assert_int_equal(run_words(&session, NULL, 60, words, &err), 0);
    cleanup_free char *got = support_read(&root, "out");
    assert_string_equal(got, "[a b; rm -rf /][--property=User=root][][ x ]");
    assert_int_equal(run_words(&session, NULL, 60, WORDS("true", "a\nb"), &err), -EINVAL);
    assert_string_equal(err.text, "etcd/quorum: word 2 of its command has a line end");
    assert_int_equal(run_words(&session, NULL, 60, WORDS("true"), &err), 0); // nothing of it was sent
}

static void user_and_environment(void **state) {
    (void)state;
    const struct passwd *me = getpwuid(getuid());
    cleanup_root struct support_root root = session_machine();
    cleanup_stack_session struct stack_session session = {0};
    cleanup_free char *out = str_printf("%s/out", root.path);
    struct err err = {0};
    assert_non_null(me);
    setenv("CANARY", "of the caller", 1);
    assert_int_equal(run_words(&session, me->pw_name, 60, WORDS("sh", "-c", "env | sort >\"$0\"", out), &err), 0);
    cleanup_free char *log = machine_log(&root), *got = support_read(&root, "out");
    cleanup_free char *told = str_printf("setpriv --reuid=%u --regid=%u --init-groups -- sh -c ", getuid(), getgid());
    cleanup_free char *name = str_printf("USER=%s\n", me->pw_name);
    assert_non_null(strstr(log, told));
    assert_non_null(strstr(got, name));
    assert_non_null(strstr(got, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"));
    assert_null(strstr(got, "CANARY"));
    assert_int_equal(run_words(&session, "nobody-here", 60, WORDS("true"), &err), -ENOENT);
    assert_string_equal(err.text, "this machine has no user nobody-here");
}

static void failures_have_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *script, *says;
        int code;
        unsigned seconds;
    } rows[] = {
        {"echo 'no answer' >&2; exit 1", "sh failed: no answer", -EIO, 60},
        {"echo one; echo two >&2; exit 2", "sh failed: one | two", -EIO, 60},
        {"exit 3", "sh failed and said nothing", -EIO, 60},
        {"sleep 60 & sleep 60", "sh did not end within 1 s", -ETIMEDOUT, 1},
        {"printf 'red \\033[31m\\n' >&2; exit 1", "sh failed: red  [31m", -EIO, 60},
    };
    cleanup_root struct support_root root = session_machine();
    cleanup_stack_session struct stack_session session = {0};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = {0};
        assert_int_equal(run_words(&session, NULL, rows[i].seconds, WORDS("sh", "-c", rows[i].script), &err), rows[i].code);
        assert_string_equal(err.text, rows[i].says);
    }
}

static void a_unit_that_ended_is_made_again(void **state) {
    (void)state;
    cleanup_root struct support_root root = session_machine();
    cleanup_stack_session struct stack_session session = {0};
    struct err err = {0};
    assert_true(run_words(&session, NULL, 60, WORDS("sh", "-c", "kill -9 $PPID"), &err) < 0); // the other side
    assert_non_null(strstr(err.text, "etcd/quorum: the unit in which it should run ended"));
    assert_int_equal(run_words(&session, NULL, 60, WORDS("true"), &err), 0);
    stack_session_done(&session);
    machine_program(&root, "systemd-run", "#!/bin/sh\necho 'Failed to connect to bus: no such file' >&2\nexit 1\n");
    assert_int_equal(run_words(&session, NULL, 60, WORDS("true"), &err), -EPROTO);
    assert_string_equal(err.text, "etcd/quorum: cannot run it in a unit of its own: Failed to connect to bus: no such file");
}

static void what_is_no_command_is_refused(void **state) {
    (void)state;
    static const char *const requests[] = {"x\n", "0\n\n1\ntrue\n", "5\n\n0\n",        "5\n\n257\n", "5\n\n2\ntrue\n",
                                           "5\n", "5\n\n1\ntrue",   "99999\n\n1\nx\n", "\n"};
    for (size_t i = 0; i < ARRAY_SIZE(requests); i++) {
        int down[2], up[2];
        char answer;
        struct err err = {0};
        assert_int_equal(pipe(down) + pipe(up), 0);
        assert_int_equal(write(down[1], requests[i], strlen(requests[i])), strlen(requests[i]));
        close(down[1]);
        assert_int_equal(stack_exec_serve(down[0], up[1], &err), -EPROTO);
        close(up[1]);
        assert_int_equal(read(up[0], &answer, 1), 0); // nothing was run
        close(down[0]);
        close(up[0]);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_unit_for_all),
        cmocka_unit_test(commands_are_words),
        cmocka_unit_test(user_and_environment),
        cmocka_unit_test(failures_have_a_reason),
        cmocka_unit_test(a_unit_that_ended_is_made_again),
        cmocka_unit_test(what_is_no_command_is_refused),
    };
    struct err err;
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return stack_exec_serve(0, 1, &err) < 0;
    char path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (size < 0)
        return 1;
    path[size] = 0;
    self = path;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
