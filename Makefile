# calco: one Makefile for everything. "make help" lists what can be asked.

PREFIX  ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC      := gcc
endif
SAN     ?=
comma   := ,
B       := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))

VERSION := 0.1.0

LIBS    := libcrypto libzstd libdeflate libxxhash blkid libcryptsetup
# Several SHA-256 at once; the library exists for x86-64 only, and without it libcrypto does the work.
ifeq ($(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null))),x86_64)
IPSEC_MB := 1
endif
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wno-format-nonliteral
CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCALCO_VERSION='"$(VERSION)"' $(if $(IPSEC_MB),-DHAVE_IPSEC_MB)
SAN_FLAGS = $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
# Asked for on first use, once: "make deps" must work before pkg-config is installed.
PKG_CFLAGS = $(eval PKG_CFLAGS := $(shell pkg-config --cflags $(LIBS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $(shell pkg-config --libs $(LIBS)) $(if $(IPSEC_MB),-lIPSec_MB))$(PKG_LIBS)
CHECK_LIBS = $(eval CHECK_LIBS := $(shell pkg-config --libs check))$(CHECK_LIBS)
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(SAN_FLAGS) $(PKG_CFLAGS) -pthread
ALL_LDFLAGS = $(LDFLAGS) $(SAN_FLAGS) -pthread

Q       := $(if $(V),,@)
# For "make check" and "make demo" without -j: all cores.
SUBMAKE  = $(MAKE) --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))
say      = $(if $(V),,@echo "  $(1)")

LIB_SRC  := $(wildcard base/*.c fsdrivers/*.c fsdrivers/*/*.c imager/*/*.c)
CMD_SRC  := $(wildcard cmd/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
TOOL_SRC := $(wildcard tests/tools/*.c)
MAN      := $(wildcard docs/man/*.[1-9])

LIB      := $(B)/libcalco.a
PROGRAM  := $(B)/calco
# Those that take longest come first, so that in the end no processor waits for one of them.
SLOW     := exfat btrfs lies unreadable ntfs f2fs xfs xfs_state exact ext bits core
UNITS    := $(UNIT_SRC:%.c=$(B)/%)
UNITS    := $(filter $(UNITS),$(SLOW:%=$(B)/tests/unit/test_%)) $(filter-out $(SLOW:%=$(B)/tests/unit/test_%),$(UNITS))
FUZZERS  := $(FUZZ_SRC:%.c=$(B)/%)
ENGINES  := $(FUZZ_SRC:tests/fuzz/%.c=build/engine/%)
TOOLS    := $(TOOL_SRC:%.c=$(B)/%)

all: $(PROGRAM) ## build build/calco

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC   $<)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_SRC:%.c=$(B)/%.o)
	$(call say,AR   $@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(PROGRAM): $(CMD_SRC:%.c=$(B)/%.o) $(LIB)
$(UNITS) $(FUZZERS) $(TOOLS): $(B)/%: $(B)/%.o $(LIB)
$(UNITS): LDLIBS += $(CHECK_LIBS)
$(UNITS:%=%.o): CPPFLAGS += -include tests/unit/check_marks.h
$(PROGRAM) $(UNITS) $(FUZZERS) $(TOOLS):
	$(call say,LD   $@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) $(LDLIBS)

# Loaded before the C library by tests that make its calls fail.
PRELOADS := $(patsubst tests/preload/%.c,$(B)/tests/tools/%.so,$(wildcard tests/preload/*.c))
$(PRELOADS): $(B)/tests/tools/%.so: tests/preload/%.c
	@mkdir -p $(@D)
	$(call say,SO   $@)
	$(Q)$(CC) -I. -D_GNU_SOURCE -std=gnu11 $(WARN) -Wno-missing-prototypes -O2 -g -shared -fPIC -o $@ $<

# The same fuzz targets with libFuzzer's engine; everything is compiled anew, instrumented.
build/engine/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,FUZZ $<)
	$(Q)clang $(CPPFLAGS) -std=gnu11 -O1 -g -fsanitize=fuzzer-no-link,address,undefined $(PKG_CFLAGS) -pthread -MMD -MP -c -o $@ $<

build/engine/libcalco.a: $(LIB_SRC:%.c=build/engine/obj/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(ENGINES): build/engine/%: tests/fuzz/%.c build/engine/libcalco.a
	@mkdir -p $(@D)
	$(call say,FUZZ $@)
	$(Q)clang $(CPPFLAGS) -DFUZZ_ENGINE -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined $(PKG_CFLAGS) -pthread -o $@ $^ $(PKG_LIBS)

## --- checking

deps: ## install the Debian packages needed to build and test (as root)
	tests/deps.sh build check boot

check: deps ## build, then every test; installs what is missing first
	+$(Q)$(SUBMAKE) check-all

demo: deps ## capture, verify and restore a small disk, explained step by step
	+$(Q)$(SUBMAKE) $(PROGRAM)
	$(Q)tests/demo.sh $(PROGRAM)

# One after the other, so that what is printed can be read.
check-all: $(PROGRAM) $(UNITS) $(FUZZERS) $(TOOLS) $(PRELOADS)
	$(Q)for step in check-code check-docs unit fuzz-replay; do $(MAKE) --no-print-directory $$step || exit 1; done
	$(Q)for step in unit fuzz-replay; do $(MAKE) --no-print-directory SAN=address,undefined $$step || exit 1; done
	$(Q)for step in check-reader e2e; do $(MAKE) --no-print-directory $$step || exit 1; done
	@echo "all checks passed"

check-code: $(PROGRAM) ## the rules that a program can check: includes, globals, printing, shell scripts
	$(Q)CC="$(CC)" CPPFLAGS='$(CPPFLAGS) $(PKG_CFLAGS)' tests/check-includes.sh
	$(Q)CC="$(CC)" tests/check-code.sh $(B)
	$(Q)tests/check-shell.sh

check-docs: $(PROGRAM) ## manual pages are clean; options, help, manual and completion agree
	$(Q)tests/check-man.sh $(MAN)
	$(Q)tests/check-options.sh $(PROGRAM)
	$(Q)tests/check-reasons.py

unit: $(UNITS) ## build and run the unit tests only; SAN=address,undefined or SAN=thread for sanitizers
	$(Q)printf '%s\n' $(UNITS) | xargs -P "$$(nproc)" -n 1 tests/run-unit.sh

fuzz-replay: $(FUZZERS) $(PROGRAM) ## run every fuzz target over its stored corpus, and over seeds made on the spot
	$(Q)for t in $(FUZZERS); do name=$${t##*/fuzz_}; echo "  FUZZ $$t"; seeds=build/seeds/$$name; \
		if [ -x tests/fuzz/make_$${name}_seeds.sh ] && ! [ -d $$seeds ]; then \
			CALCO=$(CURDIR)/$(PROGRAM) tests/fuzz/make_$${name}_seeds.sh $$seeds.new && mv $$seeds.new $$seeds || exit 1; fi; \
		for c in tests/fuzz/corpus/$$name $$seeds; do if [ -d $$c ]; then $$t $$c >/dev/null || exit 1; fi; done; done

fuzz: $(ENGINES) ## build the fuzz targets with clang's libFuzzer as build/engine/fuzz_*

check-reader: $(PROGRAM) $(TOOLS) ## the independent reader, written from docs/format.md alone
	$(Q)if [ -f tests/reader/test_reader.py ]; then echo "  READER"; CALCO=$(CURDIR)/$(PROGRAM) python3 tests/reader/test_reader.py; fi

e2e: $(PROGRAM) $(TOOLS) ## the tests of the whole program; T="tests/e2e/x.sh ..." for some of them
	$(Q)CALCO=$(CURDIR)/$(PROGRAM) TOOLS=$(CURDIR)/$(B)/tests/tools tests/run-e2e.sh $(T)

check-long: $(PROGRAM) $(TOOLS) $(PRELOADS) ## campaigns that take hours: tests/long/*.sh, and booting in QEMU: tests/boot/*-*.sh
	tests/deps.sh build check boot
	$(Q)for t in $(sort $(wildcard tests/long/*.sh tests/boot/*-*.sh)); do echo "  LONG $$t"; CALCO=$(CURDIR)/$(PROGRAM) TOOLS=$(CURDIR)/$(B)/tests/tools $$t || \
		[ $$? -eq 77 ] || exit 1; done

bench: ## compare speed and size with other programs
	tests/deps.sh build bench
	+$(Q)$(SUBMAKE) $(PROGRAM) $(TOOLS)
	$(Q)CALCO=$(CURDIR)/$(PROGRAM) TOOLS=$(CURDIR)/$(B)/tests/tools tests/bench/run.sh
	$(Q)CALCO=$(CURDIR)/$(PROGRAM) tests/bench/repo.sh

## --- installing

BINDIR  := $(DESTDIR)$(PREFIX)/bin
MANDIR  := $(DESTDIR)$(PREFIX)/share/man
DOCDIR  := $(DESTDIR)$(PREFIX)/share/doc/calco
BASHDIR := $(DESTDIR)$(PREFIX)/share/bash-completion/completions
DOCS    := README.md docs/format.md docs/architecture.md docs/hacking.md docs/benchmarks.md

install: $(PROGRAM) ## install under PREFIX (/usr/local), below DESTDIR if given
	install -D -m 755 $(PROGRAM) $(BINDIR)/calco
	install -D -m 644 cmd/completion.bash $(BASHDIR)/calco
	for m in $(MAN); do install -D -m 644 $$m $(MANDIR)/man$${m##*.}/$${m##*/} || exit 1; done
	for d in $(DOCS); do install -D -m 644 $$d $(DOCDIR)/$${d##*/} || exit 1; done

uninstall: ## remove what install made
	rm -f $(BINDIR)/calco $(BASHDIR)/calco
	for m in $(MAN); do rm -f $(MANDIR)/man$${m##*.}/$${m##*/}; done
	for d in $(DOCS); do rm -f $(DOCDIR)/$${d##*/}; done
	-rmdir $(DOCDIR)

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 24

clean: ## remove build/
	rm -rf build

.PHONY: all deps check demo check-all check-code check-docs unit fuzz-replay fuzz check-reader e2e check-long bench install \
	uninstall help clean
.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
