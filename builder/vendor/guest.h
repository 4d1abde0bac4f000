// SPDX-License-Identifier: Apache-2.0
// Starts webops-guestfs, which reads a foreign disk in libguestfs' appliance: without network, without new privileges, as root without any right but
// to read files. What it says is checked by report.c and normalise.c.
#pragma once
#include "builder/sandbox.h"
#include "common/buf.h"

struct guest_request {
    const char *verb; // "inspect" or "tar"
    const char *disk, *format; // as vendor_disk_format() tells
    const char *dir; // for temporary files of libguestfs
    const char *status; // inspect: where a copy of the dpkg status goes, or the list of rpm packages in its format; NULL = nowhere
    const char *database; // inspect: where the rpm database goes, if there is one; NULL = nowhere
    const char *exclude; // tar: file with path patterns; NULL = none
};

enum guest_cage { // what is around the program
    GUEST_USER, // an ordinary user: no network
    GUEST_ROOT, // no network either, and few rights
    GUEST_OPEN, // a user who gets no namespaces here: only no new privileges
};

// The pure part: argv with everything around the program; freed with guest_argv_done().
char **guest_plan(const struct guest_request *request, const char *program, enum guest_cage cage, bool software) nonnull(1, 2);
void guest_argv_done(char ***argv);

// Runs "inspect" and returns the report; the caller frees it. Takes from seconds to a minute.
int guest_inspect(const struct guest_request *request, char **ret_text, size_t *ret_size, struct err *err) must_check nonnull(1, 2, 3, 4);
// Starts "tar". `ret_sandbox` is for sandbox_wait() or sandbox_abort(): the stream comes out of it as out of a sandbox.
int guest_start(const struct guest_request *request, struct sandbox *ret_sandbox, struct err *err) must_check nonnull(1, 2, 3);
