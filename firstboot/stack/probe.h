// SPDX-License-Identifier: Apache-2.0
// Small clients for checks: whether somebody listens, and with which status an HTTP server on this machine answers.
#pragma once
#include "common/err.h"
#include <stddef.h>

// "192.0.2.7:2379" or "[::1]:2379"; no names. 0 = the connection was made.
int probe_tcp(const char *address, unsigned timeout_seconds, struct err *err) must_check nonnull(1, 3);
// "http://127.0.0.1:8008/readiness": the address is loopback or "localhost". 0 = the status is `expect`. An answer of HTTP/1.0 that is
// nothing but its first line counts.
int probe_http(const char *url, unsigned expect, unsigned timeout_seconds, struct err *err) must_check nonnull(1, 4);
// The status of an answer's first bytes; 0 = not yet a whole first line, -EPROTO = no HTTP. Pure.
int probe_parse_status(const char *text, size_t size) nonnull(1);
