// SPDX-License-Identifier: Apache-2.0
// Sockets that block with the kernel's own time limits, and OpenSSL over them.
#include "builder/flash/connection.h"
#include "builder/flash/resolve.h"
#include "common/buf.h"
#include "common/file.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
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

static int connect_to(const struct address *address, unsigned timeout_ms) {
    struct timeval limit = {timeout_ms / 1000, (suseconds_t)(timeout_ms % 1000) * 1000};
    cleanup_fd int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
        return -errno;
    if (connect(fd, &address->any, address->size) < 0)
        return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
    return take_fd(&fd);
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

static int begin_tls(struct connection *connection, const struct url *url, const struct tls *tls, struct err *err) {
    ERR_clear_error();
    connection->ssl = SSL_new(tls->context);
    if (!connection->ssl || !expect_host(connection->ssl, url->host) || SSL_set_fd(connection->ssl, connection->fd) != 1)
        return err_set(err, -ENOMEM, "TLS with %s: %s", url->host, reason());
    if (SSL_connect(connection->ssl) == 1)
        return 0;
    long verified = SSL_get_verify_result(connection->ssl);
    if (verified != X509_V_OK)
        return err_set(err, -EPERM, "the certificate of %s is not to be trusted: %s (this system's clock, or --ca FILE?)", url->host,
                       X509_verify_cert_error_string(verified));
    return err_set(err, -EAGAIN, "TLS with %s: %s", url->host, ERR_peek_last_error() ? reason() : "the connection ended");
}

int connection_open(const struct url *url, const struct tls *tls, unsigned timeout_ms, struct connection *ret_connection, struct err *err) {
    struct connection connection = {.fd = connect_any(url, timeout_ms, err)};
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

static int broken(struct connection *connection, ssize_t got, struct err *err) {
    int code = errno, problem = connection->ssl ? SSL_get_error(connection->ssl, (int)got) : SSL_ERROR_SYSCALL;
    bool is_late = problem == SSL_ERROR_WANT_READ || problem == SSL_ERROR_WANT_WRITE || (problem == SSL_ERROR_SYSCALL && code == EAGAIN);
    return err_set(err, -EAGAIN, "the connection broke: %s",
                   is_late                    ? "nothing came for too long"
                   : problem == SSL_ERROR_SSL ? reason()
                   : code                     ? strerror(code)
                                              : "it was closed");
}

int connection_write(struct connection *connection, const void *data, size_t size, struct err *err) {
    for (size_t done = 0; done < size;) {
        errno = 0;
        ERR_clear_error();
        const char *at = (const char *)data + done;
        ssize_t put =
            connection->ssl ? SSL_write(connection->ssl, at, (int)(size - done)) : send(connection->fd, at, size - done, MSG_NOSIGNAL);
        if (put <= 0)
            return broken(connection, put, err);
        done += (size_t)put;
    }
    return 0;
}

ssize_t connection_read(struct connection *connection, void *data, size_t size, struct err *err) {
    errno = 0;
    ERR_clear_error();
    ssize_t got = connection->ssl ? SSL_read(connection->ssl, data, (int)size) : recv(connection->fd, data, size, 0);
    if (got > 0)
        return got;
    bool is_end = connection->ssl ? SSL_get_error(connection->ssl, (int)got) == SSL_ERROR_ZERO_RETURN : got == 0;
    return is_end ? 0 : broken(connection, got, err);
}
