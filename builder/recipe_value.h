// SPDX-License-Identifier: Apache-2.0
// The texts that YAML gives → numbers, sizes and file modes. The whole text must be one; complaints are recipe_complain()'s. Internal to recipe_*.c.
#pragma once
#include "builder/recipe_line.h"
#include <stdint.h>

// Decimal, from `min` to `max` (INT64_MAX: without an end), without zeros in front: whether 010 is 10 or 8 is a matter of who reads it.
int recipe_take_number(const struct recipe_place *place, const char *key, const char *text, int64_t min, int64_t max,
                       int64_t *ret_number) must_check nonnull(1, 2, 3, 6);
// Octal, with or without a 0 in front, at most 07777.
int recipe_take_mode(const struct recipe_place *place, const char *key, const char *text, unsigned *ret_mode) must_check
    nonnull(1, 2, 3, 4);
// A size such as 512M, a multiple of `unit` bytes, at most 16T; a NULL `text` leaves *ret_bytes as it is.
int recipe_take_size(const struct recipe_place *place, const char *key, const char *text, uint64_t unit, uint64_t *ret_bytes) must_check
    nonnull(1, 2, 5);
