// SPDX-License-Identifier: Apache-2.0
// The head of an HTTP answer, line by line, with everything bounded, and what it means for the request it answers. Pure.
#pragma once
#include "firstboot/fetch/contentrange.h"
#include <stddef.h>
#include <time.h>

#define RESPONSE_MAX_LINE_BYTES 8192
#define RESPONSE_MAX_LINES 200 // of all heads of one request, those of 1xx answers among them
#define RESPONSE_MAX_BYTES (64 << 10) // the same
#define RESPONSE_VALUE_BYTES 256 // longer values of the headers below are refused

enum response_header {
    RESPONSE_RANGE,
    RESPONSE_LENGTH,
    RESPONSE_CODING,
    RESPONSE_TRANSFER,
    RESPONSE_TYPE,
    RESPONSE_ETAG,
    RESPONSE_MODIFIED,
    RESPONSE_RETRY,
    RESPONSE_HEADERS
};
struct response {
    unsigned status; // 0 before the first line
    bool is_complete; // the empty line came
    unsigned lines;
    size_t bytes;
    char values[RESPONSE_HEADERS][RESPONSE_VALUE_BYTES]; // "" = absent
};

// The next line as it arrived, CR LF included. After a 1xx answer's end the next one begins; lines behind the final head (trailers) only
// count. -EIO: over a limit, or a header twice with different values.
int response_line(struct response *response, const char *line, size_t size, struct err *err) must_check nonnull(1, 2, 4);

// What is known of the file on the server since its first answer.
struct identity {
    bool has_total;
    uint64_t total;
    char etag[RESPONSE_VALUE_BYTES], modified[RESPONSE_VALUE_BYTES];
};
struct wanted {
    uint64_t first, last; // inclusive; last may lie behind the file's end
    bool is_whole; // asked without a range
};
enum verdict {
    VERDICT_PART, // 206: the body is wanted.first … the smaller of wanted.last and the file's end
    VERDICT_WHOLE, // 200: the body is the file from its start
    VERDICT_END, // 416: wanted.first lies behind the end
    VERDICT_REDIRECT,
    VERDICT_LATER, // 408, 425, 429, 5xx: err says which
    VERDICT_CHANGED, // not the file of the answers before
    VERDICT_REFUSED, // anything else: err says what
};
// Judges a complete head. PART, WHOLE and END complete *identity.
enum verdict response_judge(const struct response *response, const struct wanted *wanted, struct identity *identity,
                            struct err *err) must_check nonnull(1, 2, 3, 4);
// The value for If-Range: a strong entity tag, else NULL (a date is none: RFC 9110, 13.1.5 wants it to be known as strong).
const char *identity_if_range(const struct identity *identity) nonnull(1);

// A Retry-After value (seconds or a date) in milliseconds, at least one second and at most `longest_ms`; 0 for none and for nonsense.
int64_t retry_after_ms(const char *value, time_t now, int64_t longest_ms) nonnull(1);
