// SPDX-License-Identifier: Apache-2.0
// The rpm database of a mounted system, copied out and read by this machine's rpm: libguestfs asks the rpm of its appliance, which knows neither every
// format nor every place.
#pragma once
#include "builder/guestfs/guest.h"
#include <jansson.h>

// Whether the system has one.
bool rpm_is_there(guestfs_h *guest) nonnull(1);
// Copies it into the empty directory `dir` and makes it RPM_DATABASE_FILE (builder/dnf/rpm_database.h). -ENOENT when there is none.
int rpm_take(guestfs_h *guest, const char *dir, struct err *err) must_check nonnull(1, 2, 3);
// Appends {name, version, architecture} of every package of a list in dpkg's format.
void rpm_add_packages(const char *text, json_t *list) nonnull(1, 2);
