# SPDX-License-Identifier: Apache-2.0
# Everything around the programs: dependencies, quickstart, checks, scenarios in QEMU, benchmarks, installation.
FUZZ_SECONDS ?= 30
# A machine of the scenarios keeps one processor busy in software emulation, and a second one while it boots.
PYTEST ?= $(PYTHON) -B -m pytest -v -rs -n $(shell nproc) --dist loadgroup --durations 20
PYTEST_ARGS ?=
CLANG = clang
FUZZ_FLAGS = -std=gnu17 -D_GNU_SOURCE -I. -DWEBOPS_VERSION='"$(VERSION)"' -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZERS = $(patsubst $(O)/%,%,$(foreach test,$(UNIT_TESTS),$(if $(findstring /fuzz_,$(test)),$(test))))

help: ## this list
	@echo "make TARGET, one of:"
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## \(.*\)/  \1	\2/p' $(MAKEFILE_LIST) | sort -u | expand -t 16

deps: ## install the Debian packages that building, testing and lint need
	scripts/install-deps

quickstart: ## bake an image, boot it, show what was applied (KEEP=1 keeps it running)
	@scripts/quickstart

# One step after the other, each of them parallel inside; the scenarios come last, so that their summary is the last line.
check: ## everything: dependencies, programs, unit tests, lint, QEMU scenarios
	scripts/install-deps
	$(MAKE) --no-print-directory -j$(shell nproc) programs unit-tests
	$(MAKE) --no-print-directory unit
	$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory qemu

qemu: programs $(SYSCALL_FAULTS) ## the QEMU scenarios only (PYTEST_ARGS='-k boot')
	$(PYTEST) -m 'not full' $(PYTEST_ARGS) qemu-tests

# The machines' scenarios with images of other distributions: docs/DISTRIBUTIONS.md says where their packages come from.
DISTRIBUTIONS ?= debian-11 debian-13 ubuntu-24.04 rocky-9
check-distributions: programs ## the scenarios of machines on each of DISTRIBUTIONS instead of Debian 12; a quarter of an hour each
	for each in $(DISTRIBUTIONS); do DISTRIBUTION=$$each $(PYTEST) -m 'not full' $(PYTEST_ARGS) qemu-tests || exit 1; done

check-full: programs $(SYSCALL_FAULTS) ## all scenarios, those that take too long for `make check` among them, on all distributions, and all power cuts; hours
	$(PYTEST) $(PYTEST_ARGS) qemu-tests
	$(MAKE) --no-print-directory check-distributions
	$(MAKE) --no-print-directory check-powercut

# Records an update and its trial, replays every power cut, judges all and boots some of the disks it could have left; docs/RELIABILITY.md.
check-powercut: programs ## all power cuts, both firmwares, about an hour (POWERCUT_ARGS='--firmware uefi --boots 5')
	cd qemu-tests && $(PYTHON) -B -u -m powercut $(POWERCUT_ARGS)

# Three machines that are one database: killed, hung, cut off, all switched off at once; about 40 minutes without hardware virtualisation.
check-patroni: programs ## the scenarios of a PostgreSQL cluster on three machines (FAILOVERS=5 measures each kind five times)
	$(PYTEST) $(PYTEST_ARGS) qemu-tests/test_patroni.py

demo-patroni: programs ## three machines, one database: see the leader fail and another take over (KEEP=1 keeps them running)
	@scripts/demo-patroni

lint: programs ## compiler analysis, clang-tidy, cppcheck, shellcheck, spelling, formatting, house rules, documentation
	scripts/lint

format: ## rewrite all C files in the house's format
	clang-format -i $(shell git ls-files '*.c' '*.h')

bench: programs $(O)/bench-delta ## measure and print the table of docs/BENCHMARKS.md
	scripts/bench

# Each parser under libFuzzer for FUZZ_SECONDS, starting from its committed corpus; crashes are left in build/fuzz/.
fuzz: ## run every fuzzer for FUZZ_SECONDS (30) each
	@mkdir -p $(O)/fuzz
	@for fuzzer in $(FUZZERS); do $(MAKE) --no-print-directory $(O)/fuzz/$$fuzzer || exit 1; \
	    corpus=$$(dirname $$fuzzer)/corpus/$$(basename $$fuzzer | sed 's/^fuzz_//'); \
	    mkdir -p $(O)/fuzz/corpus/$$fuzzer; \
	    $(O)/fuzz/$$fuzzer -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=0 -verbosity=0 \
	        -artifact_prefix=$(O)/fuzz/ $(O)/fuzz/corpus/$$fuzzer $$corpus || exit 1; \
	    echo "$$fuzzer: $(FUZZ_SECONDS) s, nothing found"; done

define fuzz_room
$(O)/fuzz/$(1)/test/fuzz_%: $(1)/test/fuzz_%.c $(filter-out %/main.c,$(sort $(2) $(COMMON_SOURCES)))
	@mkdir -p $$(@D)
	$(CLANG) $(FUZZ_FLAGS) -o $$@ $$^ $(3)
endef
$(eval $(call fuzz_room,common,,$(COMMON_LIBS)))
$(eval $(call fuzz_room,builder,$(BUILDER_SOURCES),$(BUILDER_LIBS)))
$(eval $(call fuzz_room,builder/flash,$(BUILDER_SOURCES),$(BUILDER_LIBS)))
$(eval $(call fuzz_room,firstboot,$(FIRSTBOOT_SOURCES),$(FIRSTBOOT_LIBS)))
$(eval $(call fuzz_room,firstboot/update,$(FIRSTBOOT_SOURCES),$(FIRSTBOOT_LIBS)))
$(eval $(call fuzz_room,firstboot/fetch,$(FETCH_SOURCES),$(FETCH_LIBS)))
$(eval $(call fuzz_room,firstboot/verify,$(VERIFY_SOURCES),$(VERIFY_LIBS)))
$(eval $(call fuzz_room,firstboot/http,$(HTTP_SOURCES),$(HTTP_LIBS)))
$(eval $(call fuzz_room,firstboot/init,$(INIT_SOURCES),$(COMMON_LIBS)))

SHARE = $(DESTDIR)$(PREFIX)/share/webops
DOC = $(DESTDIR)$(PREFIX)/share/doc/webops
LIBEXEC = $(DESTDIR)$(PREFIX)/libexec/webops

install: programs ## install to DESTDIR and PREFIX (/usr/local)
	install -D -m 0755 $(O)/webops-image $(DESTDIR)$(PREFIX)/bin/webops-image
	for program in $(MACHINE_PROGRAMS) $(addprefix bundled/,$(MACHINE_PROGRAMS)) webops-flash dnf-resolve init restart.efi webops-guestfs; do install -D -m 0755 $(O)/$$program $(LIBEXEC)/$$program || exit 1; done
	cp -R --preserve=mode $(O)/bundled/runtime $(LIBEXEC)/bundled/
	ln -f $(LIBEXEC)/webops-flash $(LIBEXEC)/bundled/webops-flash
	for file in $$(git ls-files images overlays profiles 2>/dev/null || find images overlays profiles -type f -o -type l); do \
	    mkdir -p $(SHARE)/$$(dirname $$file) && cp -P --preserve=mode $$file $(SHARE)/$$file || exit 1; done
	for page in $(wildcard docs/*.md docs/stacks/*.md); do install -D -m 0644 $$page $(DOC)/$${page#docs/} || exit 1; done
	for page in $(wildcard man/*.[1-8]); do install -D -m 0644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$$(basename $$page) || exit 1; done

clean: ## remove what was built (not the cache)
	rm -rf $(O) out

.PHONY: help deps quickstart check check-full check-distributions check-powercut check-patroni demo-patroni qemu lint format bench fuzz install clean
