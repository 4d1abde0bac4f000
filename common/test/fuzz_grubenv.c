// SPDX-License-Identifier: Apache-2.0
// Any bytes as a GRUB environment: what is accepted formats to one with the same meaning, and the choice between two is one of them.
#include "common/grubenv.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_same(const struct grubenv *a, const struct grubenv *b) {
    return a->number == b->number && a->good == b->good && a->trial == b->trial && a->tries_left == b->tries_left &&
           a->tries_done == b->tries_done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct grubenv env, again, chosen;
    struct err err;
    uint8_t bytes[GRUBENV_BYTES];
    if (grubenv_parse(data, size, &env, &err) < 0) {
        if (grubenv_choose(data, size, NULL, 0, &chosen, &err) == 0)
            abort();
        return 0;
    }
    grubenv_format(&env, bytes);
    if (grubenv_parse(bytes, sizeof(bytes), &again, &err) < 0 || !is_same(&env, &again))
        abort();
    if (grubenv_choose(data, size, bytes, sizeof(bytes), &chosen, &err) < 0 || !is_same(&chosen, &env))
        abort();
    return 0;
}
