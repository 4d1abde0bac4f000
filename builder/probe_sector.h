// SPDX-License-Identifier: Apache-2.0
// The boot sector that proves that an accelerator runs guests: real mode, page tables, long mode, an answer on the debug console, reset.
#pragma once
#include <stdint.h>

#define PROBE_SECTOR_BYTES 512
#define PROBE_SECTOR_ANSWER "webops"

extern const uint8_t probe_sector[PROBE_SECTOR_BYTES];
