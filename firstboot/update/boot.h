// SPDX-License-Identifier: Apache-2.0
// Boot backends: which slot the boot loader starts, how many tries a trial has. systemd-boot (counted Type 1 entries) and GRUB (two grubenv
// copies) behind one interface. An image carries both, and every change is made in both, so that a disk can change its firmware.
#pragma once
#include "common/err.h"
#include <stdbool.h>
#include <stdint.h>

enum boot_slot { BOOT_SLOT_A, BOOT_SLOT_B, BOOT_SLOTS };
enum boot_state {
    BOOT_EMPTY, // no entry: never started
    BOOT_GOOD, // started without counting
    BOOT_TRIAL, // counted, tries left
    BOOT_BAD, // not started while the other one can be
};
struct boot_entry {
    enum boot_state state;
    unsigned tries_left, tries_done; // of a trial, or of what was one
    uint64_t order; // among good entries the higher one starts
};
struct boot_entries {
    struct boot_entry slots[BOOT_SLOTS];
};

// What a published entry says.
struct boot_generation {
    const char *title; // "webops quickstart 2026.11.1"
    const char *cmdline; // BIOS: goes into webops/<slot>.cfg
};

// All functions take the ESP's directory. They are idempotent, and a power cut between any two of their writes leaves the good slot bootable.
struct boot_backend {
    const char *name; // "systemd-boot", "grub"
    int (*load)(int esp_fd, struct boot_entries *ret_entries, struct err *err);
    // Nothing of `slot` is started any more. Refused (-EBUSY) when it is the only one that can be.
    int (*remove)(int esp_fd, enum boot_slot slot, struct err *err);
    // `slot` is started first, at most `tries` (1 … BOOT_MAX_TRIES) times; the other one must be good (-EBUSY).
    int (*publish)(int esp_fd, enum boot_slot slot, const struct boot_generation *generation, unsigned tries, struct err *err);
    // `slot` is good: no counter, started first. -ENOENT when it has no entry.
    int (*commit)(int esp_fd, enum boot_slot slot, struct err *err);
    // `slot` is bad: the other one, which must be good (-EBUSY), is started. Nothing to do for an empty slot.
    int (*reject)(int esp_fd, enum boot_slot slot, struct err *err);
    // The file beside kernel and initramfs that decides what `slot` starts as and does not say `cmdline`; NULL: all is well. A backend
    // whose kernel image holds the command line has no such file, and no such function.
    const char *(*altered)(int esp_fd, enum boot_slot slot, const char *cmdline);
};
#define BOOT_MAX_TRIES 9
extern const struct boot_backend *const boot_backends[]; // ended by NULL

// Tidies up after a power cut, in all backends: run before anything else is changed. Changes no slot's state.
int boot_reconcile(int esp_fd, struct err *err) must_check nonnull(2);

const char *boot_slot_name(enum boot_slot slot); // "a", "b"
const char *boot_state_name(enum boot_state state); // "empty", "good", "trial", "bad"
enum boot_slot boot_slot_other(enum boot_slot slot);
int boot_slot_parse(const char *name, enum boot_slot *ret_slot, struct err *err) must_check nonnull(1, 2, 3);
