# morbench: one Makefile, no recursion into folders, nothing written outside build/ (and results/quickstart).
#   make                      build/release/morbench
#   make CONFIG=asan check    every test under AddressSanitizer and UBSan
#   make ARCH=generic         no intrinsics (what other CPUs get)
comma  := ,
CONFIG ?= release
ARCH   ?= native
REAL   ?= float
PREFIX ?= /usr/local
CC     ?= cc
BUILD_ROOT ?= build

CFLAGS_release := -O3 -g
CFLAGS_debug   := -O0 -g3
CFLAGS_asan    := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CFLAGS_tsan    := -O1 -g -fsanitize=thread
ifeq ($(origin CFLAGS_$(CONFIG)),undefined)
$(error unknown CONFIG '$(CONFIG)': release, debug, asan or tsan)
endif
ifeq ($(filter $(ARCH),native generic),)
$(error unknown ARCH '$(ARCH)': native (SIMD chosen at run time) or generic)
endif
ifeq ($(filter $(REAL),float double),)
$(error unknown REAL '$(REAL)': float or double)
endif

VARIANT := $(CONFIG)$(if $(filter generic,$(ARCH)),-generic)$(if $(filter double,$(REAL)),-double)
BUILD   := $(BUILD_ROOT)/$(VARIANT)
BINARY  := $(BUILD)/morbench
VERSION := 0.1.0

# --- what is installed; asked once, and only complained about in a recipe, since `make deps` runs on a bare machine
# The OpenMP build of OpenBLAS by its own directory: the system's default may be the pthread build, which brings a second
# pool of threads and ignores ours. A plain rpath (not runpath), so that LD_LIBRARY_PATH does not swap it either.
MULTIARCH    := $(shell $(CC) -print-multiarch 2>/dev/null)
OPENBLAS_DIR := $(wildcard /usr/lib/$(MULTIARCH)/openblas-openmp)
PKG_CONFIG   := $(if $(OPENBLAS_DIR),PKG_CONFIG_PATH=$(OPENBLAS_DIR)/pkgconfig:$$PKG_CONFIG_PATH) pkg-config
PKG_NEEDED := openblas jansson libjpeg zlib libcrypto libxxhash
pkg_has     = $(shell $(PKG_CONFIG) --exists $(1) 2>/dev/null && echo yes)
PAPI       := $(firstword $(foreach p,papi papi-7.0,$(if $(call pkg_has,$(p)),$(p))))
SDE        := $(if $(PAPI),$(shell echo '\#include <sde_lib.h>' | $(CC) -E - >/dev/null 2>&1 && echo yes))
PKG_USED   := $(PKG_NEEDED) $(if $(call pkg_has,libpng),libpng) $(PAPI)
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKG_USED) 2>/dev/null)
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKG_USED) 2>/dev/null)
DEFINES    := -D_GNU_SOURCE -DMORBENCH_VERSION='"$(VERSION)"' \
              $(if $(call pkg_has,libpng),-DHAVE_PNG) $(if $(PAPI),-DHAVE_PAPI) $(if $(SDE),-DHAVE_SDE) \
              $(if $(filter double,$(REAL)),-DREAL_DOUBLE)

MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)
INTRINSICS := $(if $(filter native,$(ARCH)),$(if $(filter x86_64%,$(MACHINE)),yes))
DEFINES += $(if $(INTRINSICS),,-DMORBENCH_GENERIC)

# GCC 12.2 for aarch64 crashes where it vectorises a loop that takes a maximum. Loops that matter are written with vectors.
define MAXIMUM
double fmax(double, double); double f(const float *x, int n) { double m = 0; for (int i = 0; i < n; i++) m = fmax(m, x[i]); return m; }
endef
BROKEN_MAXIMUM := $(if $(filter aarch64%,$(MACHINE)),$(shell printf '%s' '$(MAXIMUM)' | $(CC) -O3 -fno-math-errno -fno-trapping-math -x c -c - -o /dev/null 2>/dev/null || echo yes))
COMPILER_FLAGS := $(if $(BROKEN_MAXIMUM),-fno-tree-loop-vectorize)

WARNINGS   := -Wall -Wextra -Wshadow -Wconversion
ALL_CFLAGS := -std=c11 $(CFLAGS_$(CONFIG)) -fno-math-errno -fno-trapping-math -ffp-contract=off -fopenmp -fno-plt $(COMPILER_FLAGS) $(WARNINGS) -I. $(DEFINES) \
              $(PKG_CFLAGS) $(CFLAGS)
ALL_LIBS   := $(PKG_LIBS) $(if $(SDE),-lsde) $(if $(OPENBLAS_DIR),-Wl$(comma)-rpath$(comma)$(OPENBLAS_DIR) -Wl$(comma)--disable-new-dtags) -lm -lpthread $(LDLIBS)

# --- sources
SIMD_ONLY := $(wildcard engine/simd/*_avx2.c engine/simd/*_avx512.c)
LIB_C     := $(wildcard engine/*.c engine/ops/*.c engine/backends/*.c engine/optimizers/*.c models/*.c models/routers/*.c \
                        baselines/*.c harness/*.c harness/datasets/*.c harness/metrics/*.c harness/plots/*.c) \
             $(filter-out $(SIMD_ONLY),$(wildcard engine/simd/*.c)) $(if $(INTRINSICS),$(SIMD_ONLY))
LIB_C     := $(filter-out harness/main.c,$(LIB_C))
LIB_O     := $(LIB_C:%.c=$(BUILD)/%.o)
LIB       := $(BUILD)/libmorbench.a
TEST_C    := $(sort $(wildcard tests/test_*.c))
TESTS     := $(TEST_C:%.c=$(BUILD)/%)
TEST_SH   := $(sort $(wildcard tests/test_*.sh))
TEST_PY   := $(sort $(wildcard tests/test_*.py))
FUZZ_C    := $(sort $(wildcard tests/fuzz/fuzz_*.c))
REPLAYS   := $(FUZZ_C:%.c=$(BUILD)/%)
BENCH_C   := $(wildcard tests/bench/*.c)
BENCHES   := $(BENCH_C:%.c=$(BUILD)/%)
# gradient checks need the same tests in double precision
DOUBLE_TESTS := tests/test_ops tests/test_mor_vit

# as many jobs as CPUs unless told otherwise; commands in full with V=1
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(or $(shell nproc 2>/dev/null),1)
endif
Q    := $(if $(V),,@)
SAY   = $(if $(V),@:,@printf '  %-5s %s\n')

.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all help check tests double-tests warnings deps quickstart benches peers hardware check-aarch64 overhead install clean

all: $(BINARY) ## build the program (default)

# a flag that changes rebuilds everything
FLAGS_NOW := $(strip $(CC) $(ALL_CFLAGS) $(ALL_LIBS))
STAMP     := $(BUILD)/flags
ifneq ($(filter-out help deps clean,$(or $(MAKECMDGOALS),all)),)
ifneq ($(FLAGS_NOW),$(strip $(shell cat $(STAMP) 2>/dev/null)))
$(shell mkdir -p $(BUILD) && printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' > $(STAMP))
endif
endif

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST))

deps: ## install what is missing (Debian, Ubuntu), or say what to install
	@scripts/deps.sh

# says what is missing before the compiler does, and how to get it
$(BUILD)/ready: $(STAMP)
	@command -v $(firstword $(CC)) >/dev/null || { echo "no C compiler '$(firstword $(CC))'; run: make deps" >&2; exit 1; }
	@command -v pkg-config >/dev/null || { echo "pkg-config is missing; run: make deps" >&2; exit 1; }
	@for p in $(PKG_NEEDED); do $(PKG_CONFIG) --exists $$p || { echo "library $$p is missing; run: make deps" >&2; exit 1; }; done
	@touch $@

$(BUILD)/%_avx2.o: ALL_CFLAGS += -mavx2 -mfma
$(BUILD)/%_avx512.o: ALL_CFLAGS += -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx2 -mfma
$(BUILD)/harness/machine.o: ALL_CFLAGS += -DMORBENCH_BUILD_FLAGS='"$(strip -std=c11 $(CFLAGS_$(CONFIG)) -fno-math-errno -fno-trapping-math -ffp-contract=off -fopenmp)"'
# the commit a result names; a file that changes only when it does
COMMIT := $(shell git describe --always --dirty --abbrev=12 2>/dev/null)
ifneq ($(filter-out help deps clean,$(or $(MAKECMDGOALS),all)),)
ifneq ($(COMMIT),$(shell cat $(BUILD)/commit 2>/dev/null))
$(shell mkdir -p $(BUILD) && printf '%s\n' '$(COMMIT)' > $(BUILD)/commit)
endif
endif
$(BUILD)/harness/result.o: $(BUILD)/commit
$(BUILD)/harness/result.o: ALL_CFLAGS += -DMORBENCH_COMMIT='"$(COMMIT)"'

# the drawings of plots, and what makes the page of a report a page, are built into the program
$(patsubst %.c,$(BUILD)/%.o,$(wildcard harness/plots/*.c)) $(BUILD)/harness/figure.o: $(wildcard scripts/plots/*.gp)
$(BUILD)/harness/report_html.o: $(wildcard scripts/report/*)

$(BUILD)/%.o: %.c $(STAMP) | $(BUILD)/ready
	@mkdir -p $(@D)
	$(SAY) cc $<
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(LIB): $(LIB_O)
	@rm -f $@
	$(SAY) ar $@
	$(Q)$(AR) rcs $@ $^

$(BINARY): $(BUILD)/harness/main.o $(LIB)
	$(SAY) link $@
	$(Q)$(CC) $(ALL_CFLAGS) $(BUILD)/harness/main.o $(LIB) $(ALL_LIBS) -o $@

# tests that stand in for functions of the program: memory that runs out (tests/failing.h), arenas that start small
WRAP                       = $(addprefix -Wl$(comma)--wrap=,$(1))
FAILING_ALLOC             := malloc calloc realloc aligned_alloc
LDFLAGS_test_arena        := $(call WRAP,$(FAILING_ALLOC))
LDFLAGS_test_model        := $(call WRAP,$(FAILING_ALLOC))
LDFLAGS_test_mixup        := $(call WRAP,optimizer_step interrupted)
LDFLAGS_test_params       := $(call WRAP,$(FAILING_ALLOC))
LDFLAGS_test_tape         := $(call WRAP,arena_create)
LDFLAGS_test_tape_failures := $(call WRAP,$(FAILING_ALLOC) arena_create arena_alloc arena_rewind_keeping arena_poison_rest scratch_floats)

$(BUILD)/tests/test_%: $(BUILD)/tests/test_%.o $(LIB)
	$(SAY) link $@
	$(Q)$(CC) $(ALL_CFLAGS) $< $(LIB) -lcmocka $(ALL_LIBS) $(LDFLAGS_test_$*) -o $@

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(LIB)
	$(SAY) link $@
	$(Q)$(CC) $(ALL_CFLAGS) $< $(BUILD)/tests/fuzz/replay.o $(LIB) $(ALL_LIBS) -o $@

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(LIB)
	$(SAY) link $@
	$(Q)$(CC) $(ALL_CFLAGS) $< $(LIB) $(ALL_LIBS) -o $@

tests: $(TESTS) $(REPLAYS) $(BINARY)

check: ## run every test; CONFIG=asan for sanitizers
	@scripts/deps.sh --quiet
	@$(MAKE) --no-print-directory CONFIG=$(CONFIG) ARCH=$(ARCH) tests
	@$(MAKE) --no-print-directory CONFIG=$(CONFIG) ARCH=$(ARCH) REAL=double double-tests
	@BUILD=$(BUILD) DOUBLE_BUILD=$(BUILD)-double scripts/check.sh $(TESTS) $(TEST_SH) $(TEST_PY) -- $(DOUBLE_TESTS)

double-tests: $(DOUBLE_TESTS:%=$(BUILD)/%)

warnings: ## compile everything with gcc and clang, warnings as errors
	@FLAGS='$(WARNINGS) -I. $(filter-out -DMORBENCH_VERSION%,$(DEFINES)) $(PKG_CFLAGS)' scripts/check_warnings.sh $(LIB_C) harness/main.c $(TEST_C) $(FUZZ_C) $(BENCH_C)

quickstart: ## install, build, and show a first table, JSON and plot on real images
	@scripts/deps.sh --quiet
	@$(MAKE) --no-print-directory CONFIG=$(CONFIG) ARCH=$(ARCH) all
	@BINARY=$(BINARY) scripts/quickstart.sh

benches: $(BENCHES) ## build the micro-benchmarks (build/release/tests/bench/)

peers: all ## compare speed with PyTorch, in turns (needs python3-torch)
	@scripts/deps.sh --quiet --peers
	@/usr/bin/python3 scripts/peers/compare_torch.py --binary $(BINARY)

hardware: all $(BUILD)/tests/test_parity ## measure this machine into results/machines/<host>: parity, ceilings, the standard set
	@BINARY=$(BINARY) TESTS=$(BUILD)/tests scripts/hardware.sh

check-aarch64: ## build for aarch64 and run the tests of numbers under qemu-user (needs gcc-aarch64-linux-gnu, qemu-user)
	@scripts/cross_aarch64.sh

overhead: ## the cost of tape, scopes and counting while measuring, against a build without them
	@scripts/overhead.sh

install: all ## install the program below PREFIX (/usr/local)
	install -D -m 755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/morbench
	install -d $(DESTDIR)$(PREFIX)/share/morbench/scripts $(DESTDIR)$(PREFIX)/share/morbench/experiments
	cp -r scripts/. $(DESTDIR)$(PREFIX)/share/morbench/scripts/
	cp -r experiments/. $(DESTDIR)$(PREFIX)/share/morbench/experiments/

clean: ## remove what was built
	rm -rf $(BUILD_ROOT)

-include $(LIB_O:.o=.d) $(TESTS:=.d) $(BUILD)/harness/main.d
