// SPDX-License-Identifier: Apache-2.0
// Console and kernel log of PID 1, and the one way out when a step fails: a message and a restart.
#include "firstboot/init/console.h"
#include "firstboot/init/sys.h"
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/reboot.h>

#define LINE_BYTES 960
#define SECONDS_TO_READ 5

static bool write_to(const char *path, const char *data, size_t size) {
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return fd >= 0 && sys_write_all(fd, data, size) == 0;
}

void console_open(void) {
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    for (int i = 0; fd >= 0 && i < 3; i++)
        if (fd != i)
            dup2(fd, i);
    if (fd > 2)
        close(fd);
    write_to("/proc/sys/kernel/printk_devkmsg", "on\n", 3);
}

static void log_args(int level, const char *fmt, va_list args, char line[LINE_BYTES]) {
    int head = snprintf(line, LINE_BYTES, "<%d>webops-init: ", level);
    int length = vsnprintf(line + head, LINE_BYTES - (size_t)head, fmt, args);
    if (length < 0)
        return;
    size_t size = (size_t)(head + length);
    write_to("/dev/kmsg", line, size < LINE_BYTES ? size : LINE_BYTES - 1);
}

void console_log(int level, const char *fmt, ...) {
    char line[LINE_BYTES];
    va_list args;
    va_start(args, fmt);
    log_args(level, fmt, args, line);
    va_end(args);
}

void console_say(const char *fmt, ...) {
    char line[LINE_BYTES], shown[LINE_BYTES + 4];
    va_list args;
    va_start(args, fmt);
    log_args(CONSOLE_DEBUG, fmt, args, line);
    va_end(args);
    int length = snprintf(shown, sizeof(shown), "\r\n%s\r\n", strchr(line, '>') + 1);
    write_to("/dev/console", shown, (size_t)length < sizeof(shown) ? (size_t)length : sizeof(shown) - 1);
}

void console_report(const char *step, const struct err *err) {
    char text[LINE_BYTES + 128];
    int length = snprintf(text, sizeof(text), "\r\nwebops-init: cannot boot: step %s: %s\r\nwebops-init: restarting in %d seconds\r\n",
                          step, err->text, SECONDS_TO_READ);
    console_log(CONSOLE_ERROR, "cannot boot: step %s: %s", step, err->text);
    size_t size = (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1;
    // While the mounts move into the new root there is no /dev; descriptor 2 is still the console then.
    if (!write_to("/dev/console", text, size))
        (void)!write(STDERR_FILENO, text, size);
}

_Noreturn void console_restart(void) {
    sleep(SECONDS_TO_READ);
    for (;;) {
        reboot(RB_AUTOBOOT);
        sleep(1);
    }
}
