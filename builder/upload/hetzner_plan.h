// SPDX-License-Identifier: Apache-2.0
// What is chosen from what the API offers, and what things are called. Pure.
#pragma once
#include "common/err.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#define HETZNER_ID_DIGITS 32 // of the image's SHA-256, as a label; a value has 63 letters at most
#define HETZNER_NAME_DIGITS 12
#define HETZNER_MAX_OFFERS 8

enum hetzner_arch { HETZNER_X86, HETZNER_ARM };

struct hetzner_wish {
    const char *type, *location; // NULL = the cheapest that fits
    enum hetzner_arch arch; // of the image
    uint64_t image_bytes;
};

// The caller's JSON keeps the strings.
struct hetzner_offer {
    const char *type, *location;
    double price; // per hour, without tax
};

struct hetzner_offers {
    struct hetzner_offer items[HETZNER_MAX_OFFERS]; // cheapest first; the next ones are for when there is none left of the first
    size_t count;
};

// -EINVAL says why a type or location does not fit, and what would.
int hetzner_choose(const json_t *types, const json_t *locations, const struct hetzner_wish *wish, struct hetzner_offers *ret_offers,
                   struct err *err) must_check nonnull(1, 2, 3, 4, 5);
// The system image that the server is made with; it never starts. Debian where there is one.
int hetzner_choose_base(const json_t *images, enum hetzner_arch arch, int64_t *ret_id, struct err *err) must_check nonnull(1, 3, 4);
// A text as a label's value: letters, digits and "._-" between them, 63 at most. The caller frees it.
char *hetzner_label(const char *text) nonnull(1);
const char *hetzner_arch_name(enum hetzner_arch arch);
