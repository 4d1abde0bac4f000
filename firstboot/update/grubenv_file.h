// SPDX-License-Identifier: Apache-2.0
// grub/env1 and grub/env2 on the ESP: read both, write both. What is in them is common/grubenv.h's business.
#pragma once
#include "common/grubenv.h"

// 1 and the environment that counts; 0 when neither is valid. *ret_is_whole: both are valid and equal.
int grubenv_file_load(int esp_fd, struct grubenv *ret_env, bool *ret_is_whole, struct err *err) must_check nonnull(2, 3, 4);
// Writes both in place, the second first, each flushed and read back before the other is touched: one of them is valid at any time.
int grubenv_file_save(int esp_fd, const struct grubenv *env, struct err *err) must_check nonnull(2, 3);
