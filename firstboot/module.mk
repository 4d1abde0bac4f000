# SPDX-License-Identifier: Apache-2.0
# webops with its update engine, the two unprivileged programs that read what comes from outside (one fetches, one verifies), and PID 1 of
# the initramfs.
SANDBOX_SOURCES = firstboot/sandbox.c
FIRSTBOOT_SOURCES = $(filter-out $(SANDBOX_SOURCES),$(wildcard firstboot/*.c)) $(wildcard firstboot/update/*.c) $(wildcard firstboot/stack/*.c)
FIRSTBOOT_LIBS = -ljansson -lcrypto
FETCH_SOURCES = $(wildcard firstboot/fetch/*.c) $(SANDBOX_SOURCES)
FETCH_LIBS = -lcurl -ljansson -lcrypto -lseccomp
VERIFY_SOURCES = $(wildcard firstboot/verify/*.c) $(SANDBOX_SOURCES)
VERIFY_LIBS = -ljansson -lcrypto -lseccomp
INIT_SOURCES = $(wildcard firstboot/init/*.c)
RESTART_SOURCES = firstboot/efi/restart.c
RESTART_FLAGS = -std=gnu17 -I. $(WARNINGS) -Os -ffreestanding -fpic -fshort-wchar -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
                -fcf-protection=none -fno-asynchronous-unwind-tables -fno-ident -fvisibility=hidden
