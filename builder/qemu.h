// SPDX-License-Identifier: Apache-2.0
// The QEMU command line as a pure plan: options in, argv out. Starting, watching and stopping a machine is vm.h.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stddef.h>

enum qemu_firmware { QEMU_UEFI, QEMU_BIOS, QEMU_SECURE_BOOT }; // the last: UEFI that checks signatures once it has keys

struct qemu_accel {
    const char *name; // for people: "KVM"
    const char *accel, *cpu; // values of -accel and -cpu
    bool trusted; // needs no probe: pure software
};
// Best first; the last one is trusted.
extern const struct qemu_accel qemu_accels[];
extern const size_t qemu_accel_count;

struct qemu_options {
    enum qemu_firmware firmware;
    const struct qemu_accel *accel;
    const char *code, *vars; // UEFI: firmware (read only), and our private copy of its variables
    const char *disk; // qcow2 overlay
    const char *seed; // raw FAT volume, attached read only; NULL = none
    const char *serial, *qmp; // log file; socket
    const char *net; // further settings of the user network, "" = none
    long memory_mib, cpus, ssh_port;
    const char *const *extra; // further arguments for QEMU, NULL-terminated; NULL = none. They win over ours.
};

// The value of -accel among the extra arguments, which then is the only one; NULL = none.
const char *qemu_extra_accel(const char *const *extra);

// The whole argv, NULL-terminated, to be freed with qemu_argv_done(). QEMU dies with its parent (setpriv --pdeathsig).
char **qemu_plan(const struct qemu_options *options) nonnull(1);
void qemu_argv_done(char ***argv);
// One line per option, for people and logs.
char *qemu_argv_format(const char *const *argv) nonnull(1);

// A firmware and its variable template, from the places where distributions keep them; -ENOENT says which package to install.
int qemu_find_uefi(enum qemu_firmware firmware, const char **ret_code, const char **ret_vars, struct err *err) must_check nonnull(2, 3, 4);
// The best accelerator that really runs a guest: a boot sector that has to reach long mode and answer within two seconds. `dir` is a
// directory for its disk. *ret_why says what was wrong with the better ones ("" = nothing); the caller frees it.
const struct qemu_accel *qemu_probe(const char *dir, char **ret_why) nonnull(1, 2);

// The two halves of the probe: the disk (1 MiB, our boot sector), and one guest that must answer from it in time.
int qemu_probe_save(const char *path, struct err *err) must_check nonnull(1, 2);
int qemu_probe_run(const struct qemu_accel *accel, const char *disk, unsigned timeout_ms, struct err *err) must_check nonnull(1, 2, 4);
