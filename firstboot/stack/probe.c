// SPDX-License-Identifier: Apache-2.0
// Sockets with deadlines. Nothing of an answer is kept or shown but its status.
#include "firstboot/stack/probe.h"
#include "common/buf.h"
#include "common/clock.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_BYTES 1024

struct place {
    struct sockaddr_storage address;
    socklen_t size;
};

static bool parse_host(const char *host, uint16_t port, struct place *ret_place) {
    struct sockaddr_in *v4 = (void *)&ret_place->address;
    struct sockaddr_in6 *v6 = (void *)&ret_place->address;
    *ret_place = (struct place){0};
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        ret_place->size = sizeof(*v4);
    } else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        ret_place->size = sizeof(*v6);
    }
    return ret_place->size > 0;
}

// "host:port" or "[host]:port" of `size` bytes; without a port `fallback`, when that is not 0.
static bool parse_place(const char *text, size_t size, unsigned fallback, struct place *ret_place) {
    char host[64];
    const char *end = text + size, *host_end, *colon;
    if (size > 0 && text[0] == '[') {
        text++;
        host_end = memchr(text, ']', (size_t)(end - text));
        colon = host_end && host_end + 1 < end && host_end[1] == ':' ? host_end + 1 : NULL;
    } else {
        colon = memrchr(text, ':', size);
        host_end = colon ? colon : end;
    }
    if (!host_end || host_end == text || (size_t)(host_end - text) >= sizeof(host))
        return false;
    memcpy(host, text, (size_t)(host_end - text));
    host[host_end - text] = 0;
    char digits[8] = "";
    if (colon)
        snprintf(digits, sizeof(digits), "%.*s", (int)(end - colon - 1 < 7 ? end - colon - 1 : 7), colon + 1);
    unsigned long port = colon ? strtoul(digits, NULL, 10) : fallback;
    bool is_number = !colon || (*digits && digits[strspn(digits, "0123456789")] == 0);
    return is_number && port >= 1 && port <= 65535 && parse_host(host, (uint16_t)port, ret_place);
}

static bool is_loopback(const struct place *place) {
    const struct sockaddr_in *v4 = (const void *)&place->address;
    const struct sockaddr_in6 *v6 = (const void *)&place->address;
    if (place->address.ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int wait_for(int fd, short events, int64_t deadline) {
    for (;;) {
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int64_t left = deadline - clock_ms();
        int ready = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        return ready > 0 ? 0 : ready < 0 ? -errno : -ETIMEDOUT;
    }
}

static int connect_to(const struct place *place, int64_t deadline, const char *name, struct err *err) {
    cleanup_fd int fd = socket(place->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = fd < 0 ? -errno : 0, failure = 0;
    if (r == 0 && connect(fd, (const struct sockaddr *)&place->address, place->size) < 0)
        r = errno == EINPROGRESS ? wait_for(fd, POLLOUT, deadline) : -errno;
    if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &(socklen_t){sizeof(failure)}) == 0)
        r = -failure;
    return r < 0 ? err_sys(err, r, "cannot connect to %s", name) : take_fd(&fd);
}

int probe_tcp(const char *address, unsigned timeout_seconds, struct err *err) {
    struct place place;
    if (!parse_place(address, strlen(address), 0, &place))
        return err_set(err, -EINVAL, "%s is no address with a port", address);
    cleanup_fd int fd = connect_to(&place, clock_ms() + timeout_seconds * INT64_C(1000), address, err);
    return fd < 0 ? fd : 0;
}

int probe_parse_status(const char *text, size_t size) {
    static const char start[] = "HTTP/1.";
    size_t known = size < sizeof(start) - 1 ? size : sizeof(start) - 1;
    if (memcmp(text, start, known) != 0)
        return -EPROTO;
    if (!memchr(text, '\n', size))
        return size < ANSWER_BYTES ? 0 : -EPROTO;
    char code[4] = "";
    if (size < 12 || text[8] != ' ')
        return -EPROTO;
    memcpy(code, text + 9, 3);
    bool ends = text[12] == ' ' || text[12] == '\r' || text[12] == '\n';
    return strspn(code, "0123456789") == 3 && code[0] != '0' && ends ? atoi(code) : -EPROTO;
}

// Reads until the first line is whole; what follows is of no interest.
static int read_status(int fd, int64_t deadline) {
    char answer[ANSWER_BYTES];
    size_t size = 0;
    for (;;) {
        int r = wait_for(fd, POLLIN, deadline);
        if (r < 0)
            return r;
        ssize_t got = recv(fd, answer + size, sizeof(answer) - size, 0);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EPROTO;
        size += (size_t)got;
        r = probe_parse_status(answer, size);
        if (r != 0)
            return r;
    }
}

// HTTP/1.0: the server closes, and no answer comes in chunks.
static int ask(int fd, const char *path, int64_t deadline, unsigned expect, struct err *err) {
    cleanup_free char *request = str_printf("GET %s HTTP/1.0\r\nHost: localhost\r\nUser-Agent: webops\r\nConnection: close\r\n\r\n", path);
    size_t size = strlen(request);
    int r = wait_for(fd, POLLOUT, deadline);
    if (r == 0 && send(fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
        r = -EIO;
    if (r == 0)
        r = read_status(fd, deadline);
    if (r == -EPROTO)
        return err_set(err, r, "what answers is no HTTP server");
    if (r < 0)
        return err_sys(err, r, "no answer");
    return (unsigned)r == expect ? 0 : err_set(err, -EREMOTEIO, "the answer is status %d instead of %u", r, expect);
}

int probe_http(const char *url, unsigned expect, unsigned timeout_seconds, struct err *err) {
    static const char scheme[] = "http://";
    const char *rest = url + sizeof(scheme) - 1;
    struct place place;
    if (strncmp(url, scheme, sizeof(scheme) - 1) != 0 || !parse_place(rest, strcspn(rest, "/"), 80, &place) || !is_loopback(&place))
        return err_set(err, -EINVAL, "%s is no http address of this machine", url);
    const char *path = strchr(rest, '/');
    int64_t deadline = clock_ms() + timeout_seconds * INT64_C(1000);
    cleanup_fd int fd = connect_to(&place, deadline, url, err);
    if (fd < 0)
        return fd;
    int r = ask(fd, path ? path : "/", deadline, expect, err);
    return r < 0 ? err_prefix(err, r, "%s", url) : 0;
}
