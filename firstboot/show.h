// SPDX-License-Identifier: Apache-2.0
// Verbs that only look at a machine, and print what they found for people or, with --json, for programs.
#pragma once
#include "common/buf.h"
#include "common/opt.h"
#include "firstboot/report.h"

struct show {
    const char *json_help; // what --json prints, a sentence
    int (*gather)(int root_fd, json_t **ret_found, struct err *err); // never NULL after success
    void (*format)(const json_t *found, struct buf *text);
};

// The exit status.
int show_run(const struct show *show, const struct verb *self, int argc, char **argv) nonnull(1, 2);
