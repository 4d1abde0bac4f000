// SPDX-License-Identifier: Apache-2.0
// What a monitoring system may know of this machine, in Prometheus' text format: /run/webops/metrics.prom, which webops-http serves.
#pragma once
#include "common/buf.h"
#include "common/config.h"
#include <jansson.h>
#include <stdint.h>

#define METRICS_PATH "run/webops/metrics.prom"

struct metrics_input {
    const json_t *health; // as health_json() makes it
    const struct config *record; // the init's boot record
    const json_t *applied; // last run of `webops apply`; NULL = none
    int64_t now; // seconds since 1970, when health was checked
    int64_t drift_files; // -1 = not known
    bool is_trial, has_failed_update; // the last update was rejected
};

// Pure. Every value of a label is escaped.
void metrics_format(const struct metrics_input *input, struct buf *text) nonnull(1, 2);
// Gathers the rest and publishes the file. `counts_drift`: looks for drift, which takes open_tree(2): a right that the judge of a boot has not.
int metrics_write(int root_fd, const json_t *health, const struct config *record, const json_t *report, bool counts_drift,
                  struct err *err) must_check nonnull(2, 3, 6);
