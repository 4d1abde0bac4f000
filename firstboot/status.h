// SPDX-License-Identifier: Apache-2.0
// What a machine is and how it does, as one JSON object, and as a table made from that object.
#pragma once
#include "common/buf.h"
#include <jansson.h>

// {"generation": {profile, version, sequence, root_hash, slot_id}, "slot", "layers": [{name, version}], "hostname",
//  "config": {source, problems, has_config}, "apply": {stage, time, changes, errors}, "health": {…} | null,
//  "drift": number | null, "errors": [text…], "stacks": [… stack/status.h]}. What we may not read is null. Never fails.
json_t *status_gather(int root_fd);
void status_format(const json_t *status, struct buf *text) nonnull(1, 2);
