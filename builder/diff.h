// SPDX-License-Identifier: Apache-2.0
// What differs between two images. Everything that is compared is a list of keys with values; one function compares them all. Pure.
#pragma once
#include "common/cleanup.h"
#include <stddef.h>

struct diff_item {
    char *key, *value;
};

struct diff_list {
    struct diff_item *items;
    size_t count;
};

// Copies both.
void diff_add(struct diff_list *list, const char *key, const char *value) nonnull(1, 2, 3);
// For keys that stand there several times and whose order says something: the value goes behind that of the same key, with a blank between.
void diff_join(struct diff_list *list, const char *key, const char *value) nonnull(1, 2, 3);
void diff_list_done(struct diff_list *list);

struct diff_change { // points into the lists
    const char *key;
    const char *before, *after; // NULL = added, removed
};

// The changes from one list to the other, by key; sorts both. Of a key that a list has several times each counts, and those with the same value
// belong together. The caller frees *ret_changes.
size_t diff_compare(struct diff_list *before, struct diff_list *after, struct diff_change **ret_changes) nonnull(1, 2, 3);

struct buf;
// A heading and one line per change ("+ key  value", "- key  value", "~ key  before → after"); nothing when there is none.
void diff_format(const char *title, const struct diff_change *changes, size_t count, struct buf *text) nonnull(1, 4);

#define cleanup_diff_list cleanup(diff_list_done)
