# SPDX-License-Identifier: Apache-2.0
# webops, its unprivileged fetcher, and PID 1 of the initramfs.
FIRSTBOOT_SOURCES = $(wildcard firstboot/*.c)
FIRSTBOOT_LIBS = -ljansson
FETCH_SOURCES = $(wildcard firstboot/fetch/*.c)
FETCH_LIBS = -lcurl -ljansson
INIT_SOURCES = $(wildcard firstboot/init/*.c)
