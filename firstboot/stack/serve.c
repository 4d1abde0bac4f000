// SPDX-License-Identifier: Apache-2.0
// The other side of a session, in the unit: setpriv(1) for the user, a deadline for each command. The protocol is exec.c's.
#include "common/buf.h"
#include "common/file.h"
#include "common/run.h"
#include "firstboot/stack/exec.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WORDS 256

struct request {
    unsigned seconds;
    char *user;
    struct stack_list command;
};

static void request_done(struct request *request) {
    free(request->user);
    for (size_t i = 0; i < request->command.count; i++)
        free(request->command.items[i]);
    free(request->command.items);
}

// The next line without its end; NULL at the end of the stream.
static char *read_line(FILE *in) {
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = getline(&line, &capacity, in);
    if (size > 0 && line[size - 1] == '\n') {
        line[size - 1] = 0;
        return line;
    }
    free(line);
    return NULL;
}

static bool read_number(FILE *in, unsigned long least, unsigned long most, unsigned long *ret_number) {
    cleanup_free char *line = read_line(in);
    char *end = NULL;
    *ret_number = line ? strtoul(line, &end, 10) : 0;
    return line && end != line && *end == 0 && *ret_number >= least && *ret_number <= most;
}

// 1 = there is one, 0 = the stream ended before it.
static int read_request(FILE *in, struct request *ret_request) {
    unsigned long seconds, count;
    int next = getc(in);
    if (next == EOF)
        return 0;
    ungetc(next, in);
    if (!read_number(in, 1, 86400, &seconds))
        return -EPROTO;
    ret_request->seconds = (unsigned)seconds;
    ret_request->user = read_line(in);
    if (!ret_request->user || !read_number(in, 1, MAX_WORDS, &count))
        return -EPROTO;
    ret_request->command.items = mem_array(count, sizeof(*ret_request->command.items));
    while (ret_request->command.count < count) {
        char *word = read_line(in);
        if (!word)
            return -EPROTO;
        ret_request->command.items[ret_request->command.count++] = word;
    }
    return 1;
}

// What goes before the command, and its environment.
struct identity {
    char *setpriv[6]; // ended by NULL
    char *environment[5];
};

static void identity_done(struct identity *identity) {
    for (size_t i = 0; i < ARRAY_SIZE(identity->setpriv); i++)
        free(identity->setpriv[i]);
    for (size_t i = 0; i < ARRAY_SIZE(identity->environment); i++)
        free(identity->environment[i]);
}

static int find_identity(const char *user, struct identity *ret_identity, struct err *err) {
    ret_identity->environment[0] = str_dup("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    if (!*user)
        return 0;
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (!entry)
        return err_set(err, errno ? -errno : -ENOENT, "this machine has no user %s", user);
    ret_identity->setpriv[0] = str_dup("setpriv");
    ret_identity->setpriv[1] = str_printf("--reuid=%u", entry->pw_uid);
    ret_identity->setpriv[2] = str_printf("--regid=%u", entry->pw_gid);
    ret_identity->setpriv[3] = str_dup("--init-groups");
    ret_identity->setpriv[4] = str_dup("--");
    ret_identity->environment[1] = str_printf("USER=%s", user);
    ret_identity->environment[2] = str_printf("LOGNAME=%s", user);
    ret_identity->environment[3] = str_printf("HOME=%s", entry->pw_dir);
    return 0;
}

static int perform(const struct request *request, struct err *err) {
    cleanup(identity_done) struct identity identity = {0};
    int r = find_identity(request->user, &identity, err);
    if (r < 0)
        return r;
    const char **argv = mem_array(ARRAY_SIZE(identity.setpriv) + request->command.count + 1, sizeof(*argv));
    size_t count = 0;
    for (char **word = identity.setpriv; *word; word++)
        argv[count++] = *word;
    for (size_t i = 0; i < request->command.count; i++)
        argv[count++] = request->command.items[i];
    const struct run run = {.argv = argv, .env = (const char *const *)identity.environment, .timeout_ms = request->seconds * 1000};
    r = run_quiet(&run, err);
    free(argv);
    const char *tail = r < 0 ? strstr(err->text, ": ") : NULL;
    if (r == -ETIMEDOUT)
        return err_set(err, r, "%s did not end within %u s", request->command.items[0], request->seconds);
    return r < 0 ? err_set(err, r, "%s failed%s", request->command.items[0], tail ? tail : " and said nothing") : 0;
}

int stack_exec_serve(int in, int out, struct err *err) {
    cleanup_fd int own = fcntl(in, F_DUPFD_CLOEXEC, 3);
    cleanup_file FILE *stream = own < 0 ? NULL : fdopen(own, "r");
    if (!stream)
        return err_sys(err, -errno, "cannot read commands");
    (void)take_fd(&own); // the stream's now
    for (;;) {
        cleanup(request_done) struct request request = {0};
        struct err failure = {0};
        int r = read_request(stream, &request);
        if (r <= 0)
            return r < 0 ? err_set(err, r, "what came is no command") : 0;
        r = perform(&request, &failure);
        for (char *end; (end = strchr(failure.text, '\n'));)
            *end = ' ';
        if (dprintf(out, "%d %s\n", r, r < 0 ? failure.text : "") < 0)
            return err_sys(err, -errno, "cannot answer");
    }
}
