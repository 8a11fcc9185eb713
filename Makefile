# SPDX-License-Identifier: BSD-2-Clause
#
#   make            build/probemeter and everything else, as any user
#   make deps       install what is missing (Debian 12, as root)
#   make run        the sample service under load, watched by the agent: the main job in one command
#   make test       install what is missing, build, run all tests (as root)
#   make test-unit  the tests that need neither root nor network
#   make fuzz TARGET=elf SECONDS=60  look for inputs that break a promise; tests/fuzz has the targets
#   make test-sanitized  the end-to-end tests, at an agent with AddressSanitizer, UndefinedBehaviorSanitizer and asserts
#   make test-packages  builds, judges, installs, upgrades and purges the packages
#   make test-systemd  the package on a booted system: installed, hung, upgraded, stopped, purged
#   make test-kernels  boots other kernels and lets the agent count there
#   make test-arm64 the same for arm64, whose programs `make arm64` builds with Debian's cross compiler, in build/arm64
#   make soak SECONDS=600 SEED=7  services that keep their own truth, while all happens to the agent that may
#   make soak-flood  ten million label sets, ten thousand processes; make soak-exports: an hour of exports at a collector that fails at random
#   make readme     the tables in README and scripts/docs, from the program's own and the picture of costs
#   make install    DESTDIR= PREFIX=/usr/local: program, headers, manual pages, completion, unit
#   make deb        Debian packages, in build/deb; make rpm: RPM packages, in build/rpm; make oci: a container image
#   make tarball    the agent with its libraries, for any distribution
#   make bench      what it costs, next to what else a service could use; needs a quiet machine
#
# V=1 shows the commands.

CLANG ?= clang
CXX ?= g++
PKG_CONFIG ?= pkg-config
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /sbin/bpftool) bpftool)
PROTOC_C ?= protoc-c
B := build
# For another machine: make ARCH=arm64, with the libraries that scripts/tools.sh arm64 unpacked.
ARCH := $(shell uname -m)
ROOT :=
ifneq ($(filter arm64 aarch64,$(ARCH)),)
ifneq ($(shell uname -m),aarch64)
B := build/arm64
ROOT := $(CURDIR)/build/tools/arm64
CC := aarch64-linux-gnu-gcc --sysroot=$(ROOT)
CXX := aarch64-linux-gnu-g++ --sysroot=$(ROOT)
PKG_CONFIG := PKG_CONFIG_LIBDIR=$(ROOT)/usr/lib/aarch64-linux-gnu/pkgconfig:$(ROOT)/usr/share/pkgconfig \
	PKG_CONFIG_SYSROOT_DIR=$(ROOT) pkg-config
LDFLAGS := -Wl,-rpath-link,$(ROOT)/usr/lib/aarch64-linux-gnu
endif
endif
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)')

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all deps run readme bench soak soak-flood soak-exports clean
.PHONY: test test-unit fuzz fuzzers test-headers test-e2e test-sanitized test-packages test-systemd test-kernels test-arm64
all: $(B)/probemeter $(B)/share/made services tests $(B)/e2e/probe_way $(B)/e2e/page_speed

WARN := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes
PACKAGES := libbpf zlib libprotobuf-c libcurl libcap-ng libseccomp libsystemd json-c libmicrohttpd ncursesw
# Looked up when something is compiled, not by `make deps`, which may have to install pkg-config itself.
pkg_cflags = $(shell $(PKG_CONFIG) --cflags $(PACKAGES))
pkg_libs = $(shell $(PKG_CONFIG) --libs $(PACKAGES))
CFLAGS ?= -O2 -g
# A build that differs in what the maps look like, for tests of upgrades: make B=build/other SCHEMA_FLAGS='-DPM_SCHEMA=2 ...'
SCHEMA_FLAGS ?=
AGENT_FLAGS = -std=gnu11 -D_GNU_SOURCE $(SCHEMA_FLAGS) $(WARN) -Wno-overlength-strings -Iinclude -Iuserspace -I$(B)/userspace -MMD -MP

# --- the agent: BPF object, its skeleton, generated protobuf code, C

ARCH_BPF := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(ARCH)))
# asm/ headers of the host compiler, behind everything else.
BPF_INCLUDES = $(if $(ROOT),-idirafter $(ROOT)/usr/include/aarch64-linux-gnu) $(shell $(CLANG) -v -E - </dev/null 2>&1 | sed -n '/<...> search starts here:/,/End of search list./{ s| \(/.*\)|-idirafter \1|p }') \
	-idirafter /usr/include/$(shell $(CC) -dumpmachine)

$(B)/bpf/%.bpf.o: bpf/%.bpf.c Makefile
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_$(ARCH_BPF) -Wall -Wextra -Werror -Iinclude $(BPF_INCLUDES) \
		$(SCHEMA_FLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(B)/userspace/probe.skel.h: $(B)/bpf/probe.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name probe_bpf >$@

$(B)/userspace/otlp.pb-c.c $(B)/userspace/otlp.pb-c.h &: userspace/otlp.proto
	$(call say,PROTO,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(PROTOC_C) --c_out=$(B)/userspace --proto_path=userspace $<

$(B)/userspace/live_page.html $(B)/userspace/live_page.h &: $(wildcard userspace/page/*)
	$(call say,PAGE,$@)
	$(Q)mkdir -p $(@D)
	$(Q)userspace/page/page.sh $(B)/userspace/live_page.html $(B)/userspace/live_page.h

$(B)/userspace/page.o $(B)/unit/page.o: $(B)/userspace/live_page.html

$(B)/userspace/schema.h: $(wildcard bpf/*.h bpf/*.c) scripts/schema.sh
	$(call say,SCHEMA,$@)
	$(Q)mkdir -p $(@D)
	$(Q)scripts/schema.sh bpf >$@

AGENT_SOURCES := $(sort $(wildcard userspace/*.c))
AGENT_OBJECTS := $(AGENT_SOURCES:%.c=$(B)/%.o) $(B)/userspace/otlp.pb-c.o
GENERATED := $(B)/userspace/probe.skel.h $(B)/userspace/schema.h $(B)/userspace/otlp.pb-c.h $(B)/userspace/live_page.h

$(B)/userspace/%.o: userspace/%.c Makefile | $(GENERATED)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(AGENT_FLAGS) $(pkg_cflags) -c $< -o $@

$(B)/userspace/otlp.pb-c.o: $(B)/userspace/otlp.pb-c.c
	$(call say,CC,$@)
	$(Q)$(CC) $(CFLAGS) -I$(B)/userspace -c $< -o $@

$(B)/probemeter: $(AGENT_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $^ $(pkg_libs) -lm -lpthread -o $@

# --- tables of README and scripts/docs, manual pages, completion

LIBRARY_OBJECTS := $(filter-out $(B)/userspace/main.o,$(AGENT_OBJECTS))

$(B)/document: $(patsubst %.c,$(B)/%.o,$(wildcard scripts/document*.c)) $(LIBRARY_OBJECTS)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(pkg_libs) -lm -lpthread -o $@

$(B)/scripts/%.o: scripts/%.c Makefile | $(GENERATED)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(AGENT_FLAGS) $(pkg_cflags) -c $< -o $@

# Manual pages and completion, as they lie below /usr/share
$(B)/share/made: $(B)/document
	$(call say,WRITE,$(@D))
	$(Q)rm -rf $(@D) && for file in $$($< files); do \
		mkdir -p "$(@D)/$$(dirname "$$file")" && $< "$$file" >"$(@D)/$$file" || exit; done
	$(Q)touch $@

# --- installing

PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
VERSION = $(shell sed -n 's/^.define PROBEMETER_VERSION "\(.*\)"/\1/p' include/probemeter/version.h)
root = $(DESTDIR)$(PREFIX)
fill = sed 's|@VERSION@|$(VERSION)|; s|@MAJOR@|$(firstword $(subst ., ,$(VERSION)))|; s|/usr/local/bin/|$(PREFIX)/bin/|'

.PHONY: install deb rpm oci tarball
install: $(B)/probemeter $(B)/share/made
	install -D -m 0755 $(B)/probemeter $(root)/bin/probemeter
	cd include && find probemeter -name '*.h' -exec install -D -m 0644 {} $(abspath $(root))/include/{} \;
	cd $(B)/share && find . -type f ! -name made -exec install -D -m 0644 {} $(abspath $(root))/share/{} \;
	mkdir -p $(root)/share/pkgconfig $(root)/share/cmake/probemeter $(root)/lib/systemd/system $(root)/lib/sysusers.d
	$(fill) scripts/packaging/probemeter.pc.in >$(root)/share/pkgconfig/probemeter.pc
	$(fill) scripts/packaging/probemeterConfigVersion.cmake.in >$(root)/share/cmake/probemeter/probemeterConfigVersion.cmake
	install -m 0644 scripts/packaging/probemeterConfig.cmake $(root)/share/cmake/probemeter/
	$(fill) scripts/systemd/probemeter.service >$(root)/lib/systemd/system/probemeter.service
	install -m 0644 scripts/systemd/probemeter.conf $(root)/lib/sysusers.d/probemeter.conf
	install -D -m 0755 scripts/systemd/probemeter-generator $(root)/lib/systemd/system-generators/probemeter-generator
	install -D -m 0644 scripts/packaging/probemeter.conf $(DESTDIR)$(SYSCONFDIR)/probemeter/probemeter.conf

deb:
	$(Q)scripts/deps.sh build package
	$(Q)scripts/packaging/deb.sh

rpm:
	$(Q)scripts/deps.sh build package
	$(Q)$(MAKE) --no-print-directory $(B)/probemeter $(B)/share/made
	$(Q)rm -rf $(B)/rpm && rpmbuild -bb --build-in-place --nodeps --define '_topdir $(abspath $(B))/rpm' \
		--define 'program_version $(VERSION)' scripts/packaging/probemeter.spec >$(B)/rpm.log 2>&1 || { tail -n 20 $(B)/rpm.log; exit 1; }
	$(Q)find $(B)/rpm -name '*.rpm'

oci: $(B)/probemeter
	$(Q)scripts/packaging/oci.py $(B)/probemeter $(B)/oci
	$(Q)echo $(B)/oci

# For any distribution: linked to find its loader and its libraries where the archive is unpacked. See tarball.py.
TARBALL_PREFIX ?= /opt/probemeter
TARBALL = $(B)/probemeter-$(VERSION)-linux-x86_64.tar.gz

$(B)/tarball/probemeter: $(AGENT_OBJECTS)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -s $^ $(pkg_libs) -lm -lpthread -Wl,--disable-new-dtags,-rpath,$(TARBALL_PREFIX)/lib \
		-Wl,--dynamic-linker=$(TARBALL_PREFIX)/lib/ld-linux-x86-64.so.2 -o $@

tarball: $(B)/probemeter $(B)/tarball/probemeter $(B)/share/made
	$(Q)rm -rf $(B)/tarball/root
	$(Q)$(MAKE) --no-print-directory -s install DESTDIR=$(abspath $(B))/tarball/root PREFIX=$(TARBALL_PREFIX) SYSCONFDIR=$(TARBALL_PREFIX)/etc
	$(Q)scripts/packaging/tarball.py $(B)/probemeter $(B)/tarball/probemeter $(B)/tarball/root$(TARBALL_PREFIX) $(TARBALL)
	$(Q)echo $(TARBALL)

readme: $(B)/document
	$(Q)for page in README.md scripts/docs/*.md; do \
		scripts/readme.sh $< <$$page >$(B)/page.md && { cmp -s $(B)/page.md $$page || cp $(B)/page.md $$page; } || exit; done

# --- sample services

HEADERS := $(wildcard include/probemeter/*.h include/probemeter/integr8scode/*.h)
SCRIPTD_SOURCES := $(sort $(wildcard tests/services/scriptd/*.c))
SMALL_SERVICES := $(patsubst tests/services/%.c,$(B)/services/%,$(wildcard tests/services/*.c)) \
	$(patsubst tests/services/%.cc,$(B)/services/%,$(wildcard tests/services/*.cc))
SERVICE_WARN := -Wall -Wextra -Wpedantic -Werror

.PHONY: services
services: $(B)/services/scriptd $(SMALL_SERVICES)

# What runs in a kernel that tests boot.
.PHONY: guest arm64
guest: $(B)/probemeter $(addprefix $(B)/services/,hammer forker unwind)

arm64:
	$(Q)scripts/deps.sh build arm64
	$(Q)scripts/tools.sh arm64
	$(Q)$(MAKE) --no-print-directory ARCH=arm64 guest

$(B)/services/scriptd: $(SCRIPTD_SOURCES) $(wildcard tests/services/scriptd/*.h) $(HEADERS) Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(CFLAGS) $(SERVICE_WARN) -Iinclude $(SCRIPTD_SOURCES) \
		$(shell pkg-config --cflags --libs libmicrohttpd json-c sqlite3 libcurl) -lpthread -lm -o $@

$(B)/services/%: tests/services/%.c $(HEADERS) Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(CFLAGS) $(SERVICE_WARN) -Iinclude $< -lpthread -lm -o $@

$(B)/services/%: tests/services/%.cc $(HEADERS) Makefile
	$(call say,CXX,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CXX) -std=c++17 $(CFLAGS) $(SERVICE_WARN) -Iinclude $< -lpthread -o $@

# --- unit tests: everything but main() under sanitizers, one program per module

UNIT_FLAGS := -O1 -g -DPROBEMETER_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
UNIT_TESTS := $(patsubst tests/unit/%.c,$(B)/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
UNIT_OBJECTS := $(patsubst userspace/%.c,$(B)/unit/%.o,$(filter-out userspace/main.c,$(AGENT_SOURCES))) $(B)/unit/otlp.pb-c.o

$(B)/unit/%.o: userspace/%.c Makefile | $(GENERATED)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_FLAGS) $(AGENT_FLAGS) $(pkg_cflags) -c $< -o $@

$(B)/unit/otlp.pb-c.o: $(B)/userspace/otlp.pb-c.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_FLAGS) -I$(B)/userspace -c $< -o $@

$(B)/unit/agent.a: $(UNIT_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/unit/test_%: tests/unit/test_%.c $(B)/unit/agent.a $(wildcard tests/unit/*.h) $(HEADERS) Makefile
	$(call say,CC,$@)
	$(Q)$(CC) $(UNIT_FLAGS) $(AGENT_FLAGS) -MF $@.d $(pkg_cflags) $< $(B)/unit/agent.a $(pkg_libs) -lcmocka -lm -lpthread -o $@

# The agent itself with the same checks, for end-to-end tests: it asserts the rules of the data model before each export.
$(B)/unit/probemeter: $(B)/unit/main.o $(B)/unit/agent.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(UNIT_FLAGS) $^ $(pkg_libs) -lm -lpthread -o $@

.PHONY: tests
tests: $(UNIT_TESTS) $(B)/unit/probemeter $(B)/soak/soak

# The exporter alone, without the kernel: thousands of exports against a collector that fails at random.
$(B)/soak/%: tests/soak/%.c $(filter-out $(B)/userspace/main.o,$(AGENT_OBJECTS)) Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(AGENT_FLAGS) -MF $@.d $(pkg_cflags) $< $(filter-out $(B)/userspace/main.o,$(AGENT_OBJECTS)) \
		$(pkg_libs) -lm -lpthread -o $@

# A quarter of it is a week of exports, one every ten seconds, at a collector that is gone.
SOAK_EXPORTS ?= 250000
SOAK_FLOOD ?= 10000000

soak: SECONDS ?= 600
soak: $(B)/probemeter $(B)/services/stress
	$(Q)/usr/bin/python3 -B tests/stress/run.py $(SECONDS) $(SEED)

soak-flood: $(B)/probemeter $(B)/unit/probemeter $(B)/services/crowd
	$(Q)FLOOD=$(SOAK_FLOOD) /usr/bin/python3 -B tests/e2e/test_limits.py
	$(Q)/usr/bin/python3 -B tests/hostile/run.py level_crowd

soak-exports: $(B)/soak/soak
	$(Q)/usr/bin/python3 -B tests/e2e/test_soak.py $(SOAK_EXPORTS) $(SOAK_SEED)

# --- for end-to-end tests: the agent's own code, told what to do

$(B)/e2e/%: tests/e2e/%.c $(filter-out $(B)/userspace/main.o,$(AGENT_OBJECTS)) $(HEADERS) Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(AGENT_FLAGS) -MF $@.d $(pkg_cflags) $(filter %.c %.o,$^) $(pkg_libs) -lm -lpthread -o $@

# --- fuzz targets: libFuzzer, which is clang's, with the same checks

# Nothing is inlined, so that what a run entered has a name.
FUZZ_FLAGS := -O1 -g -fno-inline -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
# Warnings are the other builds' business, by one compiler.
FUZZ_AGENT_FLAGS = -std=gnu11 -D_GNU_SOURCE -w -Iinclude -Iuserspace -I$(B)/userspace -MMD -MP $(pkg_cflags)
FUZZERS := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,$(sort $(wildcard tests/fuzz/*.c)))
FUZZ_OBJECTS := $(patsubst userspace/%.c,$(B)/fuzz/agent/%.o,$(filter-out userspace/main.c,$(AGENT_SOURCES))) $(B)/fuzz/agent/otlp.pb-c.o

$(B)/fuzz/agent/%.o: userspace/%.c Makefile | $(GENERATED)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link $(FUZZ_AGENT_FLAGS) -c $< -o $@

$(B)/fuzz/agent/otlp.pb-c.o: $(B)/userspace/otlp.pb-c.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -I$(B)/userspace -c $< -o $@

$(B)/fuzz/agent.a: $(FUZZ_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/fuzz/%: tests/fuzz/%.c $(B)/fuzz/agent.a Makefile
	$(call say,FUZZ,$@)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer $(FUZZ_AGENT_FLAGS) -MF $@.d $< $(B)/fuzz/agent.a $(pkg_libs) -lm -lpthread -o $@

fuzzers: $(FUZZERS)

TARGET ?= elf

fuzz: SECONDS ?= 60
fuzz: $(B)/fuzz/$(TARGET)
	$(Q)/usr/bin/python3 -B tests/fuzz/run.py --keep $(TARGET) $(SECONDS)

# --- running them: each prints what it checks; scripts/test.sh adds up and stops at nothing

test-unit: $(UNIT_TESTS)
	$(Q)scripts/test.sh unit

test-headers:
	$(Q)scripts/test.sh headers

test-e2e: all
	$(Q)scripts/test.sh e2e

test: deps
	$(Q)$(MAKE) --no-print-directory all fuzzers
	$(Q)scripts/tools.sh
	$(Q)scripts/test.sh unit headers fuzz hostile service e2e stress kernels

deps:
	$(Q)scripts/deps.sh

run:
	$(Q)scripts/deps.sh build service
	$(Q)$(MAKE) --no-print-directory $(B)/probemeter $(B)/services/scriptd
	$(Q)scripts/run.sh

# --- benchmark: what a call costs, next to what else a service could use

BENCH_PROGRAMS := $(B)/bench/attach $(B)/bench/collect $(B)/bench/empty.bpf.o

$(B)/bench/%.bpf.o: tests/bench/%.bpf.c Makefile
	$(call say,BPF,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -g -O2 -target bpf -mcpu=v3 -Wall -Wextra -Werror $(BPF_INCLUDES) -MMD -MP -MT $@ -MF $(@:.o=.d) -c $< -o $@

$(B)/bench/%: tests/bench/%.c $(LIBRARY_OBJECTS) $(HEADERS) Makefile
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(AGENT_FLAGS) -MF $@.d $(pkg_cflags) $< $(LIBRARY_OBJECTS) $(pkg_libs) -lm -lpthread -o $@

bench:
	$(Q)scripts/deps.sh build service bench
	$(Q)$(MAKE) --no-print-directory $(B)/probemeter $(B)/services/scriptd $(BENCH_PROGRAMS)
	$(Q)/usr/bin/python3 tests/bench/bench.py $(BENCH_FLAGS)

# Slower by far, so not in `make test`. What is measured of the agent itself says "skipped".
test-sanitized:
	$(Q)scripts/deps.sh
	$(Q)$(MAKE) --no-print-directory all $(B)/unit/probemeter
	$(Q)scripts/tools.sh
	$(Q)PROBEMETER_TEST_AGENT=$(abspath $(B))/unit/probemeter scripts/test.sh e2e

test-packages:
	$(Q)scripts/deps.sh build service test package
	$(Q)scripts/tools.sh
	$(Q)scripts/tools.sh package
	$(Q)scripts/tools.sh debian
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/test.sh packages

test-systemd:
	$(Q)scripts/deps.sh build service test package
	$(Q)scripts/tools.sh
	$(Q)scripts/tools.sh debian
	$(Q)$(MAKE) --no-print-directory all deb
	$(Q)/usr/bin/python3 -B tests/systemd/test_service.py

test-kernels:
	$(Q)scripts/deps.sh
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/tools.sh
	$(Q)scripts/tools.sh kernels
	$(Q)/usr/bin/python3 -B tests/kernels/run.py --all

test-arm64: arm64
	$(Q)scripts/deps.sh
	$(Q)scripts/tools.sh
	$(Q)/usr/bin/python3 -B tests/kernels/run.py --machine arm64 --all

clean:
	$(Q)rm -rf $(B)

-include $(wildcard $(B)/*.d $(B)/bpf/*.d $(B)/scripts/*.d $(B)/userspace/*.d $(B)/unit/*.d $(B)/e2e/*.d $(B)/bench/*.d $(B)/soak/*.d $(B)/fuzz/*.d $(B)/fuzz/agent/*.d)
