// SPDX-License-Identifier: Apache-2.0
// Reads what `systemctl list-units --plain --no-legend` prints. Pure.
#pragma once
#include "common/err.h"

// 0 when the list holds nothing but `ourselves` and what says nothing about the machine (the monitor, the look for updates); else err names the first failed unit, or one that is still starting (-EAGAIN).
int units_judge(const char *list, const char *ourselves, struct err *err) must_check nonnull(1, 2, 3);
