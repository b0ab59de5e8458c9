# morbench: one Makefile, no recursion into folders, nothing written outside build/ (and results/quickstart).
#   make                      build/release/morbench
#   make CONFIG=asan check    every test under AddressSanitizer and UBSan
#   make races                those of threads under ThreadSanitizer (CONFIG=tsan)
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
CFLAGS_fuzz    := -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(origin CFLAGS_$(CONFIG)),undefined)
$(error unknown CONFIG '$(CONFIG)': release, debug, asan, tsan or fuzz)
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
                        baselines/*.c harness/*.c harness/*/*.c) \
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
.PHONY: all help check tests race-tests races fuzzers fuzz double-tests warnings deps quickstart reproduce benches peers hardware check-aarch64 schema false-alarms check-kills check-slurm \
        overhead rerun-committed reproducible-runs kills install install-files uninstall clean

all: $(BINARY) ## build the program (default)

# a flag that changes rebuilds everything, but for those who build nothing
NO_BUILD  := help deps schema clean install-files uninstall
FLAGS_NOW := $(strip $(CC) $(ALL_CFLAGS) $(ALL_LIBS))
STAMP     := $(BUILD)/flags
ifneq ($(filter-out $(NO_BUILD),$(or $(MAKECMDGOALS),all)),)
ifneq ($(FLAGS_NOW),$(strip $(shell cat $(STAMP) 2>/dev/null)))
$(shell mkdir -p $(BUILD) && printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' > $(STAMP))
endif
endif

help: ## list the targets
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## /  \1\t/p' $(firstword $(MAKEFILE_LIST))

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
ifneq ($(filter-out $(NO_BUILD),$(or $(MAKECMDGOALS),all)),)
ifneq ($(COMMIT),$(shell cat $(BUILD)/commit 2>/dev/null))
$(shell mkdir -p $(BUILD) && printf '%s\n' '$(COMMIT)' > $(BUILD)/commit)
endif
endif
$(BUILD)/harness/result.o: $(BUILD)/commit
$(BUILD)/harness/result.o: ALL_CFLAGS += -DMORBENCH_COMMIT='"$(COMMIT)"'

# the drawings of plots, and what makes the page of a report a page, are built into the program
$(patsubst %.c,$(BUILD)/%.o,$(wildcard harness/plots/*.c)) $(BUILD)/harness/report/figure.o: $(wildcard scripts/plots/*.gp)
$(BUILD)/harness/report/report_html.o: $(wildcard scripts/report/*)

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

# a target runs over a corpus, or with CONFIG=fuzz makes up inputs of its own
FUZZ_MAIN := $(if $(filter fuzz,$(CONFIG)),,$(BUILD)/tests/fuzz/replay.o)

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_MAIN) $(LIB)
	$(SAY) link $@
	$(Q)$(CC) $(ALL_CFLAGS) $< $(FUZZ_MAIN) $(LIB) $(ALL_LIBS) $(if $(FUZZ_MAIN),,-fsanitize=fuzzer) -o $@

$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(LIB)
	$(SAY) link $@
	$(Q)$(CC) $(ALL_CFLAGS) $< $(LIB) $(ALL_LIBS) -o $@

# the program with something wrong in it, which tests must notice
MUTANTS            := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/mutants/*.c))
LDFLAGS_skips_work := $(call WRAP,runtime_backend measure_subject cmd_bench_worker)

$(BUILD)/tests/mutants/%: $(BUILD)/tests/mutants/%.o $(BUILD)/harness/main.o $(LIB)
	$(SAY) link $@
	$(Q)$(CC) $(ALL_CFLAGS) $< $(BUILD)/harness/main.o $(LIB) $(ALL_LIBS) $(LDFLAGS_$*) -o $@

tests: $(TESTS) $(REPLAYS) $(MUTANTS) $(BINARY)

check: ## run every test; CONFIG=asan for sanitizers
	@scripts/deps.sh --quiet
	@$(MAKE) --no-print-directory CONFIG=$(CONFIG) ARCH=$(ARCH) tests
	@$(MAKE) --no-print-directory CONFIG=$(CONFIG) ARCH=$(ARCH) REAL=double double-tests
	@BUILD=$(BUILD) DOUBLE_BUILD=$(BUILD)-double scripts/check.sh $(TESTS) $(TEST_SH) $(TEST_PY) -- $(DOUBLE_TESTS)

fuzzers: $(REPLAYS)

# threads of our own; those of OpenMP have a runtime that ThreadSanitizer cannot see into, and would give false alarms
RACE_TESTS := tests/test_loader tests/test_scratch

race-tests: $(RACE_TESTS:%=$(BUILD)/%)

races: ## the tests of threads under ThreadSanitizer
	@$(MAKE) --no-print-directory CONFIG=tsan ARCH=$(ARCH) race-tests
	@for t in $(RACE_TESTS); do OMP_NUM_THREADS=1 $(BUILD_ROOT)/tsan$(if $(filter generic,$(ARCH)),-generic)/$$t || exit 1; done

# without intrinsics: no kernel is fuzzed, and instrumented ones take minutes to compile
fuzz: ## libFuzzer (clang, libomp-dev) on every target for FUZZ_SECONDS (60), or on TARGETS="idx result"; what breaks lies in build/fuzz-generic/found
	@scripts/fuzz.sh --check
	@$(MAKE) --no-print-directory CC=clang CONFIG=fuzz ARCH=generic fuzzers
	@BUILD=$(BUILD_ROOT)/fuzz-generic FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) scripts/fuzz.sh $(TARGETS)

double-tests: $(DOUBLE_TESTS:%=$(BUILD)/%)

warnings: ## compile everything with gcc and clang, warnings as errors
	@FLAGS='$(WARNINGS) -I. $(filter-out -DMORBENCH_VERSION%,$(DEFINES)) $(PKG_CFLAGS)' scripts/check_warnings.sh $(LIB_C) harness/main.c $(TEST_C) $(FUZZ_C) $(BENCH_C) $(wildcard tests/mutants/*.c)

quickstart: ## install, build, and show a first table, JSON and plot on real images
	@scripts/deps.sh --quiet
	@$(MAKE) --no-print-directory CONFIG=$(CONFIG) ARCH=$(ARCH) all
	@BINARY=$(BINARY) scripts/quickstart.sh

reproduce: all ## the committed study again, from nothing; PROFILE=smoke: in minutes, on Fashion-MNIST
	@BINARY=$(BINARY) scripts/reproduce.sh $(if $(filter smoke,$(PROFILE)),smoke,small)

benches: $(BENCHES) ## build the micro-benchmarks (build/release/tests/bench/)

peers: all ## compare speed with PyTorch, in turns (needs python3-torch)
	@scripts/deps.sh --quiet --peers
	@/usr/bin/python3 scripts/peers/compare_torch.py --binary $(BINARY)

hardware: all $(BUILD)/tests/test_parity ## measure this machine into results/machines/<host>: parity, ceilings, the standard set
	@BINARY=$(BINARY) TESTS=$(BUILD)/tests scripts/hardware.sh

check-aarch64: ## build for aarch64 and run the tests of numbers under qemu-user (needs gcc-aarch64-linux-gnu, qemu-user)
	@scripts/cross_aarch64.sh

schema: ## write results/schema out of the table of fields
	@python3 scripts/schema.py

false-alarms: all ## how often the gate alarms though nothing changed (PAIRS=100: ten minutes)
	@BINARY=$(BINARY) scripts/false_alarms.sh

check-kills: all ## a sweep killed 100 times, in every phase (make check does it a few times); KILLS=N
	@KILLS=$(or $(KILLS),100) python3 tests/test_sweep_kills.py $(BINARY)

check-slurm: all ## job arrays against a real Slurm of this machine (needs root, slurmctld, slurmd, slurm-client, munge)
	@bash tests/check_slurm.sh $(BINARY); status=$$?; [ $$status -eq 77 ] || exit $$status

rerun-committed: all ## run committed results again: all but times must come out the same; those that took at most RERUN_SECONDS (300)
	@BINARY=$(BINARY) scripts/rerun_committed.sh

reproducible-runs: all ## make the runs of results/reproducible anew, which rerun-committed repeats
	@BINARY=$(BINARY) scripts/reproducible_runs.sh

kills: all ## end eval, bench, report, labels and train at 100 random moments each (KILLS): nothing lost, doubled or half
	@KILLS=$(or $(KILLS),100) bash tests/test_faults.sh $(BINARY)
	@KILLS=$(or $(KILLS),100) bash tests/test_training.sh $(BINARY)

overhead: ## the cost of tape, scopes and counting while measuring, against a build without them
	+@scripts/overhead.sh

# what the program and its reader need away from the source tree; uninstall removes these and nothing else
SHARE          := $(DESTDIR)$(PREFIX)/share
INSTALLED      := experiments/*.json experiments/README.md scripts/fetch_data.sh scripts/data_checksums.txt scripts/convert_checkpoint.py \
                  scripts/checkpoint_files.py scripts/plots/*.gp scripts/plots/README.md results/schema/run.schema.json
INSTALLED_DOCS := README.md LICENSE CITATION.cff results/README.md harness/README.md
BASH_COMPLETION = $(SHARE)/bash-completion/completions/morbench
ZSH_COMPLETION  = $(SHARE)/zsh/vendor-completions/_morbench
MAN_PAGE        = $(SHARE)/man/man1/morbench.1

install: all install-files ## install program, manual page, completions, experiments and scripts below PREFIX (/usr/local), in DESTDIR

install-files: | $(if $(filter install,$(MAKECMDGOALS)),all)
	install -D -m 755 "$(BINARY)" "$(DESTDIR)$(PREFIX)/bin/morbench"
	for f in $(wildcard $(INSTALLED)); do install -D -m 644 "$$f" "$(SHARE)/morbench/$$f" || exit 1; done
	for f in $(INSTALLED_DOCS); do install -D -m 644 "$$f" "$(SHARE)/doc/morbench/$$f" || exit 1; done
	for f in "$(MAN_PAGE)" "$(BASH_COMPLETION)" "$(ZSH_COMPLETION)"; do install -d "$${f%/*}" || exit 1; done
	"$(BINARY)" man > "$(MAN_PAGE)"
	"$(BINARY)" completion bash > "$(BASH_COMPLETION)"
	"$(BINARY)" completion zsh > "$(ZSH_COMPLETION)"

uninstall: ## remove what install put there
	rm -f "$(DESTDIR)$(PREFIX)/bin/morbench" "$(MAN_PAGE)" "$(BASH_COMPLETION)" "$(ZSH_COMPLETION)"
	rm -rf "$(SHARE)/morbench" "$(SHARE)/doc/morbench"

clean: ## remove what was built
	rm -rf $(BUILD_ROOT)

-include $(LIB_O:.o=.d) $(TESTS:=.d) $(REPLAYS:=.d) $(BENCHES:=.d) $(MUTANTS:=.d) $(BUILD)/tests/fuzz/replay.d $(BUILD)/harness/main.d
