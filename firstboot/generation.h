// SPDX-License-Identifier: Apache-2.0
// /webops/.webops: what an operator can look at without a tool. versions/<slot> describes the generation that slot ran last, `current`
// points to the running one.
#pragma once
#include "common/config.h"

// 1 = changed, 0 = was right, or there is no boot record.
int generation_publish(int root_fd, const struct config *record, struct err *err) must_check nonnull(2, 3);
