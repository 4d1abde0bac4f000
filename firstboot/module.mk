# SPDX-License-Identifier: Apache-2.0
# webops with its update engine, the unprivileged programs that read what comes from outside (one fetches, one verifies, one answers), and PID 1 of
# the initramfs.
SANDBOX_SOURCES = firstboot/sandbox.c
FIRSTBOOT_SOURCES = $(filter-out $(SANDBOX_SOURCES),$(wildcard firstboot/*.c)) $(wildcard firstboot/update/*.c) $(wildcard firstboot/stack/*.c) $(wildcard firstboot/installer/*.c)
FIRSTBOOT_LIBS = -ljansson -lcrypto
FETCH_SOURCES = $(wildcard firstboot/fetch/*.c) $(SANDBOX_SOURCES)
FETCH_LIBS = -lcurl -ljansson -lcrypto -lseccomp
VERIFY_SOURCES = $(wildcard firstboot/verify/*.c) $(SANDBOX_SOURCES)
VERIFY_LIBS = -ljansson -lcrypto -lseccomp
UNSEAL_SOURCES = $(wildcard firstboot/unseal/*.c) $(SANDBOX_SOURCES)
UNSEAL_LIBS = -ljansson -lcrypto -lseccomp
# It needs little of common/, and is linked with nothing else.
HTTP_SOURCES = $(wildcard firstboot/http/*.c) $(SANDBOX_SOURCES)
HTTP_COMMON_SOURCES = common/buf.c common/err.c common/file.c common/log.c common/opt.c
HTTP_LIBS = -ljansson -lcrypto -lseccomp
INIT_SOURCES = $(wildcard firstboot/init/*.c)
RESTART_SOURCES = firstboot/efi/restart.c
RESTART_FLAGS = -std=gnu17 -I. $(WARNINGS) -Os -ffreestanding -fpic -fshort-wchar -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
                -fcf-protection=none -fno-asynchronous-unwind-tables -fno-ident -fvisibility=hidden
