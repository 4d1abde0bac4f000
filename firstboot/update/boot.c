// SPDX-License-Identifier: Apache-2.0
// The table of boot backends, names of slots and states, and what is done in all backends at once.
#include "firstboot/update/boot.h"
#include "firstboot/update/boot_backends.h"
#include <errno.h>
#include <string.h>

const struct boot_backend *const boot_backends[] = {&boot_systemd, &boot_grub, NULL};

static const char *const slot_names[BOOT_SLOTS] = {[BOOT_SLOT_A] = "a", [BOOT_SLOT_B] = "b"};
static const char *const state_names[] = {[BOOT_EMPTY] = "empty", [BOOT_GOOD] = "good", [BOOT_TRIAL] = "trial", [BOOT_BAD] = "bad"};

const char *boot_slot_name(enum boot_slot slot) {
    return slot_names[slot];
}

const char *boot_state_name(enum boot_state state) {
    return state_names[state];
}

int boot_slot_parse(const char *name, enum boot_slot *ret_slot, struct err *err) {
    for (unsigned i = 0; i < BOOT_SLOTS; i++)
        if (strcmp(name, slot_names[i]) == 0) {
            *ret_slot = i;
            return 0;
        }
    return err_set(err, -EINVAL, "there is no slot \"%.16s\", only a and b", name);
}

enum boot_slot boot_slot_other(enum boot_slot slot) {
    return slot == BOOT_SLOT_A ? BOOT_SLOT_B : BOOT_SLOT_A;
}

int boot_require_other(const struct boot_entries *entries, enum boot_slot slot, struct err *err) {
    enum boot_slot other = boot_slot_other(slot);
    if (entries->slots[other].state == BOOT_GOOD)
        return 0;
    return err_set(err, -EBUSY, "slot %s is %s: slot %s must stay as it is, or nothing could be started", slot_names[other],
                   state_names[entries->slots[other].state], slot_names[slot]);
}

int boot_reconcile(int esp_fd, struct err *err) {
    struct boot_entries entries;
    int r = boot_systemd_reconcile(esp_fd, &entries, err);
    return r < 0 ? r : boot_grub_reconcile(esp_fd, &entries, err);
}
