// SPDX-License-Identifier: Apache-2.0
// Sockets that do not block, so that every wait is one of ours (also within a record of TLS), and OpenSSL over them.
#include "builder/flash/connection.h"
#include "builder/flash/resolve.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_HOSTS_BYTES (4 << 20)

// Debian, Alpine and Arch; Red Hat; SUSE; and others.
static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                      "/etc/ssl/cert.pem"};

struct tls {
    SSL_CTX *context;
};

void tls_free(struct tls *tls) {
    if (tls)
        SSL_CTX_free(tls->context);
    free(tls);
}

static const char *reason(void) {
    const char *text = ERR_reason_error_string(ERR_peek_last_error());
    return text ? text : "OpenSSL does not say why";
}

static const char *find_bundle(void) {
    for (size_t i = 0; i < ARRAY_SIZE(bundles); i++)
        if (file_exists(AT_FDCWD, bundles[i]))
            return bundles[i];
    return NULL;
}

int tls_new(const char *ca_file, struct tls **ret_tls, struct err *err) {
    const char *file = ca_file ? ca_file : find_bundle();
    if (!file)
        return err_set(err, -ENOENT,
                       "this system has no certificates of authorities (%s and the like): say by --ca FILE which server is to be trusted",
                       bundles[0]);
    struct tls *tls = mem_array(1, sizeof(*tls));
    tls->context = SSL_CTX_new(TLS_client_method());
    int r =
        tls->context && SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) == 1 ? 0 : err_set(err, -ENOMEM, "TLS: %s", reason());
    if (r >= 0 && SSL_CTX_load_verify_file(tls->context, file) != 1)
        r = err_set(err, -EINVAL, "certificates of authorities in %s: %s", file, reason());
    if (r < 0) {
        tls_free(tls);
        return r;
    }
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
    *ret_tls = tls;
    return 0;
}

void connection_close(struct connection *connection) {
    SSL_free(connection->ssl);
    if (connection->fd >= 0)
        close(connection->fd);
    *connection = (struct connection){.fd = -1};
}

// Waits, by the kernel's own time limit; what comes behind it does not.
static int connect_to(const struct address *address, unsigned timeout_ms) {
    struct timeval limit = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};
    cleanup_fd int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
        return -errno;
    if (connect(fd, &address->any, address->size) < 0)
        return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : take_fd(&fd);
}

static int connect_any(const struct url *url, unsigned timeout_ms, struct err *err) {
    struct address addresses[RESOLVE_MAX];
    cleanup_free char *hosts = NULL;
    struct err ignored;
    size_t count = 0;
    if (file_read(AT_FDCWD, "/etc/hosts", MAX_HOSTS_BYTES, &hosts, NULL, &ignored) < 0)
        hosts = str_dup("");
    int fd = resolve(url->host, hosts, addresses, &count, err);
    if (fd < 0)
        return fd;
    for (size_t i = 0; i < count; i++) {
        addresses[i].v4.sin_port = htons((uint16_t)strtoul(url->port, NULL, 10)); // at the same place for IPv6
        fd = connect_to(&addresses[i], timeout_ms);
        if (fd >= 0)
            return fd;
    }
    err_sys(err, fd, "connecting to %s port %s", url->host, url->port);
    return -EAGAIN;
}

// The name, or the number, for which the certificate must have been made.
static bool expect_host(SSL *ssl, const char *host) {
    uint8_t bytes[sizeof(struct in6_addr)];
    bool is_number = inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
    if (is_number)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool wait_for(struct connection *connection, short events) {
    struct pollfd look = {.fd = connection->fd, .events = events};
    int64_t begun = clock_ms();
    int r;
    while ((r = poll(&look, 1, (int)connection->limits.timeout_ms)) < 0 && errno == EINTR)
        ;
    connection->waited_ms += clock_ms() - begun;
    return r > 0;
}

// On average over each `slow_ms` of waiting, by what came through the socket: a record of TLS may take long until it is whole.
static bool is_too_slow(struct connection *connection) {
    uint64_t received = connection->ssl ? BIO_number_read(SSL_get_rbio(connection->ssl)) : connection->received;
    uint64_t least = (uint64_t)connection->waited_ms * CONNECTION_LEAST_BYTES / 1000;
    if (connection->waited_ms < connection->limits.slow_ms)
        return false;
    bool is_slow = received - connection->judged_at < least;
    connection->judged_at = received;
    connection->waited_ms = 0;
    return is_slow;
}

static int broken(const char *why, struct err *err) {
    return err_set(err, -EAGAIN, "the connection broke: %s", why);
}

// After a call that did not succeed: 0 when it is to be made again, else -EAGAIN. `result` is the call's, and `events` what it waits for in clear.
static int retry(struct connection *connection, int result, short events, struct err *err) {
    int code = errno, problem = connection->ssl ? SSL_get_error(connection->ssl, result) : SSL_ERROR_SYSCALL;
    if (connection->ssl)
        events = problem == SSL_ERROR_WANT_READ ? POLLIN : problem == SSL_ERROR_WANT_WRITE ? POLLOUT : 0;
    else if (code != EAGAIN)
        events = 0;
    if (events == 0)
        return broken(problem == SSL_ERROR_SSL ? reason() : code ? strerror(code) : "it was closed", err);
    if (is_too_slow(connection))
        return err_set(err, -EAGAIN, "the connection broke: less than %d bytes a second came for %u s", CONNECTION_LEAST_BYTES,
                       connection->limits.slow_ms / 1000);
    return wait_for(connection, events) ? 0 : broken("nothing came for too long", err);
}

static int shake_hands(struct connection *connection, struct err *err) {
    int result, r = 0;
    do {
        errno = 0;
        ERR_clear_error();
        result = SSL_connect(connection->ssl);
    } while (result != 1 && (r = retry(connection, result, 0, err)) >= 0);
    return r;
}

// One failure passes: many a rescue system's clock stands in the past until somebody, or something, sets it.
static int distrust(const char *host, long verified, struct err *err) {
    time_t seconds = time(NULL);
    struct tm now;
    char date[32] = "";
    if (verified != X509_V_ERR_CERT_NOT_YET_VALID)
        return err_set(err, -EPERM, "the certificate of %s is not to be trusted: %s (this system's clock, or --ca FILE?)", host,
                       X509_verify_cert_error_string(verified));
    if (gmtime_r(&seconds, &now))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &now);
    return err_set(err, -EAGAIN, "the certificate of %s is not valid yet, at %s UTC by this system's clock: set the clock, and try again",
                   host, date);
}

static int begin_tls(struct connection *connection, const struct url *url, const struct tls *tls, struct err *err) {
    ERR_clear_error();
    connection->ssl = SSL_new(tls->context);
    if (!connection->ssl || !expect_host(connection->ssl, url->host) || SSL_set_fd(connection->ssl, connection->fd) != 1)
        return err_set(err, -ENOMEM, "TLS with %s: %s", url->host, reason());
    int r = shake_hands(connection, err);
    if (r >= 0)
        return 0;
    long verified = SSL_get_verify_result(connection->ssl);
    return verified != X509_V_OK ? distrust(url->host, verified, err) : err_prefix(err, r, "TLS with %s", url->host);
}

int connection_open(const struct url *url, const struct tls *tls, const struct connection_limits *limits, struct connection *ret_connection,
                    struct err *err) {
    struct connection connection = {.fd = connect_any(url, limits->timeout_ms, err), .limits = *limits};
    int r = connection.fd;
    if (r >= 0 && url->is_tls)
        r = begin_tls(&connection, url, tls, err);
    if (r < 0) {
        connection_close(&connection);
        return r;
    }
    *ret_connection = connection;
    return 0;
}

int connection_write(struct connection *connection, const void *data, size_t size, struct err *err) {
    int r = 0;
    for (size_t done = 0; r >= 0 && done < size;) {
        errno = 0;
        ERR_clear_error();
        const char *at = (const char *)data + done;
        ssize_t put =
            connection->ssl ? SSL_write(connection->ssl, at, (int)(size - done)) : send(connection->fd, at, size - done, MSG_NOSIGNAL);
        if (put > 0)
            done += (size_t)put;
        else
            r = retry(connection, (int)put, POLLOUT, err);
    }
    return r;
}

ssize_t connection_read(struct connection *connection, void *data, size_t size, struct err *err) {
    ssize_t got;
    int r;
    do {
        errno = 0;
        ERR_clear_error();
        got = connection->ssl ? SSL_read(connection->ssl, data, (int)size) : recv(connection->fd, data, size, 0);
        if (got > 0) {
            connection->received += (uint64_t)got;
            return got;
        }
        if (connection->ssl ? SSL_get_error(connection->ssl, (int)got) == SSL_ERROR_ZERO_RETURN : got == 0)
            return 0;
        r = retry(connection, (int)got, POLLIN, err);
    } while (r >= 0);
    return r;
}
