// SPDX-License-Identifier: Apache-2.0
// One write per line, never waiting for a reader.
#include "firstboot/console.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>

void console_print(const char *fmt, ...) {
    char text[1024], line[1100];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    int size = snprintf(line, sizeof(line), "\rwebops: %s\r\n", text);
    cleanup_fd int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && write(fd, line, (size_t)size) < 0)
        return; // nobody reads it
}
