// SPDX-License-Identifier: Apache-2.0
// Reads device events. What they mean is decided elsewhere.
#include "firstboot/init/uevent.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/netlink.h>

#define KERNEL_GROUP 1
#define RECEIVE_BUFFER_BYTES (1 << 20)

bool uevent_find(const char *text, size_t size, char separator, const char *key, char *ret_value, size_t value_size) {
    size_t key_size = strlen(key);
    for (const char *record = text, *end = text + size; record < end;) {
        const char *stop = memchr(record, separator, (size_t)(end - record));
        size_t length = (size_t)((stop ? stop : end) - record);
        if (length > key_size && memcmp(record, key, key_size) == 0 && record[key_size] == '=') {
            size_t value = length - key_size - 1;
            if (value >= value_size)
                return false;
            memcpy(ret_value, record + key_size + 1, value);
            ret_value[value] = '\0';
            return true;
        }
        record += length + 1;
    }
    return false;
}

int uevent_open(struct err *err) {
    cleanup_fd int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (fd < 0)
        return err_sys(err, -errno, "opening the kernel's device event socket");
    int size = RECEIVE_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)); // a smaller buffer only means more -ENOBUFS
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return err_sys(err, -errno, "listening to the kernel's device events");
    return take_fd(&fd);
}

int uevent_receive(int fd, char ret_text[UEVENT_BYTES]) {
    for (;;) {
        struct sockaddr_nl sender = {0};
        socklen_t sender_size = sizeof(sender);
        ssize_t n = recvfrom(fd, ret_text, UEVENT_BYTES, 0, (struct sockaddr *)&sender, &sender_size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if (n > 0 && sender.nl_pid == 0)
            return (int)n;
    }
}

void uevent_wait(int fd, unsigned timeout_ms) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, (int)timeout_ms) < 0) { // a signal: the caller looks at the clock anyway
    }
}
