// SPDX-License-Identifier: Apache-2.0
// One connection to a server, in clear or by TLS. Every wait for the other side ends after a time limit, and so
// does one that drags on. Only waiting counts: a connection is not to blame for what this program does between two reads.
#pragma once
#include "builder/flash/url.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tls; // which authorities are trusted

struct connection_limits {
    unsigned timeout_ms; // of each wait for the other side
    unsigned slow_ms; // a connection that waited so long for less than CONNECTION_LEAST_BYTES a second is given up
};
#define CONNECTION_LEAST_BYTES 1024

struct connection {
    int fd; // < 0: closed
    struct ssl_st *ssl; // NULL: in clear
    struct connection_limits limits;
    int64_t waited_ms; // since it was last judged
    uint64_t received, judged_at; // bytes; with TLS OpenSSL counts them
};

// The certificates of `ca_file`, or of this system where the distributions keep them. -ENOENT: there are none; -EINVAL: the file has none.
int tls_new(const char *ca_file, struct tls **ret_tls, struct err *err) must_check nonnull(2, 3);
void tls_free(struct tls *tls);

// `tls` may be NULL for http. -EAGAIN: cannot be reached, or the connection broke, or the certificate is not valid yet; -ENOENT: no such
// host; -EPERM: the certificate is not to be trusted.
int connection_open(const struct url *url, const struct tls *tls, const struct connection_limits *limits, struct connection *ret_connection,
                    struct err *err) must_check nonnull(1, 3, 4, 5);
int connection_write(struct connection *connection, const void *data, size_t size, struct err *err) must_check nonnull(1, 2, 4);
// At least one byte; 0 when the other side closed; -EAGAIN: broken, or nothing or too little came for too long.
ssize_t connection_read(struct connection *connection, void *data, size_t size, struct err *err) must_check nonnull(1, 2, 4);
void connection_close(struct connection *connection);
