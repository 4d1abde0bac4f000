# SPDX-License-Identifier: Apache-2.0
# Every rule. The module.mk files only name sources and libraries.

PREFIX ?= /usr/local
DESTDIR ?=
O ?= build
VERSION := $(shell cat VERSION)
PYTHON ?= /usr/bin/python3
# Tests and lint start mkfs, e2fsck and the like by name; an ordinary user's PATH does not name their directories.
export PATH := $(PATH):/usr/sbin:/sbin

CC = gcc
MUSL_CC = musl-gcc
TRIPLET := $(shell gcc -dumpmachine)

WARNINGS = -Wall -Wextra -Werror -Wshadow -Wvla -Wformat=2 -Wmissing-prototypes -Wstrict-prototypes -Wundef -Wpointer-arith -Wcast-align \
           -Wwrite-strings -Wimplicit-fallthrough -Wno-format-truncation
COMMON_FLAGS = -std=gnu17 -D_GNU_SOURCE -I. -DWEBOPS_VERSION='"$(VERSION)"' $(WARNINGS) -ffile-prefix-map=$(CURDIR)=. -MMD -MP
HARDENING = -O2 -g -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero \
            -D_FORTIFY_SOURCE=3 -fPIE
LINK_HARDENING = -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
SANITIZE = -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
INIT_FLAGS = -Os -g -fstack-protector-strong -ftrivial-auto-var-init=zero -fno-asynchronous-unwind-tables -ffunction-sections -fdata-sections \
             -idirafter /usr/include -idirafter /usr/include/$(TRIPLET)

all: programs ## the programs

# V=1 shows the command lines of compiler and linker.
Q = $(if $(V),,@)
say = $(if $(V),,@echo "$(1)")

include common/module.mk builder/module.mk firstboot/module.mk

# $(call objects,dir,flavour,sources)
objects = $(patsubst %.c,$(O)/$(1)/%.o,$(2))


$(O)/plain/%.o: %.c VERSION | $(O)
	$(call say,cc $<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(COMMON_FLAGS) $(HARDENING) -c -o $@ $<
$(O)/test/%.o: %.c VERSION | $(O)
	$(call say,cc $<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(COMMON_FLAGS) $(SANITIZE) -c -o $@ $<
$(O)/test/common/sha256.o: SANITIZE += -O2 # the exhaustive tests hash for half a minute otherwise
$(O)/musl/%.o: %.c VERSION | $(O)
	$(call say,cc $<)
	@mkdir -p $(@D)
	$(Q)$(MUSL_CC) $(COMMON_FLAGS) $(INIT_FLAGS) -c -o $@ $<
$(O):
	@mkdir -p $@

$(O)/webops-image: $(call objects,plain,$(BUILDER_SOURCES) $(COMMON_SOURCES))
	$(call say,link $@)
	$(Q)$(CC) $(LINK_HARDENING) -o $@ $^ $(BUILDER_LIBS)
$(O)/webops-guestfs: $(call objects,plain,$(GUESTFS_SOURCES) $(GUESTFS_COMMON_SOURCES))
	$(call say,link $@)
	$(Q)$(CC) $(LINK_HARDENING) -o $@ $^ $(GUESTFS_LIBS)
# The programs of the machine, twice: linked with the libraries of a distribution of the build host's age or newer, and in bundled/ with a loader and
# libraries of their own, for older ones. The rpath is the old kind, because it also holds for libraries of libraries.
RUNTIME = /usr/lib/webops/lib
LINK_BUNDLED = -Wl,--dynamic-linker=$(RUNTIME)/ld-linux-x86-64.so.2,-rpath,$(RUNTIME),--disable-new-dtags
define machine_program
MACHINE_PROGRAMS += $(1)
$(O)/$(1): $(call objects,plain,$(2))
	$$(call say,link $$@)
	$$(Q)$$(CC) $$(LINK_HARDENING) -o $$@ $$^ $(3)
$(O)/bundled/$(1): $(call objects,plain,$(2))
	$$(call say,link $$@)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(LINK_HARDENING) $$(LINK_BUNDLED) -o $$@ $$^ $(3)
endef
$(eval $(call machine_program,webops,$(FIRSTBOOT_SOURCES) $(COMMON_SOURCES),$(FIRSTBOOT_LIBS)))
$(eval $(call machine_program,webops-fetch,$(FETCH_SOURCES) $(COMMON_SOURCES),$(FETCH_LIBS)))
$(eval $(call machine_program,webops-verify,$(VERIFY_SOURCES) $(COMMON_SOURCES),$(VERIFY_LIBS)))
$(eval $(call machine_program,webops-unseal,$(UNSEAL_SOURCES) $(COMMON_SOURCES),$(UNSEAL_LIBS)))
$(eval $(call machine_program,webops-http,$(HTTP_SOURCES) $(HTTP_COMMON_SOURCES),$(HTTP_LIBS)))
$(O)/bundled/runtime: scripts/bundle-runtime $(addprefix $(O)/,$(MACHINE_PROGRAMS))
	$(call say,bundle $@)
	$(Q)scripts/bundle-runtime $@ $(addprefix $(O)/,$(MACHINE_PROGRAMS))
# For systems that have nothing else, so proof here, too. The linker would warn of what OpenSSL could load at run time; nothing of it is used.
$(O)/webops-flash: $(call objects,plain,$(FLASH_SOURCES) $(COMMON_SOURCES))
	$(call say,link $@)
	$(Q)$(CC) -static-pie -Wl,-z,relro,-z,now,-z,noexecstack,--gc-sections,--no-warnings -s -o $@.tmp $^ $(FLASH_LIBS)
	@! readelf -lW $@.tmp | grep -q INTERP || { echo "webops-flash has an interpreter: it is not static" >&2; exit 1; }
	@mv $@.tmp $@
# A static program is the same for every distribution.
$(O)/bundled/webops-flash: $(O)/webops-flash
	@mkdir -p $(@D) && ln -f $< $@
# musl-gcc -static-pie silently makes a dynamic program, so: -static, and proof that there is no interpreter.
$(O)/init: $(call objects,musl,$(INIT_SOURCES) $(INIT_COMMON_SOURCES))
	$(call say,link $@)
	$(Q)$(MUSL_CC) -static -Wl,--gc-sections,-z,noexecstack,-z,noseparate-code -s -o $@.tmp $^
	@! readelf -lW $@.tmp | grep -q INTERP || { echo "init has an interpreter: it is not static" >&2; exit 1; }
	@test $$(stat -c %s $@.tmp) -lt 102400 || { echo "init is not under 100 kB" >&2; exit 1; }
	@mv $@.tmp $@

PROGRAMS = $(O)/restart.efi $(O)/webops-image $(O)/webops-guestfs $(O)/dnf-resolve $(O)/init $(addprefix $(O)/,$(MACHINE_PROGRAMS) webops-flash) \
           $(addprefix $(O)/bundled/,$(MACHINE_PROGRAMS) runtime webops-flash)
programs: $(PROGRAMS)

$(O)/dnf-resolve: builder/dnf/dnf-resolve | $(O)
	$(Q)install -m 0755 $< $@

# EFI/BOOT/BOOTX64.EFI: a PE image made of an ELF one. It has no relocations, so nothing has to apply them: that is proved here.
$(O)/restart.efi: $(RESTART_SOURCES) $(wildcard firstboot/efi/*.h) | $(O)
	$(call say,link $@)
	$(Q)$(CC) $(RESTART_FLAGS) -shared -nostdlib -Wl,-Bsymbolic,-z,noexecstack,--no-undefined,-e,efi_main,--build-id=none,-z,max-page-size=4096 \
	    -o $@.elf $(RESTART_SOURCES)
	@! readelf -rW $@.elf | grep -q R_X86_64 || { echo "restart.efi has relocations" >&2; exit 1; }
	$(Q)SOURCE_DATE_EPOCH=0 objcopy -D -S -j .text -j .rodata -j .reloc -O pei-x86-64 --subsystem efi-app --section-alignment 4096 \
	    --file-alignment 512 $@.elf $@.tmp
	@rm $@.elf
	@mv $@.tmp $@

# Unit tests: <room>/test/{test,fuzz}_<module>.c, each a program of its own, linked with its room's objects but main.o. A room is
# folder, sources, libraries; a fuzzer gets a main of ours here, which runs it over its corpus.
TEST_LIBS = -lcmocka
TEST_SUPPORT = $(O)/test/tests/corpus_main.o
no_main = $(filter-out %/main.o,$(1))
unit_tests = $(patsubst %.c,$(O)/%,$(wildcard $(1)/test/test_*.c $(1)/test/fuzz_*.c))
# Some 170 programs with their sanitizers: lld takes a third of ld's processor time.
link_test = @mkdir -p $(@D) && $(CC) $(SANITIZE) -fuse-ld=lld -o $@ $(filter %.o,$^)

define unit_room
UNIT_TESTS += $(call unit_tests,$(1))
$(O)/$(1)/test/test_%: $(O)/test/$(1)/test/test_%.o $(call no_main,$(call objects,test,$(sort $(2) $(COMMON_SOURCES))))
	$$(link_test) $(TEST_LIBS) $(3)
$(O)/$(1)/test/fuzz_%: $(O)/test/$(1)/test/fuzz_%.o $(TEST_SUPPORT) $(call no_main,$(call objects,test,$(sort $(2) $(COMMON_SOURCES))))
	$$(link_test) $(3)
endef
$(eval $(call unit_room,common,,$(COMMON_LIBS)))
$(eval $(call unit_room,builder,$(BUILDER_SOURCES),$(BUILDER_LIBS)))
$(eval $(call unit_room,builder/dnf,$(BUILDER_SOURCES),$(BUILDER_LIBS)))
$(eval $(call unit_room,builder/flash,$(BUILDER_SOURCES),$(BUILDER_LIBS)))
$(eval $(call unit_room,builder/upload,$(BUILDER_SOURCES),$(BUILDER_LIBS)))
$(eval $(call unit_room,builder/vendor,$(BUILDER_SOURCES),$(BUILDER_LIBS)))
$(eval $(call unit_room,firstboot,$(FIRSTBOOT_SOURCES),$(FIRSTBOOT_LIBS)))
$(eval $(call unit_room,firstboot/update,$(FIRSTBOOT_SOURCES),$(FIRSTBOOT_LIBS)))
$(eval $(call unit_room,firstboot/installer,$(FIRSTBOOT_SOURCES),$(FIRSTBOOT_LIBS)))
$(eval $(call unit_room,firstboot/stack,$(FIRSTBOOT_SOURCES),$(FIRSTBOOT_LIBS)))
$(eval $(call unit_room,firstboot/fetch,$(FETCH_SOURCES),$(FETCH_LIBS)))
$(eval $(call unit_room,firstboot/verify,$(VERIFY_SOURCES),$(VERIFY_LIBS)))
$(eval $(call unit_room,firstboot/unseal,$(UNSEAL_SOURCES),$(UNSEAL_LIBS)))
$(eval $(call unit_room,firstboot/http,$(HTTP_SOURCES),$(HTTP_LIBS)))
$(eval $(call unit_room,firstboot/init,$(INIT_SOURCES),$(COMMON_LIBS)))

# Runs for minutes, so a scenario (qemu-tests/test_syscalls.py) and no unit test; what it lets fail is the real program.
SYSCALL_FAULTS = $(O)/firstboot/update/test/syscall_faults
$(SYSCALL_FAULTS): $(O)/test/firstboot/update/test/syscall_faults.o $(call no_main,$(call objects,test,$(sort $(FIRSTBOOT_SOURCES) $(COMMON_SOURCES))))
	$(link_test) $(TEST_LIBS) $(FIRSTBOOT_LIBS)

unit-tests: $(UNIT_TESTS) $(SYSCALL_FAULTS)

# What scripts/bench measures the update's data path with.
$(O)/bench-delta: $(O)/plain/tests/bench_delta.o $(call no_main,$(call objects,plain,$(FIRSTBOOT_SOURCES) $(COMMON_SOURCES)))
	$(call say,link $@)
	$(Q)$(CC) $(LINK_HARDENING) -o $@ $^ $(TEST_LIBS) $(FIRSTBOOT_LIBS)

# One more than there are processors: some wait for servers, locks and disks.
unit: unit-tests programs ## unit tests and fuzzers over their corpus, with ASan and UBSan
	CMOCKA_MESSAGE_OUTPUT=TAP prove --timer -j $$(($(shell nproc) + 1)) --exec '' $(UNIT_TESTS)

include qemu-tests/module.mk

.PHONY: all programs unit unit-tests
.SECONDARY:

-include $(shell find $(O) -name '*.d' 2>/dev/null)
