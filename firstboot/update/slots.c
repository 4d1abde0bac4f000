// SPDX-License-Identifier: Apache-2.0
// Two slots, seen from the machine that runs one of them.
#include "firstboot/update/slots.h"
#include "common/digest.h"
#include "common/file.h"
#include "firstboot/report.h"
#include "firstboot/update/esp.h"
#include "firstboot/update/record.h"
#include "firstboot/update/slotdevice.h"
#include <string.h>

static const char *state_word(const struct slot_view *view) {
    if (view->is_running && view->entry.state == BOOT_EMPTY)
        return "good"; // it runs, whatever its entry says
    if (view->journal == JOURNAL_INSTALLING)
        return "installing";
    return boot_state_name(view->entry.state);
}

static bool was_booted(const struct slot_view *view) {
    return view->is_running || view->entry.state == BOOT_GOOD || view->entry.tries_done > 0 || view->attempts.init > 0 ||
           view->attempts.early > 0 || (view->is_rejected && strcmp(view->rejection.stage, "operator") == 0);
}

json_t *slot_view_json(const struct slot_view *view) {
    const struct slot_header *header = &view->header;
    json_t *slot = json_pack("{s:s, s:b, s:b, s:b, s:b}", "state", state_word(view), "running", view->is_running, "written",
                             view->has_header, "booted", was_booted(view), "committed", view->entry.state == BOOT_GOOD);
    if (view->has_header)
        json_object_update_new(slot, json_pack("{s:s, s:s, s:I}", "profile", header->profile, "version", header->version, "sequence",
                                               (json_int_t)header->sequence));
    if (view->entry.state == BOOT_TRIAL)
        json_object_update_new(slot, json_pack("{s:i, s:i}", "tries", (int)(view->entry.tries_left + view->entry.tries_done), "tries_left",
                                               (int)view->entry.tries_left));
    if (view->is_rejected && view->entry.state != BOOT_GOOD) {
        cleanup_free char *why = str_printf("%s: %s%s%s", view->rejection.stage, view->rejection.check, *view->rejection.check ? ": " : "",
                                            view->rejection.reason);
        json_object_set_new(slot, "why", report_text(why));
    }
    return slot;
}

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name)) ?: "";
}

static bool is_set(const json_t *object, const char *name) {
    return json_is_true(json_object_get(object, name));
}

void slot_json_format(const json_t *slot, struct buf *text) {
    const char *state = text_of(slot, "state");
    buf_add_str(text, state);
    if (strcmp(state, "trial") == 0)
        buf_printf(text, ", %lld of %lld tries left%s", (long long)json_integer_value(json_object_get(slot, "tries_left")),
                   (long long)json_integer_value(json_object_get(slot, "tries")),
                   is_set(slot, "running")  ? ""
                   : is_set(slot, "booted") ? ", booted, not committed"
                                            : ", written, not booted yet");
    if (strcmp(state, "installing") == 0)
        buf_add_str(text, ": an update was begun and not finished; `webops update` goes on");
    if (*text_of(slot, "why"))
        buf_printf(text, ": %s", text_of(slot, "why"));
    if (is_set(slot, "running"))
        buf_printf(text, ", runs%s", is_set(slot, "committed") ? "" : ", not committed");
}

static void load_header(int fd, const char *name, struct slot_view *view) {
    uint8_t bytes[SLOT_HEADER_BYTES];
    struct err err;
    view->has_header =
        pread_all(fd, name, bytes, sizeof(bytes), 0, &err) == 0 && slot_header_parse(bytes, sizeof(bytes), &view->header, &err) == 0;
}

// The root hash of what a slot ran last: kept beside /webops for people, enough for a look.
static bool last_hash(int root_fd, enum boot_slot slot, uint8_t ret_hash[32]) {
    cleanup_free char *path = str_printf("webops/.webops/versions/%s", boot_slot_name(slot)), *text = NULL;
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    struct err err;
    size_t size;
    return file_read(root_fd, path, CONFIG_MAX_BYTES, &text, &size, &err) == 0 && config_parse(text, size, &config, &problems) == 0 &&
           record_hash(&config, "ROOT_HASH", ret_hash, &err) == 0;
}

static void load_other(const struct machine *machine, const struct journal *journal, struct slot_view *view) {
    struct slotdevice device;
    struct err err;
    uint8_t hash[32];
    bool is_journals = journal->state != JOURNAL_NONE && journal->slot == view->slot;
    if (slotdevice_open_read(machine->root_fd, &machine->record, view->slot, &device, &err) == 0) {
        load_header(device.fd, device.name, view);
        close(device.fd);
    }
    if (is_journals)
        memcpy(hash, journal->manifest.boot.root_hash, sizeof(hash));
    else if (!last_hash(machine->root_fd, view->slot, hash))
        return;
    view->is_rejected = ledger_find(machine->root_fd, hash, &view->rejection, &err) > 0;
    if (attempts_load(machine->root_fd, hash, &view->attempts, &err) < 0)
        view->attempts = (struct attempts){0};
}

static json_t *load_slot(const struct machine *machine, const struct journal *journal, const struct boot_entries *entries,
                         enum boot_slot slot) {
    struct slot_view view = {.slot = slot, .is_running = slot == machine->running, .entry = entries->slots[slot]};
    struct err err;
    if (journal->state != JOURNAL_NONE && journal->slot == slot)
        view.journal = journal->state;
    if (view.is_running) {
        view.has_header = machine->has_header;
        view.header = machine->header;
        view.is_rejected = ledger_find(machine->root_fd, machine->root_hash, &view.rejection, &err) > 0;
    } else
        load_other(machine, journal, &view);
    json_t *json = slot_view_json(&view);
    rejection_done(&view.rejection);
    return json;
}

json_t *update_status(int root_fd) {
    cleanup_machine struct machine machine = {.root_fd = -1};
    struct boot_entries entries[2];
    struct journal journal;
    struct err err;
    if (machine_load(root_fd, false, &machine, &err) < 0)
        return json_null();
    json_t *status = json_pack("{s:s, s:s, s:b, s:o}", "channel", machine.image.channel, "compatible", machine.image.compatible,
                               "development_keys", machine.image.is_development, "slots", json_null());
    json_t *seen = report_read(root_fd, UPDATE_SEEN_PATH);
    if (seen)
        json_object_set_new(status, "seen", seen);
    cleanup_fd int esp_fd = esp_open(root_fd, &machine.record, false, &err);
    if (esp_fd < 0 || boots_load(esp_fd, entries, &err) < 0 || journal_load(root_fd, &journal, &err) < 0)
        return status;
    json_object_set_new(status, "journal", json_string(journal_state_name(journal.state)));
    json_t *slots = json_object();
    for (int slot = BOOT_SLOT_A; slot < BOOT_SLOTS; slot++)
        json_object_set_new(slots, boot_slot_name((enum boot_slot)slot),
                            load_slot(&machine, &journal, &entries[machine_backend(&machine)], (enum boot_slot)slot));
    json_object_set_new(status, "slots", slots);
    return status;
}

// One word on what was seen, and below it why it is not installed.
static void format_seen(const json_t *seen, struct buf *text) {
    const json_t *refused = json_object_get(seen, "refused");
    const char *failed = text_of(seen, "failed");
    if (!json_is_object(seen))
        return;
    const char *word = is_set(seen, "installed")      ? "is what runs"
                       : json_array_size(refused) > 0 ? "is refused"
                       : is_set(seen, "available")    ? "is available"
                                                      : "nothing could be read";
    const char *version = text_of(seen, "version");
    buf_printf(text, "%-12s ", "update");
    if (*version)
        buf_printf(text, "%s %s ", text_of(seen, "profile"), version);
    buf_printf(text, "%s, seen %s\n", word, text_of(seen, "time"));
    for (size_t i = 0; i < json_array_size(refused); i++)
        buf_printf(text, "%-12s %s\n", i ? "" : "  refused", text_of(json_array_get(refused, i), "text"));
    if (*failed)
        buf_printf(text, "%-12s %s\n", "  failed", failed);
}

void update_status_format(const json_t *status, const json_t *slots, struct buf *text) {
    if (!json_is_object(status))
        return;
    for (int i = BOOT_SLOT_A; i < BOOT_SLOTS && json_is_object(slots); i++) {
        const json_t *slot = json_object_get(slots, boot_slot_name((enum boot_slot)i));
        buf_printf(text, "slot %-7s ", boot_slot_name((enum boot_slot)i));
        if (is_set(slot, "written"))
            buf_printf(text, "%s %s: ", text_of(slot, "profile"), text_of(slot, "version"));
        slot_json_format(slot, text);
        buf_add_str(text, "\n");
    }
    if (!json_is_object(slots))
        buf_printf(text, "%-12s unknown (needs root)\n", "slots");
    format_seen(json_object_get(status, "seen"), text);
    if (is_set(status, "development_keys"))
        buf_printf(text, "%-12s development keys: this image trusts keys that a build made for itself; not for production\n", "trust");
}
