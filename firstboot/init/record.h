// SPDX-License-Identifier: Apache-2.0
// What this boot was, for the running system: /run/webops/boot. Keys: docs/FORMATS.md, "Boot record".
#pragma once
#include "firstboot/init/boot.h"

#define RECORD_PATH BOOT_RUN "/boot"
#define RECORD_MAX_BYTES 8192

// config.env syntax. Returns the size; -EFBIG when it does not fit.
int record_format(const struct boot *boot, char ret_text[RECORD_MAX_BYTES]) must_check nonnull(1);
