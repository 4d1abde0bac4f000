// SPDX-License-Identifier: Apache-2.0
// Everything a virtual machine needs before it starts, made in one private directory: overlay disk, UEFI variables, seed volume, port.
#pragma once
#include "builder/qemu.h"

struct machine_request { // what the user asked for
    const char *image; // raw or qcow2; never written to
    const char *config, *secrets; // NULL = none
    const char *keep; // file of a lasting overlay disk, made when missing; NULL = thrown away
    const char *disk_size; // for qemu-img ("8G", not less than the image has; "+1G": more than it has); NULL = as large as the image
    const char *serial; // console log; NULL = in the private directory
    const char *net;
    bool bios, secure_boot;
    long memory_mib, cpus, ssh_port; // port 0 = choose a free one
    const char *const *extra;
};

struct machine { // what was made
    char *dir; // 0700
    char *overlay, *vars, *seed, *serial, *qmp, *accel_note;
    struct qemu_accel given_accel; // when the extra arguments name one
    struct qemu_options options; // points into this, into the strings above and into the request
};

// What a command line can get wrong: memory, processors, port, the form of a size, options that need another one. -EINVAL. Reads no file.
int machine_check(const struct machine_request *request, struct err *err) must_check nonnull(1, 2);
// Checks the request, makes the files and fills in machine->options. machine_done() must follow whatever the result.
int machine_prepare(const struct machine_request *request, struct machine *machine, struct err *err) must_check nonnull(1, 2, 3);
// Removes the private directory with all that is in it.
void machine_done(struct machine *machine);

// A TCP port of the loopback address that was free a moment ago, or -errno.
int machine_free_port(struct err *err) must_check nonnull(1);
// "raw" or "qcow2" by content; NULL with `err` set when the file is missing, too small or compressed.
const char *machine_disk_format(const char *path, struct err *err) must_check nonnull(1, 2);

#define cleanup_machine cleanup(machine_done)
