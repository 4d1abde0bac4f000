// SPDX-License-Identifier: Apache-2.0
// Boot backend GRUB: a slot's entry is webops/<slot>.cfg; which slot is good and which one is tried stands in the two environments. The script
// that obeys them is in builder/grub_script.c.
#include "common/buf.h"
#include "common/file.h"
#include "firstboot/update/boot_backends.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/grubenv_file.h"
#include <errno.h>
#include <string.h>

struct state {
    struct grubenv env;
    bool is_valid, is_whole; // of the environments
    bool has_entry[BOOT_SLOTS];
};

static const struct entry_path {
    const char *path;
    char letter;
} entries[BOOT_SLOTS] = {[BOOT_SLOT_A] = {"webops/a.cfg", 'a'}, [BOOT_SLOT_B] = {"webops/b.cfg", 'b'}};

static char letter(enum boot_slot slot) {
    return entries[slot].letter;
}

// Without a valid environment the script starts A if it has an entry, else B; so that is what is good.
static int state_load(int esp_fd, struct state *ret_state, struct err *err) {
    struct state state = {0};
    int r = grubenv_file_load(esp_fd, &state.env, &state.is_whole, err);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < BOOT_SLOTS; i++)
        state.has_entry[i] = file_exists(esp_fd, entries[i].path);
    state.is_valid = r == 1;
    if (!state.is_valid)
        state.env = (struct grubenv){.good = letter(state.has_entry[BOOT_SLOT_A] ? BOOT_SLOT_A : BOOT_SLOT_B)};
    *ret_state = state;
    return 0;
}

// Writes only what differs from what is there.
static int state_save(int esp_fd, const struct state *state, struct grubenv env, struct err *err) {
    const struct grubenv *old = &state->env;
    bool is_same =
        old->good == env.good && old->trial == env.trial && old->tries_left == env.tries_left && old->tries_done == env.tries_done;
    if (is_same && state->is_whole)
        return 0;
    env.number = old->number < GRUBENV_MAX_NUMBER ? old->number + 1 : 1;
    return grubenv_file_save(esp_fd, &env, err);
}

static void describe(const struct state *state, struct boot_entries *ret_entries) {
    for (unsigned i = 0; i < BOOT_SLOTS; i++) {
        struct boot_entry entry = {.state = state->has_entry[i] ? BOOT_GOOD : BOOT_EMPTY};
        entry.order = state->env.good == letter(i);
        if (state->has_entry[i] && state->env.trial == letter(i)) {
            entry.state = state->env.tries_left ? BOOT_TRIAL : BOOT_BAD;
            entry.tries_left = state->env.tries_left;
            entry.tries_done = state->env.tries_done;
        }
        ret_entries->slots[i] = entry;
    }
}

static int require_other(const struct state *state, enum boot_slot slot, struct err *err) {
    struct boot_entries described;
    describe(state, &described);
    return boot_require_other(&described, slot, err);
}

static void drop_trial(struct grubenv *env, enum boot_slot slot) {
    if (env->trial == letter(slot)) {
        env->trial = 0;
        env->tries_left = env->tries_done = 0;
    }
}

static int grub_load(int esp_fd, struct boot_entries *ret_entries, struct err *err) {
    struct state state;
    int r = state_load(esp_fd, &state, err);
    if (r == 0)
        describe(&state, ret_entries);
    return r;
}

static const char *grub_altered(int esp_fd, enum boot_slot slot, const char *cmdline) {
    cleanup_buf struct buf expected = {0};
    cleanup_free char *text = NULL;
    struct err err;
    size_t size;
    const char *path = entries[slot].path;
    if (grubenv_format_cmdline(cmdline, &expected, &err) < 0 || file_read(esp_fd, path, expected.size, &text, &size, &err) < 0)
        return path;
    return size == expected.size && memcmp(text, expected.data, size) == 0 ? NULL : path;
}

// The environments first: from then on nothing looks at the slot's entry.
static int grub_remove(int esp_fd, enum boot_slot slot, struct err *err) {
    struct state state;
    int r = state_load(esp_fd, &state, err);
    if (r < 0 || (!state.has_entry[slot] && state.env.good != letter(slot) && state.env.trial != letter(slot)))
        return r;
    r = require_other(&state, slot, err);
    struct grubenv env = state.env;
    env.good = letter(boot_slot_other(slot));
    drop_trial(&env, slot);
    if (r == 0)
        r = state_save(esp_fd, &state, env, err);
    return r < 0 ? r : esp_remove(esp_fd, entries[slot].path, err);
}

static int grub_publish(int esp_fd, enum boot_slot slot, const struct boot_generation *generation, unsigned tries, struct err *err) {
    struct state state;
    cleanup_buf struct buf text = {0};
    if (tries < 1 || tries > GRUBENV_MAX_TRIES)
        return err_set(err, -EINVAL, "boot entry: %u tries", tries);
    int r = grubenv_format_cmdline(generation->cmdline, &text, err);
    if (r == 0)
        r = state_load(esp_fd, &state, err);
    if (r == 0)
        r = require_other(&state, slot, err);
    if (r == 0) // an earlier trial's tries are not for the entry that is being written
        r = grub_remove(esp_fd, slot, err);
    if (r == 0)
        r = esp_write_text(esp_fd, entries[slot].path, buf_str(&text), err);
    if (r == 0)
        r = state_load(esp_fd, &state, err);
    if (r < 0)
        return r;
    struct grubenv env = {.good = letter(boot_slot_other(slot)), .trial = letter(slot), .tries_left = tries};
    return state_save(esp_fd, &state, env, err);
}

static int grub_commit(int esp_fd, enum boot_slot slot, struct err *err) {
    struct state state;
    int r = state_load(esp_fd, &state, err);
    if (r < 0)
        return r;
    if (!state.has_entry[slot])
        return err_set(err, -ENOENT, "ESP: there is no %s", entries[slot].path);
    struct grubenv env = state.env;
    drop_trial(&env, slot);
    env.good = letter(slot);
    env.tries_left = 0; // of the other slot, should it be on trial: this one is started first
    return state_save(esp_fd, &state, env, err);
}

static int grub_reject(int esp_fd, enum boot_slot slot, struct err *err) {
    struct state state;
    int r = state_load(esp_fd, &state, err);
    if (r < 0 || !state.has_entry[slot])
        return r;
    r = require_other(&state, slot, err);
    struct grubenv env = state.env;
    env.good = letter(boot_slot_other(slot));
    env.tries_done = env.trial == letter(slot) ? env.tries_done : 0;
    env.trial = letter(slot);
    env.tries_left = 0;
    return r < 0 ? r : state_save(esp_fd, &state, env, err);
}

int boot_grub_reconcile(int esp_fd, const struct boot_entries *other_backend, struct err *err) {
    struct state state;
    int r = state_load(esp_fd, &state, err);
    if (r < 0)
        return r;
    struct grubenv env = state.env;
    const struct boot_entry *a = &other_backend->slots[BOOT_SLOT_A], *b = &other_backend->slots[BOOT_SLOT_B];
    bool is_b_first = b->state == BOOT_GOOD && (a->state != BOOT_GOOD || b->order > a->order);
    if (!state.is_valid && is_b_first && state.has_entry[BOOT_SLOT_B])
        env.good = letter(BOOT_SLOT_B);
    return state_save(esp_fd, &state, env, err);
}

const struct boot_backend boot_grub = {
    .name = "grub",
    .load = grub_load,
    .remove = grub_remove,
    .publish = grub_publish,
    .commit = grub_commit,
    .reject = grub_reject,
    .altered = grub_altered,
};
