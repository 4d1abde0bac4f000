// SPDX-License-Identifier: Apache-2.0
// What the two boot backends share among themselves. Everybody else includes boot.h.
#pragma once
#include "firstboot/update/boot.h"

extern const struct boot_backend boot_systemd, boot_grub;

// Removes what a power cut left: entries that say nothing useful, a second entry of a slot. *ret_entries is the state afterwards.
int boot_systemd_reconcile(int esp_fd, struct boot_entries *ret_entries, struct err *err) must_check nonnull(2, 3);
// Makes both environments valid and equal. When neither is valid, the good slot is the one that `entries` starts first.
int boot_grub_reconcile(int esp_fd, const struct boot_entries *entries, struct err *err) must_check nonnull(2, 3);
// -EBUSY when the other slot is not good.
int boot_require_other(const struct boot_entries *entries, enum boot_slot slot, struct err *err) must_check nonnull(1, 3);
