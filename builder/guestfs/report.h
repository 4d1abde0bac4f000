// SPDX-License-Identifier: Apache-2.0
// What is on a disk, as JSON (docs/FORMATS.md "Report of webops-guestfs").
#pragma once
#include "builder/guestfs/guest.h"
#include <jansson.h>

// Partitions, file systems and operating systems. When there is exactly one system, it is mounted, and its kernels and packages are listed, too.
// Of one with rpm the database is put into the empty directory `dir`, and beside it REPORT_PACKAGES, its list. The caller frees *ret_report.
int report_make(guestfs_h *guest, const char *dir, json_t **ret_report, struct err *err) must_check nonnull(1, 2, 3, 4);

#define REPORT_PACKAGES "packages"
#define DPKG_STATUS "/var/lib/dpkg/status"
