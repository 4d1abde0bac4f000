// SPDX-License-Identifier: Apache-2.0
// Whatever signature_verify() takes must be, byte for byte, one of the signatures that were really made.
#include "common/test/fuzz_trust.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char content[] = "what is signed\n";
    struct err err;
    if (signature_verify(&fuzz_trust, content, strlen(content), data, size, NULL, &err) == 0)
        fuzz_must_be_signed(data, size);
    return 0;
}
