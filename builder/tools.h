// SPDX-License-Identifier: Apache-2.0
// Which package to install when a tool is missing.
#pragma once
#include "common/cleanup.h"

// Of a program, or of a file that a build needs, by the name that messages call it; NULL = not known.
const char *tools_package(const char *name) must_check nonnull(1);
