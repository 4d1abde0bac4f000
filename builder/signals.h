// SPDX-License-Identifier: Apache-2.0
// Signals that ask us to end, read where it is safe.
#pragma once
#include "common/err.h"

// From here on SIGINT, SIGTERM and SIGHUP end nothing by themselves: they are blocked, and read from the signalfd(2) that is returned, which does not block.
// What is ignored when this is called (nohup, a job in the background) stays so.
int signals_open(struct err *err) must_check nonnull(1);
