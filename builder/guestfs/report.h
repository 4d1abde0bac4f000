// SPDX-License-Identifier: Apache-2.0
// What is on a disk, as JSON (docs/FORMATS.md "Report of webops-guestfs").
#pragma once
#include "builder/guestfs/guest.h"
#include <jansson.h>

// Partitions, file systems and operating systems. When there is exactly one system, it is mounted, and its kernels and packages are listed, too.
// The caller frees *ret_report.
int report_make(guestfs_h *guest, json_t **ret_report, struct err *err) must_check nonnull(1, 2, 3);
