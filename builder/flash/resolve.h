// SPDX-License-Identifier: Apache-2.0
// Addresses of a host without the name service switch, whose modules a static program cannot load: numbers, /etc/hosts, DNS.
#pragma once
#include "common/err.h"
#include <netinet/in.h>
#include <stddef.h>

#define RESOLVE_MAX 16

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t size;
};

// IPv4 first. `hosts` is the text of /etc/hosts. -ENOENT: no such host, or one without any address; -EAGAIN: a question was not answered.
int resolve(const char *host, const char *hosts, struct address ret_addresses[RESOLVE_MAX], size_t *ret_count, struct err *err) must_check
    nonnull(1, 2, 3, 4, 5);
