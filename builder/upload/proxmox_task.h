// SPDX-License-Identifier: Apache-2.0
// How a Proxmox VE node answers: data in an envelope, errors by parameter, and long work as a task that is asked about.
#pragma once
#include "builder/upload/api.h"
#include <stdint.h>

// The answer's "data". A GET without an answer is repeated for about a minute (-EAGAIN); anything else is asked for once. -EPERM for 401 and 403, -EEXIST where it says that something exists already, -EREMOTEIO else; the text has what the server said of
// each parameter. *ret_data may be a JSON null.
int proxmox_call(const struct api *api, const char *method, const char *path, const struct api_field *fields, json_t **ret_data,
                 struct err *err) must_check nonnull(1, 2, 3, 5, 6);
int proxmox_send(const struct api *api, const char *path, const struct api_field *fields, const struct api_file *file, json_t **ret_data,
                 struct err *err) must_check nonnull(1, 2, 4, 5, 6);
// Waits until the task has stopped, at the node that its UPID names; after ten seconds it is said which one. -EREMOTEIO: it failed; the text ends with the last lines of its log. -ETIMEDOUT: it
// runs, and it is `deadline_ms` (of clock_ms(); 0 = however long it takes).
int proxmox_wait(const struct api *api, const char *upid, int64_t deadline_ms, struct err *err) must_check nonnull(1, 4);
// Waits for the node's tasks of this type that run now, whosever they are, and however they end; `what` says what such a task does ("makes a virtual machine").
// -ETIMEDOUT: after `timeout_ms`, for all of them together, one still runs; the text names it.
int proxmox_wait_for_others(const struct api *api, const char *node, const char *type, const char *what, int64_t timeout_ms,
                            struct err *err) must_check nonnull(1, 2, 3, 4, 6);
