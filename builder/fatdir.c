// SPDX-License-Identifier: Apache-2.0
// Microsoft's "FAT32 File System Specification" 1.03, sections 6 and 7.
#include "builder/fatdir.h"
#include "common/le.h"
#include <string.h>
#include <strings.h>

#define ENTRY_BYTES 32
#define ALIAS_BYTES 11
#define LONG_CHARACTERS 13 // of a name in one entry
#define LONG_ENTRIES 20 // at most
#define DATE 0x21 // 1 January 1980: a rescue system's clock says nothing
enum { ATTRIBUTES = 11, CREATED = 16, ACCESSED = 18, CLUSTER_HIGH = 20, CHANGED = 24, CLUSTER_LOW = 26, SIZE = 28, CHECKSUM = 13 };
enum { IS_DIRECTORY = 0x10, IS_ARCHIVE = 0x20, IS_LABEL = 0x08, IS_LONG = 0x0f, ATTRIBUTE_MASK = 0x3f, DELETED = 0xe5, LAST_LONG = 0x40 };

// Where the characters of a long name stand in its entry.
static const uint8_t long_places[LONG_CHARACTERS] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};

// "CONFIG  ENV" → "CONFIG.ENV"
static void short_name(const uint8_t *entry, char ret_name[13]) {
    size_t size = 0;
    for (size_t i = 0; i < ALIAS_BYTES; i++) {
        if (i == 8 && entry[8] != ' ')
            ret_name[size++] = '.';
        if (entry[i] != ' ')
            ret_name[size++] = (char)entry[i];
    }
    ret_name[size] = 0;
}

// Puts this entry's piece of a long name into the whole, which is told from its end to its beginning.
static void collect(const uint8_t *entry, char name[LONG_ENTRIES * LONG_CHARACTERS + 1]) {
    size_t number = entry[0] & 0x1f, at = (number - 1) * LONG_CHARACTERS;
    if (entry[0] & LAST_LONG)
        memset(name, 0, LONG_ENTRIES * LONG_CHARACTERS + 1);
    for (size_t i = 0; number >= 1 && number <= LONG_ENTRIES && i < LONG_CHARACTERS; i++) {
        uint64_t unit = le_get(entry + long_places[i], 2);
        name[at + i] = (char)(unit == 0xffff ? 0 : unit < 0x80 ? unit : '?');
    }
}

bool fatdir_find(const struct fatdir *dir, const char *name, struct fatdir_entry *ret_entry) {
    char long_name[LONG_ENTRIES * LONG_CHARACTERS + 1] = "", alias[13];
    size_t first = 0;
    bool has_long = false;
    for (size_t at = 0; at < dir->size && dir->data[at] != 0; at += ENTRY_BYTES) {
        const uint8_t *entry = dir->data + at;
        if (entry[0] != DELETED && (entry[ATTRIBUTES] & ATTRIBUTE_MASK) == IS_LONG) {
            first = !has_long || entry[0] & LAST_LONG ? at : first;
            collect(entry, long_name);
            has_long = true;
            continue;
        }
        short_name(entry, alias);
        bool is_file = entry[0] != DELETED && !(entry[ATTRIBUTES] & IS_LABEL);
        if (is_file && (strcasecmp(alias, name) == 0 || (has_long && strcasecmp(long_name, name) == 0))) {
            *ret_entry = (struct fatdir_entry){
                .first = has_long ? first : at,
                .last = at,
                .is_directory = entry[ATTRIBUTES] & IS_DIRECTORY,
                .cluster = (uint32_t)(le_get(entry + CLUSTER_HIGH, 2) << 16 | le_get(entry + CLUSTER_LOW, 2)),
            };
            return true;
        }
        has_long = false;
    }
    return false;
}

void fatdir_remove(struct fatdir *dir, const struct fatdir_entry *entry) {
    for (size_t at = entry->first; at <= entry->last; at += ENTRY_BYTES)
        dir->data[at] = DELETED;
}

static uint8_t checksum(const uint8_t alias[ALIAS_BYTES]) {
    uint8_t sum = 0;
    for (size_t i = 0; i < ALIAS_BYTES; i++)
        sum = (uint8_t)((sum >> 1 | sum << 7) + alias[i]);
    return sum;
}

// The first of W~000001, W~000002 … that nobody has: old systems would see it, ours read the long name.
static void make_alias(const struct fatdir *dir, uint8_t ret_alias[ALIAS_BYTES]) {
    struct fatdir_entry entry;
    char name[13];
    for (unsigned number = 1;; number++) {
        snprintf(name, sizeof(name), "W~%06u", number % 1000000);
        if (!fatdir_find(dir, name, &entry))
            break;
    }
    memset(ret_alias, ' ', ALIAS_BYTES);
    memcpy(ret_alias, name, 8);
}

static void format_long(uint8_t *entry, const char *name, size_t number, bool is_last, uint8_t sum) {
    size_t length = strlen(name);
    memset(entry, 0, ENTRY_BYTES);
    entry[0] = (uint8_t)(number | (is_last ? LAST_LONG : 0));
    entry[ATTRIBUTES] = IS_LONG;
    entry[CHECKSUM] = sum;
    for (size_t i = 0; i < LONG_CHARACTERS; i++) {
        size_t at = (number - 1) * LONG_CHARACTERS + i;
        le_put(entry + long_places[i], 2, at < length ? (uint8_t)name[at] : at == length ? 0 : 0xffff);
    }
}

static void format_entry(uint8_t *entry, const uint8_t alias[ALIAS_BYTES], uint8_t attributes, uint32_t cluster, size_t size) {
    memset(entry, 0, ENTRY_BYTES);
    memcpy(entry, alias, ALIAS_BYTES);
    entry[ATTRIBUTES] = attributes;
    le_put(entry + CREATED, 2, DATE);
    le_put(entry + ACCESSED, 2, DATE);
    le_put(entry + CHANGED, 2, DATE);
    le_put(entry + CLUSTER_HIGH, 2, cluster >> 16);
    le_put(entry + CLUSTER_LOW, 2, cluster);
    le_put(entry + SIZE, 4, size);
}

// A zero marks it, or the directory's size does.
static size_t find_end(const struct fatdir *dir) {
    size_t at = 0;
    while (at < dir->size && dir->data[at] != 0)
        at += ENTRY_BYTES;
    return at;
}

static size_t count_parts(const char *name) {
    return (strlen(name) + LONG_CHARACTERS - 1) / LONG_CHARACTERS;
}

size_t fatdir_size_with(const struct fatdir *dir, const char *name) {
    return find_end(dir) + (count_parts(name) + 1) * ENTRY_BYTES;
}

void fatdir_add(struct fatdir *dir, const char *name, bool is_directory, uint32_t cluster, size_t file_bytes) {
    size_t parts = count_parts(name);
    uint8_t alias[ALIAS_BYTES], *entry = dir->data + find_end(dir);
    make_alias(dir, alias);
    for (size_t number = parts; number > 0; number--, entry += ENTRY_BYTES)
        format_long(entry, name, number, number == parts, checksum(alias));
    format_entry(entry, alias, is_directory ? IS_DIRECTORY : IS_ARCHIVE, cluster, file_bytes);
}

void fatdir_begin(struct fatdir *dir, uint32_t own, uint32_t parent) {
    format_entry(dir->data, (const uint8_t *)".          ", IS_DIRECTORY, own, 0);
    format_entry(dir->data + ENTRY_BYTES, (const uint8_t *)"..         ", IS_DIRECTORY, parent, 0);
}
