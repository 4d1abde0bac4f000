// SPDX-License-Identifier: Apache-2.0
// Journal and ledger records behind their check value: whatever is accepted reads back the same after it was written again.
#include "firstboot/update/journal.h"
#include "firstboot/update/record.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_journal(const char *text, size_t size) {
    struct journal first, second;
    cleanup_buf struct buf again = {0};
    struct err err;
    if (journal_parse(text, size, &first, &err) < 0)
        return;
    if (journal_format(&first, &again, &err) < 0)
        abort();
    if (journal_parse(again.data, again.size, &second, &err) < 0 || second.state != first.state || second.slot != first.slot ||
        second.tries != first.tries || memcmp(second.manifest.boot.root_hash, first.manifest.boot.root_hash, 32) != 0)
        abort();
}

static void try_rejection(const char *text, size_t size) {
    cleanup_rejection struct rejection first = {0}, second = {0};
    cleanup_buf struct buf again = {0};
    struct err err;
    if (rejection_parse(text, size, &first, &err) < 0)
        return;
    rejection_format(&first, &again);
    if (rejection_parse(again.data, again.size, &second, &err) < 0 || second.number != first.number)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t inner;
    struct err err;
    char *text = malloc(size + 1);
    assert(text);
    memcpy(text, data, size);
    text[size] = 0;
    if (record_check(text, size, &inner, &err) == 0 && inner >= size)
        abort();
    if (strlen(text) == size) {
        try_journal(text, size);
        try_rejection(text, size);
    }
    free(text);
    return 0;
}
