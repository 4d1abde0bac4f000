// SPDX-License-Identifier: Apache-2.0
// The value types of config.env: what each accepts, in words and as a function, and the small readers that other code needs too. Pure.
#pragma once
#include "common/schema.h"
#include <netinet/in.h>

struct schema_type_info {
    const char *word; // in stack.yaml
    const char *name; // for docs/CONFIG.md
    const char *expected; // completes "KEY: expected …"; NULL = made from the key (range, choices)
    bool (*is_valid)(const struct schema_key *key, const char *value);
    bool may_be_empty; // an empty value means "none"
};
// Indexed by enum schema_type.
extern const struct schema_type_info schema_types[SCHEMA_TYPES];
// "peer-list" → SCHEMA_PEER_LIST; -1 when unknown.
int schema_type_find(const char *word) must_check nonnull(1);

// The next item of a list in which any byte of `separators` (and blanks at an item's ends) separates; NULL at the end. Moves *cursor.
const char *schema_next_item(const char **cursor, const char *separators, size_t *ret_size) must_check nonnull(1, 2, 3);
#define schema_next_word(cursor, ret_size) schema_next_item(cursor, " ", ret_size)

// An item of a SCHEMA_PEER_LIST. Both point into the text.
struct schema_peer {
    const char *name, *address;
    size_t name_size, address_size;
};
bool schema_parse_peer(const char *item, size_t size, struct schema_peer *ret_peer) must_check nonnull(1, 3);

struct schema_cidr {
    int family; // AF_INET or AF_INET6
    unsigned prefix; // bits; 32 or 128 when the text has none
    uint8_t address[16]; // network order, 4 or 16 bytes used
};
// "192.0.2.7/24" or, without '/', a single address. The text need not end at `size`. False when it is neither.
bool schema_parse_cidr(const char *text, size_t size, struct schema_cidr *ret_cidr) must_check nonnull(1, 3);
// Whether `address` lies in the network of `network`.
bool schema_cidr_contains(const struct schema_cidr *network, const struct schema_cidr *address) nonnull(1, 2);
// Decimal without sign and superfluous zeros; with_suffix allows K, M, G, T behind it.
bool schema_parse_number(const char *text, bool with_suffix, int64_t *ret_number) must_check nonnull(1, 3);
// The shortest text that schema_parse_number() reads back as `number` (not negative).
#define SCHEMA_NUMBER_BYTES 24
void schema_format_number(int64_t number, bool with_suffix, char ret_text[SCHEMA_NUMBER_BYTES]);
