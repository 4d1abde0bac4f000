// SPDX-License-Identifier: Apache-2.0
// Checks of the base keys that need more than one key: networks that fit together, ratios in order.
#pragma once
#include "common/schema.h"

extern schema_rule *const schema_base_rules[]; // NULL-terminated
