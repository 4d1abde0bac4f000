// SPDX-License-Identifier: Apache-2.0
// What webops-http answers. Pure.
#pragma once
#include "common/buf.h"
#include "firstboot/http/request.h"
#include <stdint.h>

#define ANSWER_MAX_AGE_SECONDS 180 // of a health check that still counts

struct answer {
    unsigned status;
    const char *type; // of the body
    struct buf body;
};
void answer_done(struct answer *answer);

// Of health.json (NULL = there is none) and its age: 200 when it says healthy and is not older than ANSWER_MAX_AGE_SECONDS, else 503. The body has
// everything but the reasons of failures: those may quote log lines, which are not for everybody.
void answer_health(const char *text, size_t size, int64_t age_seconds, struct answer *ret_answer) nonnull(4);
// Of metrics.prom (NULL = there is none: 503).
void answer_metrics(const char *text, size_t size, struct answer *ret_answer) nonnull(3);
void answer_error(unsigned status, struct answer *ret_answer) nonnull(2);
// Head and body as they go over the wire.
void answer_format(const struct answer *answer, bool is_head, struct buf *text) nonnull(1, 3);

#define cleanup_answer cleanup(answer_done)
