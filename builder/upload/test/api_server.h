// SPDX-License-Identifier: Apache-2.0
// An HTTPS server on the loopback interface that follows a script: each request must be the next one of it, and gets the answer that stands there.
#pragma once
#include "builder/certificate.h"
#include "builder/test/support.h"
#include "builder/upload/api.h"
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <time.h>

struct exchange_row {
    const char *request; // "GET /path?query", or "POST /path {body}"; NULL ends a script
    int status; // 0 = the connection is closed instead
    const char *body; // NULL = none
};

struct api_server {
    const struct exchange_row *script;
    unsigned done; // rows of it
    char surprise[1024]; // the first request that was another one
    SSL_CTX *tls;
    int fd;
    pthread_t thread;
    struct api api;
};

// Head and body of a request; false at the end of the connection.
static inline bool api_server_read(SSL *ssl, char *text, size_t size) {
    size_t used = 0;
    for (;;) {
        int got = SSL_read(ssl, text + used, (int)(size - 1 - used));
        if (got <= 0)
            return false;
        used += (size_t)got;
        text[used] = 0;
        const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length: ");
        if (end && used >= (size_t)(end + 4 - text) + (length ? strtoul(length + 18, NULL, 10) : 0))
            return true;
    }
}

// "GET /path HTTP/1.1\r\n…\r\n\r\n{body}" → "GET /path {body}"
static inline char *api_server_summary(const char *text) {
    const char *body = strstr(text, "\r\n\r\n") + 4;
    return str_printf("%.*s%s%s", (int)(strstr(text, " HTTP/") - text), text, *body ? " " : "", body);
}

static inline void api_server_answer(struct api_server *server, SSL *ssl) {
    char text[16384];
    if (!api_server_read(ssl, text, sizeof(text)))
        return;
    cleanup_free char *summary = api_server_summary(text);
    const struct exchange_row *row = &server->script[server->done];
    if (!row->request || strcmp(row->request, summary) != 0) {
        if (!*server->surprise)
            snprintf(server->surprise, sizeof(server->surprise), "%s", summary);
        return;
    }
    server->done++;
    if (!row->status)
        return;
    cleanup_free char *answer = str_printf("HTTP/1.1 %d Reason\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", row->status,
                                           row->body ? strlen(row->body) : 0, row->body ? row->body : "");
    SSL_write(ssl, answer, (int)strlen(answer));
    SSL_shutdown(ssl);
}

static inline void *api_server_serve(void *data) {
    struct api_server *server = data;
    for (int client; (client = accept(server->fd, NULL, NULL)) >= 0; close(client)) {
        SSL *ssl = SSL_new(server->tls);
        SSL_set_fd(ssl, client);
        if (SSL_accept(ssl) == 1)
            api_server_answer(server, ssl);
        SSL_free(ssl);
    }
    return NULL;
}

static inline int api_server_listen(char url[64]) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(url, 64, "https://127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

static inline void api_server_start(struct api_server *server, const struct exchange_row *script) {
    struct err err = {0};
    cleanup_certificate struct certificate certificate = {0};
    const struct certificate_request request = {
        .kind = CERTIFICATE_CLUSTER, .name = "api", .not_before = time(NULL) - 60, .not_after = time(NULL) + 3600};
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char url[64], hex[2 * API_FINGERPRINT_BYTES + 1];
    *server = (struct api_server){.script = script, .tls = SSL_CTX_new(TLS_server_method())};
    assert_ok(certificate_make(&request, &certificate, &err));
    assert_int_equal(SSL_CTX_use_certificate(server->tls, certificate.x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(server->tls, certificate.key), 1);
    assert_int_equal(X509_digest(certificate.x509, EVP_sha256(), hash, &size), 1);
    for (unsigned i = 0; i < API_FINGERPRINT_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    server->fd = api_server_listen(url);
    assert_ok(api_open_token(url, "Bearer ", "canary", "token", hex, &server->api, &err));
    assert_int_equal(pthread_create(&server->thread, NULL, api_server_serve, server), 0);
}

// The whole script must have been asked for, and nothing else.
static inline void api_server_stop(struct api_server *server) {
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    SSL_CTX_free(server->tls);
    api_done(&server->api);
    if (*server->surprise)
        fail_msg("after %u requests came: %s", server->done, server->surprise);
    if (server->script[server->done].request)
        fail_msg("nobody asked for: %s", server->script[server->done].request);
}
