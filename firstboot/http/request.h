// SPDX-License-Identifier: Apache-2.0
// The head of one HTTP request (RFC 9112) as webops-http takes it: GET or HEAD of two paths, and nothing that would need a second thought. Pure.
#pragma once
#include "common/cleanup.h"
#include <stdbool.h>
#include <stddef.h>

#define REQUEST_MAX_BYTES 8192

enum request_target { REQUEST_HEALTH, REQUEST_METRICS };
struct request {
    unsigned status; // 200 = understood; else the answer: 400, 404, 405
    bool is_head; // no body is wanted
    enum request_target target; // when the status is 200
};

// Whether the head ends in these bytes.
bool request_is_complete(const char *text, size_t size);
// Of a complete head; anything else is status 400.
struct request request_parse(const char *text, size_t size);
