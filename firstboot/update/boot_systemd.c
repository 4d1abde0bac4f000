// SPDX-License-Identifier: Apache-2.0
// Boot backend systemd-boot: one Type 1 entry per slot in loader/entries. Entries are never renamed: the new one is written and flushed, then
// the old one removed, so each has its own clusters whenever the power goes. The boot loader counts by renaming, that is its own risk.
#include "common/buf.h"
#include "common/file.h"
#include "firstboot/update/boot_backends.h"
#include "firstboot/update/entryname.h"
#include "firstboot/update/esp.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define ENTRIES "loader/entries"
#define ENTRY_MAX_BYTES 4096
#define MAX_FILES 32 // of a slot: more than one is already a leftover
#define TITLE_BYTES 128

// One entry file of ours. Usable: says to start its own slot's UKI; what does not is skipped by the boot loader or was never finished.
struct entry {
    char file[ENTRYNAME_BYTES];
    struct entryname name;
    bool is_usable;
    uint64_t version;
    char title[TITLE_BYTES];
};

struct entries {
    struct entry items[MAX_FILES];
    unsigned count;
    const struct entry *winners[BOOT_SLOTS]; // NULL = none usable
    uint64_t highest; // version of all usable ones
};

static void entry_text(enum boot_slot slot, const char *title, uint64_t version, struct buf *text) {
    buf_printf(text, "title %s\nsort-key webops\nversion %" PRIu64 "\nefi /EFI/webops/%s.efi\n", title, version, boot_slot_name(slot));
}

// The value behind "key " at the start of a line; false when there is none.
static bool find_value(const char *text, const char *key, char *ret_value, size_t capacity) {
    size_t key_size = strlen(key);
    for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        if (strncmp(line, key, key_size) != 0 || (line[key_size] != ' ' && line[key_size] != '\t'))
            continue;
        const char *value = line + key_size + strspn(line + key_size, " \t");
        size_t size = strcspn(value, "\r\n");
        snprintf(ret_value, capacity, "%.*s", (int)(size < capacity ? size : capacity - 1), value);
        return true;
    }
    return false;
}

static int load_entry(int dir_fd, struct entry *entry, struct err *err) {
    cleanup_free char *text = NULL;
    char efi[64], wanted[64], version[32];
    size_t size = 0;
    int r = file_read(dir_fd, entry->file, ENTRY_MAX_BYTES, &text, &size, err);
    if (r == -EFBIG)
        return 0;
    if (r < 0)
        return r;
    snprintf(wanted, sizeof(wanted), "/EFI/webops/%s.efi", boot_slot_name(entry->name.slot));
    entry->is_usable = strlen(text) == size && find_value(text, "efi", efi, sizeof(efi)) && strcmp(efi, wanted) == 0;
    if (find_value(text, "version", version, sizeof(version)))
        entry->version = strtoull(version, NULL, 10);
    if (!find_value(text, "title", entry->title, sizeof(entry->title)))
        snprintf(entry->title, sizeof(entry->title), "webops");
    return 0;
}

static int read_files(int esp_fd, struct entries *entries, struct err *err) {
    int fd = file_open(esp_fd, ENTRIES, O_RDONLY | O_DIRECTORY, 0, err);
    if (fd < 0)
        return err_prefix(err, fd, "ESP");
    cleanup_dir DIR *dir = fdopendir(fd);
    for (struct dirent *file; dir && (file = readdir(dir));) {
        struct entry entry = {0};
        if (!entryname_parse(file->d_name, &entry.name))
            continue;
        if (entries->count == MAX_FILES)
            return err_set(err, -E2BIG, "ESP: " ENTRIES " has more than %d entries of ours", MAX_FILES);
        entryname_format(&entry.name, entry.file);
        int r = load_entry(dirfd(dir), &entry, err);
        if (r < 0)
            return err_prefix(err, r, "ESP: " ENTRIES);
        entries->items[entries->count++] = entry;
    }
    return 0;
}

// Of two entries of a slot the uncounted one counts, because it is written last; then the one with fewer tries left.
static bool is_better(const struct entry *entry, const struct entry *than) {
    if (!than || entry->name.is_counted != than->name.is_counted)
        return !than || !entry->name.is_counted;
    return entry->name.left != than->name.left ? entry->name.left < than->name.left : entry->name.done > than->name.done;
}

static int entries_load(int esp_fd, struct entries *ret_entries, struct err *err) {
    *ret_entries = (struct entries){0};
    int r = read_files(esp_fd, ret_entries, err);
    for (unsigned i = 0; r == 0 && i < ret_entries->count; i++) {
        const struct entry *entry = &ret_entries->items[i];
        const struct entry **winner = &ret_entries->winners[entry->name.slot];
        if (!entry->is_usable)
            continue;
        if (is_better(entry, *winner))
            *winner = entry;
        if (entry->version > ret_entries->highest)
            ret_entries->highest = entry->version;
    }
    return r;
}

static struct boot_entry describe(const struct entry *winner) {
    struct boot_entry entry = {.state = BOOT_EMPTY};
    if (!winner)
        return entry;
    entry.order = winner->version;
    entry.tries_left = winner->name.left;
    entry.tries_done = winner->name.done;
    entry.state = !winner->name.is_counted ? BOOT_GOOD : winner->name.left ? BOOT_TRIAL : BOOT_BAD;
    return entry;
}

static void describe_all(const struct entries *entries, struct boot_entries *ret_entries) {
    for (unsigned i = 0; i < BOOT_SLOTS; i++)
        ret_entries->slots[i] = describe(entries->winners[i]);
}

// Removes the slot's files but `keep` (NULL: all of them).
static int remove_files(int esp_fd, const struct entries *entries, enum boot_slot slot, const char *keep, struct err *err) {
    for (unsigned i = 0; i < entries->count; i++) {
        const struct entry *entry = &entries->items[i];
        if (entry->name.slot != slot || (keep && strcmp(entry->file, keep) == 0))
            continue;
        cleanup_free char *path = str_printf(ENTRIES "/%s", entry->file);
        int r = esp_remove(esp_fd, path, err);
        if (r < 0)
            return r;
    }
    return 0;
}

// Writes the entry and then removes the slot's other ones.
static int replace(int esp_fd, const struct entries *entries, const struct entryname *name, const char *title, uint64_t version,
                   struct err *err) {
    cleanup_buf struct buf text = {0};
    char file[ENTRYNAME_BYTES];
    entryname_format(name, file);
    cleanup_free char *path = str_printf(ENTRIES "/%s", file);
    entry_text(name->slot, title, version, &text);
    int r = esp_write_text(esp_fd, path, buf_str(&text), err);
    return r < 0 ? r : remove_files(esp_fd, entries, name->slot, file, err);
}

static int next_version(const struct entries *entries, uint64_t *ret_version, struct err *err) {
    if (entries->highest == UINT64_MAX)
        return err_set(err, -EOVERFLOW, "ESP: an entry's version is so high that none can come after it");
    *ret_version = entries->highest + 1;
    return 0;
}

static int require_other(const struct entries *entries, enum boot_slot slot, struct err *err) {
    struct boot_entries described;
    describe_all(entries, &described);
    return boot_require_other(&described, slot, err);
}

static int systemd_load(int esp_fd, struct boot_entries *ret_entries, struct err *err) {
    struct entries entries;
    int r = entries_load(esp_fd, &entries, err);
    if (r == 0)
        describe_all(&entries, ret_entries);
    return r;
}

static int systemd_remove(int esp_fd, enum boot_slot slot, struct err *err) {
    struct entries entries;
    int r = entries_load(esp_fd, &entries, err);
    if (r == 0 && entries.winners[slot])
        r = require_other(&entries, slot, err);
    return r < 0 ? r : remove_files(esp_fd, &entries, slot, NULL, err);
}

static int systemd_publish(int esp_fd, enum boot_slot slot, const struct boot_generation *generation, unsigned tries, struct err *err) {
    struct entries entries;
    uint64_t version = 0;
    const struct entryname name = {.slot = slot, .is_counted = true, .left = tries};
    if (tries < 1 || tries > BOOT_MAX_TRIES || strpbrk(generation->title, "\r\n"))
        return err_set(err, -EINVAL, "boot entry: %u tries, title \"%.64s\"", tries, generation->title);
    int r = entries_load(esp_fd, &entries, err);
    if (r == 0)
        r = require_other(&entries, slot, err);
    if (r == 0)
        r = next_version(&entries, &version, err);
    // All of the slot's first: a good entry beside the trial's would be started without counting.
    if (r == 0)
        r = remove_files(esp_fd, &entries, slot, NULL, err);
    entries.count = 0;
    return r < 0 ? r : replace(esp_fd, &entries, &name, generation->title, version, err);
}

// Good and already first: nothing but leftovers to remove. Good but not first: it has to be written anew, which is safe only while the other
// one is good.
static int commit_good(int esp_fd, struct entries *entries, enum boot_slot slot, bool is_first, struct err *err) {
    if (is_first)
        return remove_files(esp_fd, entries, slot, entries->winners[slot]->file, err);
    int r = require_other(entries, slot, err);
    return r < 0 ? r : remove_files(esp_fd, entries, slot, NULL, err);
}

static int systemd_commit(int esp_fd, enum boot_slot slot, struct err *err) {
    struct entries entries;
    const struct entryname name = {.slot = slot};
    int r = entries_load(esp_fd, &entries, err);
    if (r < 0)
        return r;
    const struct entry *winner = entries.winners[slot], *other = entries.winners[boot_slot_other(slot)];
    if (!winner)
        return err_set(err, -ENOENT, "ESP: slot %s has no boot entry", boot_slot_name(slot));
    bool is_first = !other || winner->version > other->version;
    uint64_t version = winner->version;
    if (!is_first)
        r = next_version(&entries, &version, err);
    if (r == 0 && !winner->name.is_counted)
        r = commit_good(esp_fd, &entries, slot, is_first, err);
    if (r < 0 || (is_first && !winner->name.is_counted))
        return r;
    return replace(esp_fd, &entries, &name, winner->title, version, err);
}

static int systemd_reject(int esp_fd, enum boot_slot slot, struct err *err) {
    struct entries entries;
    int r = entries_load(esp_fd, &entries, err);
    const struct entry *winner = r == 0 ? entries.winners[slot] : NULL;
    if (r < 0 || !winner)
        return r;
    r = require_other(&entries, slot, err);
    const struct entryname name = {.slot = slot, .is_counted = true, .done = winner->name.done};
    return r < 0 ? r : replace(esp_fd, &entries, &name, winner->title, winner->version, err);
}

int boot_systemd_reconcile(int esp_fd, struct boot_entries *ret_entries, struct err *err) {
    struct entries entries;
    int r = entries_load(esp_fd, &entries, err);
    for (unsigned i = 0; r == 0 && i < BOOT_SLOTS; i++)
        r = remove_files(esp_fd, &entries, i, entries.winners[i] ? entries.winners[i]->file : NULL, err);
    if (r == 0)
        describe_all(&entries, ret_entries);
    return r;
}

const struct boot_backend boot_systemd = {
    .name = "systemd-boot",
    .load = systemd_load,
    .remove = systemd_remove,
    .publish = systemd_publish,
    .commit = systemd_commit,
    .reject = systemd_reject,
};
