// SPDX-License-Identifier: Apache-2.0
// The stacks of a machine for people and as JSON: what /run/webops says, the image's list, its package database. Needs no root.
#pragma once
#include "common/buf.h"
#include <jansson.h>

// [{"name", "summary", "enabled", "uninstalled", "version" | null, "state", "why", "since", "health", "problem"?}], in start order. `health`:
// "healthy", "unhealthy", or null when it was not checked or does not run; then "failed": [{"name", "why"}]. Never fails; an image without
// stacks has an empty list.
json_t *stack_status(int root_fd);
// A table of the enabled ones, as `webops status` prints it under "stacks".
void stack_status_format(const json_t *stacks, struct buf *text) nonnull(1, 2);
// A table of all, as `webops list` prints it.
void stack_list_format(const json_t *stacks, struct buf *text) nonnull(1, 2);
