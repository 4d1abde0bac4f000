// SPDX-License-Identifier: Apache-2.0
// Whatever slot_header_parse() accepts must format back to the same 4096 bytes. Mutated inputs rarely carry a fitting id, so every input
// is tried twice: as it is, and with the id made right. The same bytes are also read as the kernel parameter's text.
#include "common/buf.h"
#include "common/test/slot_seed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void round_trip(const uint8_t *data, size_t size) {
    struct slot_header header;
    struct err err;
    uint8_t again[SLOT_HEADER_BYTES];
    if (slot_header_parse(data, size, &header, &err) < 0)
        return;
    if (slot_header_format(&header, again, &err) < 0 || memcmp(again, data, SLOT_HEADER_BYTES) != 0)
        abort();
}

static void round_trip_boot(const uint8_t *data, size_t size) {
    cleanup_buf struct buf text = {0};
    struct slot_boot boot;
    struct err err;
    char again[SLOT_BOOT_TEXT_BYTES];
    buf_add(&text, data, size);
    if (slot_boot_parse(buf_str(&text), &boot, &err) < 0)
        return;
    slot_boot_format(&boot, again);
    if (strcmp(again, buf_str(&text)) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    round_trip(data, size);
    round_trip_boot(data, size);
    if (size >= SLOT_HEADER_BYTES) {
        uint8_t sealed[SLOT_HEADER_BYTES];
        memcpy(sealed, data, sizeof(sealed));
        slot_reseal(sealed);
        round_trip(sealed, sizeof(sealed));
    }
    return 0;
}
