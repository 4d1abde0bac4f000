// SPDX-License-Identifier: Apache-2.0
// dpkg's status file (deb822 paragraphs) as a list of installed packages. Pure, no I/O.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dpkg_package {
    char *name, *version, *architecture;
    char *source; // source package; equals the name where the file has none
    uint64_t installed_kib;
    bool installed; // status is exactly "install ok installed"
};

struct dpkg_status {
    struct dpkg_package *packages; // sorted by name, then architecture
    size_t count;
};

void dpkg_status_done(struct dpkg_status *status);
// A paragraph without Package, Status, Version (unless not installed) or Architecture is -EINVAL with its line.
int dpkg_status_parse(const char *text, size_t size, struct dpkg_status *ret_status, struct err *err) must_check nonnull(1, 3, 4);

#define cleanup_dpkg_status cleanup(dpkg_status_done)
