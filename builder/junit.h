// SPDX-License-Identifier: Apache-2.0
// A report in the XML dialect that continuous integration servers read ("JUnit XML", as the Ant task writes it). Pure text.
#pragma once
#include "common/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct junit_case {
    const char *name;
    int64_t duration_ms;
    bool was_run;
    const char *failure; // one line; NULL = passed
    const char *output; // any bytes, NULL = none
};

// One test suite. Texts may hold any bytes: what XML 1.0 cannot carry (control characters, bytes that are no UTF-8) becomes '?'.
void junit_format(const char *suite, const struct junit_case *cases, size_t count, struct buf *xml) nonnull(1, 4);
