// SPDX-License-Identifier: Apache-2.0
// A table of words; then filters, one after the other.
#include "common/diskrule.h"
#include "common/schema_types.h"
#include <errno.h>
#include <string.h>

static bool take_text(char *field, const char *value) {
    if (*field || !*value)
        return false;
    return snprintf(field, DISKRULE_TEXT_BYTES, "%s", value) < DISKRULE_TEXT_BYTES;
}

static bool take_serial(struct diskrule *rule, const char *value) {
    return take_text(rule->serial, value);
}
static bool take_path(struct diskrule *rule, const char *value) {
    return strncmp(value, "/dev/", 5) == 0 && value[5] && !strstr(value, "/../") && take_text(rule->path, value);
}
static bool take_by(struct diskrule *rule, const char *value) {
    return take_text(rule->by, value);
}
static bool take_size(uint64_t *field, uint64_t unset, const char *value) {
    int64_t bytes;
    if (*field != unset || !schema_parse_number(value, true, &bytes) || bytes <= 0)
        return false;
    *field = (uint64_t)bytes;
    return true;
}
static bool take_min(struct diskrule *rule, const char *value) {
    return take_size(&rule->min_bytes, 0, value);
}
static bool take_max(struct diskrule *rule, const char *value) {
    return take_size(&rule->max_bytes, UINT64_MAX, value);
}
static bool take_pick(struct diskrule *rule, enum diskrule_pick pick, const char *value) {
    if (rule->pick != DISKRULE_ONLY || *value)
        return false;
    rule->pick = pick;
    return true;
}
static bool take_smallest(struct diskrule *rule, const char *value) {
    return take_pick(rule, DISKRULE_SMALLEST, value);
}
static bool take_largest(struct diskrule *rule, const char *value) {
    return take_pick(rule, DISKRULE_LARGEST, value);
}

static const struct {
    const char *head;
    bool (*take)(struct diskrule *rule, const char *value);
} words[] = {
    {"serial=", take_serial}, {"path=", take_path},        {"by=", take_by},          {"size>=", take_min},
    {"size<=", take_max},     {"smallest", take_smallest}, {"largest", take_largest},
};

static bool take_word(struct diskrule *rule, const char *word) {
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strncmp(word, words[i].head, strlen(words[i].head)) == 0)
            return words[i].take(rule, word + strlen(words[i].head));
    return false;
}

int diskrule_parse(const char *text, struct diskrule *ret_rule, struct err *err) {
    struct diskrule rule = {.max_bytes = UINT64_MAX};
    const char *item;
    size_t size, count = 0;
    for (const char *cursor = text; (item = schema_next_word(&cursor, &size)); count++) {
        char word[DISKRULE_TEXT_BYTES + 8];
        snprintf(word, sizeof(word), "%.*s", (int)size, item);
        if (size >= sizeof(word) || !take_word(&rule, word))
            return err_set(err, -EINVAL, "'%.60s' is no word of a disk rule, or stands there twice", word);
    }
    if (!count)
        return err_set(err, -EINVAL, "a disk rule without a word chooses nothing");
    *ret_rule = rule;
    return 0;
}

static bool is_named(const struct diskrule *rule) {
    return *rule->serial || *rule->path;
}

bool diskrule_is_lasting(const struct diskrule *rule) {
    return *rule->serial || strncmp(rule->path, "/dev/disk/", strlen("/dev/disk/")) == 0;
}

static bool fits(const struct diskrule *rule, const struct diskrule_disk *disk) {
    if ((*rule->serial && strcmp(rule->serial, disk->serial) != 0) || (*rule->path && strcmp(rule->path, disk->path) != 0) ||
        (*rule->by && strcmp(rule->by, disk->by) != 0) || disk->bytes < rule->min_bytes || disk->bytes > rule->max_bytes)
        return false;
    if (is_named(rule))
        return true;
    // The stick with the configuration must not be what "smallest" means.
    return !disk->is_medium && !disk->is_seed && ((!disk->is_removable && strcmp(disk->by, "usb") != 0) || strcmp(rule->by, "usb") == 0);
}

// Below zero: `a` is preferred.
static int compare(enum diskrule_pick pick, const struct diskrule_disk *a, const struct diskrule_disk *b) {
    int order = a->bytes < b->bytes ? -1 : a->bytes > b->bytes;
    return pick == DISKRULE_ONLY ? 0 : pick == DISKRULE_SMALLEST ? order : -order;
}

int diskrule_choose(const struct diskrule *rule, const struct diskrule_disk *disks, size_t count, size_t *ret_index, struct err *err) {
    const struct diskrule_disk *found = NULL, *rival = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!fits(rule, &disks[i]))
            continue;
        int order = found ? compare(rule->pick, &disks[i], found) : -1;
        if (order < 0) {
            found = &disks[i];
            rival = NULL;
        } else if (order == 0 && !rival) {
            rival = &disks[i];
        }
    }
    if (!found)
        return err_set(err, -ENOENT, "no disk fits the rule");
    if (rival)
        return err_set(err, -ENOTUNIQ, "the rule fits %s and %s: make it narrower, best by %s", found->path, rival->path,
                       *rule->serial ? "path=/dev/disk/by-path/…" : "serial=");
    if (found->excluded)
        return err_set(err, -EPERM, "%s: %s", found->path, found->excluded);
    *ret_index = (size_t)(found - disks);
    return 0;
}
