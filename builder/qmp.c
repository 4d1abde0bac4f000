// SPDX-License-Identifier: Apache-2.0
// A client for QEMU's control socket that knows three words: connect, negotiate, execute.
#include "builder/qmp.h"
#include "common/buf.h"
#include "common/file.h"
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define QMP_TIMEOUT_MS 2000
#define QMP_MAX_LINE 65536

static int connect_to(const char *path, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return err_set(err, -ENAMETOOLONG, "control socket %s: path is too long", path);
    strcpy(address.sun_path, path);
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_sys(err, -errno, "control socket %s", path);
    return take_fd(&fd);
}

static int read_line(int fd, struct buf *line, struct err *err) {
    line->size = 0;
    for (char c = 0; c != '\n';) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, QMP_TIMEOUT_MS) <= 0)
            return err_set(err, -ETIMEDOUT, "the virtual machine's control socket does not answer");
        ssize_t got = recv(fd, &c, 1, 0);
        if (got <= 0 || line->size == QMP_MAX_LINE)
            return err_set(err, -EIO, "the virtual machine closed its control socket");
        buf_add(line, &c, 1);
    }
    return 0;
}

// Skips the greeting and events until "return" (0) or "error".
static int wait_answer(int fd, struct err *err) {
    cleanup_buf struct buf line = {0};
    for (;;) {
        int r = read_line(fd, &line, err);
        if (r < 0)
            return r;
        json_t *message = json_loadb(line.data, line.size, JSON_REJECT_DUPLICATES, NULL);
        bool good = json_object_get(message, "return"), bad = !message || json_object_get(message, "error");
        json_decref(message);
        if (good)
            return 0;
        if (bad)
            return err_set(err, -EPROTO, "the virtual machine refused a control command");
    }
}

int qmp_execute(const char *socket_path, const char *command, struct err *err) {
    cleanup_fd int fd = connect_to(socket_path, err);
    if (fd < 0)
        return fd;
    const char *const commands[] = {"qmp_capabilities", command};
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        cleanup_free char *text = str_printf("{\"execute\": \"%s\"}\n", commands[i]);
        int r = file_write_all(fd, socket_path, text, strlen(text), err);
        if (r == 0)
            r = wait_answer(fd, err);
        if (r < 0)
            return r;
    }
    return 0;
}
