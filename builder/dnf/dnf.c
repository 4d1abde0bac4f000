// SPDX-License-Identifier: Apache-2.0
#include "builder/backend.h"
const struct backend dnf_backend = {.name = "dnf"};
