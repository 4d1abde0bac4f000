// SPDX-License-Identifier: Apache-2.0
// How a disk begins while an image is being written to it: in the place of the boot code, before there is a partition table.
#pragma once

#define FLASH_MARK "webops-image flash: not finished\n"
