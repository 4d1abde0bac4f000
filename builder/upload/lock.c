// SPDX-License-Identifier: Apache-2.0
// A socket with an abstract name (unix(7)): only one can be bound to it, and the kernel forgets it with its last descriptor.
#include "builder/upload/lock.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/file.h"
#include "common/log.h"
#include "common/slot.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define POLL_MS 200

int lock_take(const char *what, struct err *err) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char hex[2 * DIGEST_BYTES + 1];
    uint8_t hash[DIGEST_BYTES];
    digest_bytes(what, strlen(what), hash); // a name has 107 bytes at most
    hex_format(hash, sizeof(hash), hex);
    int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "webops-upload-%s", hex);
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, -errno, "opening a socket as lock");
    if (bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) == 0)
        return take_fd(&fd);
    return errno == EADDRINUSE ? err_set(err, -EBUSY, "this image is being uploaded already by another run on this computer")
                               : err_sys(err, -errno, "binding a socket as lock");
}

int lock_wait(const char *what, struct err *err) {
    for (bool is_told = false;; is_told = true) {
        int fd = lock_take(what, err);
        if (fd != -EBUSY)
            return fd;
        if (!is_told)
            log_info("%s; waiting for its end", err->text);
        clock_sleep_ms(POLL_MS);
    }
}
