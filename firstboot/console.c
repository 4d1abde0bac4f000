// SPDX-License-Identifier: Apache-2.0
// A serial line is slow, so its buffer may be full; a terminal that nobody reads may stay so for ever.
#include "firstboot/console.h"
#include "common/clock.h"
#include "common/file.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>

#define TEXT_BYTES 1024
#define PATIENCE_MS 1000 // for a line; 9600 baud take as long for one of 960 characters
#define ACTIVE "/sys/class/tty/console/active" // "tty0 ttyS0"; the last one is /dev/console

// A getty that starts throws away what has not left the machine (TTYVHangup= of systemd.exec(5)), and it is when the last job is done that systemd starts one.
static void drain(int fd, int64_t end) {
    int left = 0;
    while (ioctl(fd, TIOCOUTQ, &left) == 0 && left > 0 && clock_ms() < end)
        clock_sleep_ms(2);
    if (left == 0)
        (void)tcdrain(fd); // of the few bytes in the chip, which has a time limit of its own
}

static void print_to(const char *path, const char *text) {
    char line[TEXT_BYTES + 32];
    size_t size = (size_t)snprintf(line, sizeof(line), "\rwebops: %s\r\n", text), done = 0;
    cleanup_fd int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    for (int64_t end = clock_ms() + PATIENCE_MS; fd >= 0 && done < size && clock_ms() < end;) {
        ssize_t written = write(fd, line + done, size - done);
        bool is_full = written < 0 && (errno == EAGAIN || errno == EINTR);
        if (written < 0 && (!is_full || poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, PATIENCE_MS) <= 0))
            return; // there is nothing behind it, or nobody reads it
        done += written > 0 ? (size_t)written : 0;
    }
    if (fd >= 0)
        drain(fd, clock_ms() + PATIENCE_MS);
}

void console_print(const char *fmt, ...) {
    char text[TEXT_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    print_to("/dev/console", text);
}

void console_print_all(const char *fmt, ...) {
    char text[TEXT_BYTES], path[128], *save = NULL;
    cleanup_free char *active = NULL;
    struct err ignored;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (file_read(AT_FDCWD, ACTIVE, 4096, &active, NULL, &ignored) < 0)
        print_to("/dev/console", text);
    for (char *name = active ? strtok_r(active, " \n", &save) : NULL; name; name = strtok_r(NULL, " \n", &save)) {
        snprintf(path, sizeof(path), "/dev/%s", name);
        print_to(path, text);
    }
}
