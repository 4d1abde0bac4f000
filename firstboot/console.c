// SPDX-License-Identifier: Apache-2.0
// One write per line, never waiting for a reader.
#include "firstboot/console.h"
#include "common/file.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_BYTES 1024
#define ACTIVE "/sys/class/tty/console/active" // "tty0 ttyS0"; the last one is /dev/console

static void print_to(const char *path, const char *text) {
    char line[TEXT_BYTES + 32];
    int size = snprintf(line, sizeof(line), "\rwebops: %s\r\n", text);
    cleanup_fd int fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && write(fd, line, (size_t)size) < 0)
        return; // nobody reads it
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
