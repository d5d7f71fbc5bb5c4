# calco: one Makefile for everything. "make help" lists what can be asked.

PREFIX  ?= /usr/local
DESTDIR ?=
CC      ?= gcc
SAN     ?=
comma   := ,
B       := build$(if $(SAN),/$(subst $(comma),-,$(SAN)))

VERSION := 0.1.0

LIBS    := libcrypto libzstd libdeflate blkid
CHECK   := check
CFLAGS  ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wno-format-nonliteral
CPPFLAGS += -I. -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DCALCO_VERSION='"$(VERSION)"'
ALL_CFLAGS = -std=gnu11 $(WARN) $(CFLAGS) $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer) \
	$(shell pkg-config --cflags $(LIBS)) -pthread
ALL_LDFLAGS = $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN)) -pthread
LDLIBS  += $(shell pkg-config --libs $(LIBS))

Q       := $(if $(V),,@)

LIB_SRC  := $(wildcard base/*.c fsdrivers/*.c fsdrivers/*/*.c imager/*/*.c)
CMD_SRC  := $(wildcard cmd/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
FUZZ_SRC := $(wildcard tests/fuzz/*.c)
TOOL_SRC := $(wildcard tests/tools/*.c)

LIB      := $(B)/libcalco.a
PROGRAM  := $(B)/calco
UNITS    := $(UNIT_SRC:%.c=$(B)/%)
FUZZERS  := $(FUZZ_SRC:%.c=$(B)/%)
TOOLS    := $(TOOL_SRC:%.c=$(B)/%)

all: $(PROGRAM) ## build build/calco

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC   $<")
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_SRC:%.c=$(B)/%.o)
	$(if $(V),,@echo "  AR   $@")
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(PROGRAM): $(CMD_SRC:%.c=$(B)/%.o) $(LIB)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

$(UNITS): $(B)/%: $(B)/%.o $(LIB)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS) $$(pkg-config --libs $(CHECK))

$(FUZZERS) $(TOOLS): $(B)/%: $(B)/%.o $(LIB)
	$(if $(V),,@echo "  LD   $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LDLIBS)

deps: ## install the Debian packages needed to build and test (as root)
	tests/deps.sh build check

unit: $(UNITS) ## build and run the unit tests only
	$(Q)for t in $(UNITS); do echo "  UNIT $$t"; $$t || exit 1; done

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

clean: ## remove build/
	rm -rf build

.PHONY: all deps unit help clean
.SECONDARY:
-include $(shell find build -name '*.d' 2>/dev/null)
