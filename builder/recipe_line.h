// SPDX-License-Identifier: Apache-2.0
// Where in a YAML text a member stands.
#pragma once
#include "common/err.h"

// Line of "files[1].mode", or of the nearest that there is on the way to it; 1 when the text is not even YAML.
unsigned recipe_line(const char *text, size_t size, const char *member) must_check nonnull(3);
// Prefixes `err`, whose text begins with a member, by "NAME:LINE". Returns -EINVAL.
int recipe_stack_complain(const char *text, size_t size, const char *name, struct err *err) nonnull(3, 4);
