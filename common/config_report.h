// SPDX-License-Identifier: Apache-2.0
// What `webops validate` and `webops-image config check` have in common: read a file, check it, show the result.
#pragma once
#include "common/schema.h"

struct config_report {
    const char *file; // "-" reads standard input
    int secrets_fd; // directory of the secrets that *_FILE keys name; -1 = there is none
    const char *secrets_dir; // its path, for messages; NULL = the files behind *_FILE keys are not looked at
    bool json; // one JSON object instead of lines
};

// Prints to standard output: one line "FILE:LINE: text" per problem, or "FILE: ok, N keys". Returns an exit code.
int config_report(const struct schema *schema, const struct config_report *report) must_check nonnull(1, 2);
// Opens the directory and reports with it; a NULL `secrets_dir` checks no secrets.
int config_report_with(const struct schema *schema, const char *file, const char *secrets_dir, bool json) must_check nonnull(1, 2);
