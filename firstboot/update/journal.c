// SPDX-License-Identifier: Apache-2.0
// The journal: our own few values, then the new generation's manifest as flat text behind a line of its own.
#include "firstboot/update/journal.h"
#include "common/file.h"
#include "common/log.h"
#include "firstboot/update/record.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define PATH UPDATE_DIR "/journal"
#define MANIFEST_LINE "# manifest\n"

static const char *const state_names[] = {"none", "installing", "trial", "committed", "rejected"};

const char *journal_state_name(enum journal_state state) {
    return state_names[state];
}

int journal_format(const struct journal *journal, struct buf *text, struct err *err) {
    record_add(text, "STATE", state_names[journal->state]);
    record_add(text, "SLOT", boot_slot_name(journal->slot));
    record_add(text, "FROM_VERSION", journal->from_version);
    record_add_hash(text, "FROM_ROOT_HASH", journal->from_root_hash);
    record_add_number(text, "TRIES", journal->tries);
    record_add_number(text, "STARTED", journal->started);
    record_add_number(text, "CHANGED", journal->changed);
    record_add(text, "WANTS_REBOOT", journal->wants_reboot ? "true" : "false");
    record_add(text, "LOCATION", journal->location);
    buf_add_str(text, MANIFEST_LINE);
    return manifest_format_flat(&journal->manifest, text, err);
}

static int parse_words(const struct config *config, struct journal *journal, struct err *err) {
    char state[16], slot[4], wants[8];
    int r = record_text(config, "STATE", state, sizeof(state), err);
    if (r >= 0)
        r = record_text(config, "SLOT", slot, sizeof(slot), err);
    if (r >= 0)
        r = record_text(config, "WANTS_REBOOT", wants, sizeof(wants), err);
    if (r >= 0)
        r = boot_slot_parse(slot, &journal->slot, err);
    if (r < 0)
        return r;
    journal->wants_reboot = strcmp(wants, "true") == 0;
    for (size_t i = 1; i < ARRAY_SIZE(state_names); i++)
        if (strcmp(state, state_names[i]) == 0) {
            journal->state = (enum journal_state)i;
            return 0;
        }
    return err_set(err, -EINVAL, "STATE is none of the states");
}

static int parse_values(const struct config *config, struct journal *journal, struct err *err) {
    int64_t tries = 0;
    int r = parse_words(config, journal, err);
    if (r >= 0)
        r = record_text(config, "FROM_VERSION", journal->from_version, sizeof(journal->from_version), err);
    if (r >= 0)
        r = record_text(config, "LOCATION", journal->location, sizeof(journal->location), err);
    if (r >= 0)
        r = record_hash(config, "FROM_ROOT_HASH", journal->from_root_hash, err);
    if (r >= 0)
        r = record_number(config, "TRIES", &tries, err);
    if (r >= 0)
        r = record_number(config, "STARTED", &journal->started, err);
    if (r >= 0)
        r = record_number(config, "CHANGED", &journal->changed, err);
    if (r >= 0 && (tries < 1 || tries > 9))
        r = err_set(err, -EINVAL, "TRIES is not 1 to 9");
    journal->tries = (unsigned)tries;
    return r;
}

int journal_parse(const char *text, size_t size, struct journal *ret_journal, struct err *err) {
    const char *line = memmem(text, size, "\n" MANIFEST_LINE, sizeof(MANIFEST_LINE));
    if (!line)
        return err_set(err, -EINVAL, "it has no manifest");
    cleanup_config struct config config = {0};
    cleanup_config_problems struct config_problems problems = {0};
    struct journal journal = {0};
    size_t own = (size_t)(line + 1 - text), skipped = own + sizeof(MANIFEST_LINE) - 1;
    if (config_parse(text, own, &config, &problems) < 0)
        return err_set(err, -EINVAL, "line %u: %s", problems.items[0].line, problems.items[0].text);
    int r = parse_values(&config, &journal, err);
    if (r >= 0)
        r = manifest_parse_flat(text + skipped, size - skipped, &journal.manifest, err);
    if (r < 0)
        return r;
    *ret_journal = journal;
    return 0;
}

int journal_load(int root_fd, struct journal *ret_journal, struct err *err) {
    cleanup_free char *text = NULL;
    *ret_journal = (struct journal){0};
    int r = record_load(root_fd, PATH, &text, err);
    if (r <= 0)
        return r;
    if (journal_parse(text, strlen(text), ret_journal, err) < 0)
        record_put_aside(root_fd, PATH, err->text);
    return 0;
}

int journal_save(int root_fd, const struct journal *journal, struct err *err) {
    cleanup_buf struct buf text = {0};
    int r = journal_format(journal, &text, err);
    return r < 0 ? r : record_save(root_fd, PATH, &text, err);
}

int trial_mark_save(int root_fd, const uint8_t root_hash[32], struct err *err) {
    char line[66];
    if (!root_hash) {
        if (unlinkat(root_fd, TRIAL_MARK_PATH, 0) == 0 || errno == ENOENT)
            return 0;
        return err_sys(err, -errno, "cannot remove /" TRIAL_MARK_PATH);
    }
    hex_format(root_hash, 32, line);
    line[64] = '\n';
    int r = file_mkdirs(root_fd, UPDATE_DIR, 0700, err);
    return r < 0 ? r : file_publish(root_fd, TRIAL_MARK_PATH, line, 65, 0644, err);
}
