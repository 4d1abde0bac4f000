# SPDX-License-Identifier: Apache-2.0
# The shared bottom: includes nothing of builder/ or firstboot/.
COMMON_SOURCES = $(wildcard common/*.c)
COMMON_LIBS = -ljansson -lcrypto
# What the init takes from it: no libraries, builds under musl.
INIT_COMMON_SOURCES = common/err.c common/sha256.c common/slot.c
