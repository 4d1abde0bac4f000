// SPDX-License-Identifier: Apache-2.0
// How far something long is, in words: sizes, percent, rate and remaining time. Pure.
#pragma once
#include "common/cleanup.h"
#include <stddef.h>
#include <stdint.h>

#define METER_SIZE_BYTES 24
// "812 B", "1.5 KiB", "12.3 MiB"; returns ret_text.
const char *meter_size(uint64_t bytes, char ret_text[METER_SIZE_BYTES]);
// 0 … 100; 0 of an unknown total (0).
unsigned meter_percent(uint64_t done, uint64_t total);
#define METER_BYTES 64
// " 37 %  12.3 MiB/s  1:05 left", the percentage padded to three places; no rate and time when the rate (bytes per second) is 0.
void meter_format(uint64_t done, uint64_t total, uint64_t rate, char ret_text[METER_BYTES]);
