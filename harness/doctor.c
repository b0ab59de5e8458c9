/* What a machine can measure and what would spoil it, as findings with advice (doctor.h). */
#include "harness/doctor.h"

#include "harness/blas_check.h"
#include "harness/sysfile.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *doctor_mark_name(DoctorMark mark) {
    static const char *const names[] = {[DOCTOR_OK] = "OK", [DOCTOR_NOTE] = "NOTE", [DOCTOR_WARN] = "WARN", [DOCTOR_FAIL] = "FAIL"};
    return names[mark];
}

__attribute__((format(printf, 4, 5)))
static DoctorFinding *found(Doctor *d, DoctorMark mark, const char *topic, const char *format, ...) {
    CHECK(d->n_findings < (int)(sizeof d->finding / sizeof d->finding[0]), "no room for finding %d", d->n_findings);
    DoctorFinding *f = &d->finding[d->n_findings++];
    *f               = (DoctorFinding){.mark = mark, .topic = topic};
    va_list args;
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    return f;
}

__attribute__((format(printf, 2, 3)))
static void advise(DoctorFinding *f, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(f->advice, sizeof f->advice, format, args);
    va_end(args);
}

static const char *text_or(const FactText *fact, const char *otherwise) {
    return fact->reason == NULL ? fact->value : otherwise;
}

static bool is(const FactText *fact, const char *value) {
    return fact->reason == NULL && strcmp(fact->value, value) == 0;
}

/* "2", or "?" where it is not known; text holds it */
static const char *count_text(const FactCount *fact, char text[24]) {
    if (fact->reason != NULL) return "?";
    snprintf(text, 24, "%" PRId64, fact->value);
    return text;
}

static void examine_cpu(Doctor *d, const DoctorFacts *facts) {
    const Machine *m = facts->machine;
    char           allowed[24], online[24], cores[24], sockets[24], nodes[24];
    found(d, DOCTOR_OK, "cpu", "%.200s; CPUs allowed %s of %s, cores %s, sockets %s, NUMA nodes %s", text_or(&m->cpu_model, "model unknown"),
          count_text(&m->cpus_allowed_count, allowed), count_text(&m->cpus_online_count, online), count_text(&m->cores_count, cores),
          count_text(&m->sockets_count, sockets), count_text(&m->numa_nodes_count, nodes));

    /* what the compiler was told to use everywhere; loops that are chosen at run time do not need it */
    const char *missing = NULL;
#ifdef __AVX2__
    if (m->simd_reason == NULL && !m->simd[SIMD_avx2]) missing = "AVX2";
#endif
#ifdef __AVX512F__
    if (m->simd_reason == NULL && !m->simd[SIMD_avx512f]) missing = "AVX-512";
#endif
    if (missing != NULL)
        advise(found(d, DOCTOR_FAIL, "build_target", "this program was compiled for a CPU with %s, which this one has not", missing),
               "rebuild here without -march flags");

    char words[512] = "";
#define SIMD(name, word) \
    if (m->simd[SIMD_##name]) snprintf(words + strlen(words), sizeof words - strlen(words), " %s", #name);
#include "harness/simd_flags.def"
    const KernelLevel level  = cpu_kernel_level(m);
    const bool        lowered = machine_environment(m, "MORBENCH_SIMD") != NULL;
    const bool        narrow  = (level == KERNELS_AVX512 && strcmp(facts->own_kernels, "avx512") != 0) ||
                        (level == KERNELS_AVX2 && strcmp(facts->own_kernels, "avx2") != 0);
    DoctorFinding *f = found(d, narrow ? DOCTOR_WARN : DOCTOR_OK, "simd", "own loops run '%s'; the CPU has%s", facts->own_kernels,
                             m->simd_reason != NULL ? " not told its features" : words[0] != '\0' ? words : " none of the features we look for");
    if (narrow && lowered)
        advise(f, "MORBENCH_SIMD=%.32s lowers it: unset it", machine_environment(m, "MORBENCH_SIMD"));
    else if (narrow)
        advise(f, "this build was made without these loops: build with ARCH=native");
}

static void examine_blas(Doctor *d, const Machine *m) {
    char              text[512];
    const BlasVerdict verdict = blas_check(m, text, sizeof text);
    static const DoctorMark marks[] = {[BLAS_FITS] = DOCTOR_OK, [BLAS_UNKNOWN] = DOCTOR_NOTE, [BLAS_NARROW] = DOCTOR_NOTE,
                                       [BLAS_FORCED_NARROW] = DOCTOR_WARN};
    DoctorFinding *f = found(d, marks[verdict], "blas", "%s", text);
    if (verdict == BLAS_FORCED_NARROW) advise(f, "unset OPENBLAS_CORETYPE, or give --blas-core auto");
    if (verdict == BLAS_NARROW && cpu_kernel_level(m) == KERNELS_AVX512) advise(f, "try --blas-core SkylakeX and compare");
    const char *l2 = machine_environment(m, "OPENBLAS_L2_SIZE");
    if (l2 != NULL)
        advise(found(d, DOCTOR_WARN, "blas_tiles", "OPENBLAS_L2_SIZE=%.32s overrides the cache size by which the library cuts its tiles", l2),
               "unset OPENBLAS_L2_SIZE, or give --blas-core auto");
}

static void examine_threads(Doctor *d, const DoctorFacts *facts) {
    const Machine     *m = facts->machine;
    const ThreadsUsed *t = &facts->threads;
    if (t->distinct < t->requested)
        advise(found(d, DOCTOR_WARN, "threads", "%d threads requested, %d ran", t->requested, t->distinct),
               "look at OMP_THREAD_LIMIT, OMP_DYNAMIC and the limit on processes (ulimit -u)");
    else if (t->cpus < t->distinct)
        advise(found(d, DOCTOR_WARN, "threads", "%d threads ran, but CPUs seen under them: %d; they take turns", t->distinct, t->cpus),
               "give --threads %d, or end what else is running", t->cpus);
    else
        found(d, DOCTOR_OK, "threads", "%d requested, %d ran, each on a CPU of its own (%d in the process)", t->requested, t->distinct, t->in_process);

    const char *sleeping = machine_sleeping_threads(m);
    if (sleeping != NULL && t->distinct > 1)
        advise(found(d, DOCTOR_WARN, "waiting", "%s=%.16s: threads sleep between operations and are woken for each, which can take longer than the operation", sleeping,
                     machine_environment(m, sleeping)), "unset %s", sleeping);

    const char *bind = machine_environment(m, "OMP_PROC_BIND");
    if (bind == NULL) bind = machine_environment(m, "GOMP_CPU_AFFINITY");
    if (facts->n_pinned < t->distinct)
        advise(found(d, DOCTOR_WARN, "affinity", "%d of %d threads could be pinned; the others may wander between CPUs", facts->n_pinned, t->distinct),
               "in a container, sched_setaffinity must be allowed");
    else if (bind != NULL)
        found(d, DOCTOR_NOTE, "affinity", "the OpenMP runtime places the threads itself (%.64s)", bind);
    else
        found(d, DOCTOR_OK, "affinity", "threads can be pinned to CPUs %.128s", text_or(&m->cpus_allowed_list, "?"));

    if (m->threads_per_core_count.reason == NULL && m->threads_per_core_count.value > 1)
        advise(found(d, DOCTOR_NOTE, "smt", "each core runs %" PRId64 " hardware threads, which share its arithmetic units", m->threads_per_core_count.value),
               "for one thread a core, run under taskset with one CPU of each core");
    if (m->efficiency_cpus_list.reason == NULL)
        advise(found(d, DOCTOR_WARN, "hybrid", "CPUs %.128s are slower than the others", m->efficiency_cpus_list.value),
               "run under taskset with the fast CPUs only");

    const FactNumber *quota = &m->cgroup_cpu_quota_count;
    if (quota->reason == NULL && quota->value < (double)t->requested)
        advise(found(d, DOCTOR_WARN, "cgroup", "the control group allows %.2f CPUs for %d threads: they will be stopped in mid-measurement", quota->value, t->requested),
               "raise the container's CPU limit, or give --threads %d", quota->value < 1 ? 1 : (int)quota->value);
    else if (quota->reason == NULL)
        found(d, DOCTOR_OK, "cgroup", "the control group allows %.2f CPUs", quota->value);
    else if (quota->reason == sysfile_not_requested)
        found(d, DOCTOR_OK, "cgroup", "no CPU limit");
    else
        found(d, DOCTOR_NOTE, "cgroup", "whether there is a CPU limit is not known (%s)", quota->reason);
}

static void examine_counters(Doctor *d, const DoctorFacts *facts) {
    const Machine      *m        = facts->machine;
    const Counters     *c        = facts->counters;
    const CounterProbe *hardware = &c->perf[COUNTER_instructions];
    char                level[24];
    if (hardware->reason == NULL && c->perf[COUNTER_cycles].reason == NULL) {
        found(d, DOCTOR_OK, "hardware_counters", "cycles and instructions can be counted");
    } else {
        const char    *reason = hardware->reason != NULL ? hardware->reason : c->perf[COUNTER_cycles].reason;
        DoctorFinding *f      = found(d, DOCTOR_NOTE, "hardware_counters", "cycles and instructions cannot be counted (%s); times and MACs do not need them", reason);
        if (reason == sysfile_no_permission)
            advise(f, "sudo sysctl kernel.perf_event_paranoid=1 (it is %s); in a container also allow perf_event_open (CAP_PERFMON)",
                   count_text(&m->perf_event_paranoid, level));
        else if (machine_is_virtual(m) == 1)
            advise(f, "the virtual machine has no performance monitoring unit: have its host pass one through, or measure on bare metal");
        else
            advise(f, "the kernel knows no counters of this CPU: see `dmesg | grep -i perf`");
    }

    int n_missing = 0;
    char names[128] = "";
    for (int i = COUNTER_task_clock; i < N_COUNTERS; i++)
        if (c->perf[i].reason != NULL) {
            n_missing++;
            snprintf(names + strlen(names), sizeof names - strlen(names), " %s", c->perf[i].name);
        }
    if (n_missing == 0)
        found(d, DOCTOR_OK, "software_counters", "task clock, page faults, context switches and migrations can be counted");
    else
        advise(found(d, DOCTOR_NOTE, "software_counters", "cannot be counted:%s", names), "perf_event_open must be allowed");

    if (c->papi_reason != NULL)
        found(d, DOCTOR_NOTE, "papi", "%s", c->papi_message);
    else if (c->papi_instructions_reason == NULL)
        found(d, DOCTOR_OK, "papi", "PAPI %s, %d hardware counters", c->papi_version, c->papi_hardware_counters);
    else
        found(d, DOCTOR_NOTE, "papi", "PAPI %s, %d hardware counters; PAPI_TOT_INS: %s (code %d)", c->papi_version, c->papi_hardware_counters,
              c->papi_instructions_reason, c->papi_instructions_code);

    if (facts->events_counted != NULL) {
        const bool     lies = facts->loop_ratio > 0 && (facts->loop_ratio < 0.98 || facts->loop_ratio > 1.02);
        DoctorFinding *f    = found(d, lies ? DOCTOR_WARN : facts->events_missing[0] != '\0' ? DOCTOR_NOTE : DOCTOR_OK, "events", "on every thread bench counts %.280s%s%.300s",
                                    facts->events_counted, facts->events_missing[0] != '\0' ? "; not " : "", facts->events_missing);
        if (lies) advise(f, "a loop of known length reads %.3f of its instructions: hardware counts are not recorded here", facts->loop_ratio);
        else if (strstr(facts->events_counted, "published_") == NULL) advise(f, "our own MAC, token and depth counts need PAPI with libsde: install both and build again");
    }

    if (c->energy_reason == NULL)
        found(d, DOCTOR_OK, "energy", "%d RAPL domains", c->n_energy);
    else if (c->energy_reason == sysfile_no_permission)
        advise(found(d, DOCTOR_NOTE, "energy", "RAPL domains are there, but only root may read them"),
               "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj, until the next boot");
    else
        found(d, DOCTOR_NOTE, "energy", "no RAPL domains: energy cannot be measured here");
}

static void examine_clocks(Doctor *d, const DoctorFacts *facts) {
    const Machine *m      = facts->machine;
    const bool     x86    = is(&m->architecture, "x86_64");
    const char    *source = text_or(&m->clock_source, "unknown");
    const bool     slow   = facts->clock_overhead_ns > 500 || (x86 && (is(&m->clock_source, "hpet") || is(&m->clock_source, "acpi_pm")));
    DoctorFinding *f      = found(d, slow ? DOCTOR_WARN : DOCTOR_OK, "clock", "one reading costs %.0f ns (clock source %.32s): a timed sample should last %.0f us or more",
                                  facts->clock_overhead_ns, source, facts->clock_overhead_ns); /* a thousand readings */
    if (slow) advise(f, "short samples are batched; a machine with the tsc clock source would do better");

    if (m->frequency_governor.reason != NULL) {
        found(d, DOCTOR_NOTE, "governor", "the frequency and its governor cannot be read (%s): drift of the clock would go unseen", m->frequency_governor.reason);
    } else {
        const bool performance = is(&m->frequency_governor, "performance");
        const bool pstate      = strncmp(text_or(&m->frequency_driver, ""), "intel_pstate", 12) == 0 || strncmp(text_or(&m->frequency_driver, ""), "amd-pstate", 10) == 0;
        f = found(d, performance ? DOCTOR_OK : pstate ? DOCTOR_NOTE : DOCTOR_WARN, "governor", "frequency governor '%.32s' (driver %.32s)", m->frequency_governor.value,
                  text_or(&m->frequency_driver, "unknown"));
        if (!performance) advise(f, "sudo cpupower frequency-set -g performance");
    }
    if (is(&m->turbo, "on"))
        advise(found(d, DOCTOR_NOTE, "turbo", "turbo is on: the clock rises while few cores are busy and the CPU is cool"),
               "for steadier figures: echo %s", strncmp(text_or(&m->frequency_driver, ""), "intel_pstate", 12) == 0
                                                    ? "1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
                                                    : "0 | sudo tee /sys/devices/system/cpu/cpufreq/boost");
    else if (is(&m->turbo, "off"))
        found(d, DOCTOR_OK, "turbo", "turbo is off");
    else
        found(d, DOCTOR_NOTE, "turbo", "whether turbo is on cannot be read");
}

static void examine_quiet(Doctor *d, const Machine *m) {
    const MachineLoad *l     = &m->load;
    const double       ticks = l->cpu_ticks_count.reason == NULL && l->cpu_ticks_count.value > 0 ? (double)l->cpu_ticks_count.value : 0;
    const double       steal = ticks > 0 ? (double)l->steal_ticks_count.value / ticks : 0;
    switch (machine_is_virtual(m)) {
    case 0: found(d, DOCTOR_OK, "virtual", "no hypervisor"); break;
    case 1: {
        DoctorFinding *f = found(d, steal > 0.01 ? DOCTOR_WARN : DOCTOR_NOTE, "virtual",
                                 "a virtual machine (%.128s): neighbours share caches, memory and clock; %.2f %% of its time was stolen since boot",
                                 m->hypervisor.value, 100 * steal);
        advise(f, "quote ratios from interleaved runs rather than times");
        break;
    }
    default: found(d, DOCTOR_NOTE, "virtual", "whether this is a virtual machine is not known"); break;
    }

    if (l->cpu_waiting_ratio.reason == NULL && l->cpu_waiting_ratio.value > 0.05)
        advise(found(d, DOCTOR_WARN, "load", "in %.1f %% of the last ten seconds some task waited for a CPU", 100 * l->cpu_waiting_ratio.value),
               "end what else is running before measuring");
    else if (l->load_1min.reason == NULL && l->load_1min.value >= 1)
        advise(found(d, l->cpu_waiting_ratio.reason != NULL ? DOCTOR_WARN : DOCTOR_NOTE, "load", "load average %.2f over the last minute", l->load_1min.value),
               "end what else is running before measuring");
    else if (l->load_1min.reason == NULL)
        found(d, DOCTOR_OK, "load", "load average %.2f; %s", l->load_1min.value,
              l->cpu_waiting_ratio.reason == NULL ? "hardly any waiting for a CPU" : "how long tasks wait for a CPU is not told");
    else
        found(d, DOCTOR_NOTE, "load", "how busy the machine is cannot be read");
}

static void examine_memory(Doctor *d, const Machine *m) {
    const double gib = 1073741824.0;
    if (m->memory_total_bytes.reason == NULL && m->memory_available_bytes.reason == NULL) {
        const double total = (double)m->memory_total_bytes.value, available = (double)m->memory_available_bytes.value;
        const bool   short_of = available < gib;
        DoctorFinding *f = found(d, short_of ? DOCTOR_WARN : DOCTOR_OK, "memory", "%.1f of %.1f GiB available", available / gib, total / gib);
        if (short_of) advise(f, "the larger models will not fit, or will push others into swap");
    } else {
        found(d, DOCTOR_NOTE, "memory", "the amount of memory cannot be read");
    }
    if (m->swap_total_bytes.reason == NULL && m->swap_free_bytes.reason == NULL) {
        const double used = (double)(m->swap_total_bytes.value - m->swap_free_bytes.value);
        if (m->swap_total_bytes.value == 0)
            found(d, DOCTOR_OK, "swap", "none");
        else if (used > 0)
            advise(found(d, DOCTOR_NOTE, "swap", "%.1f GiB in use: a page that comes back from there costs milliseconds", used / gib), "sudo swapoff -a while measuring");
        else
            found(d, DOCTOR_OK, "swap", "%.1f GiB, none in use", (double)m->swap_total_bytes.value / gib);
    }
    if (is(&m->huge_pages_transparent, "never"))
        advise(found(d, DOCTOR_NOTE, "huge_pages", "transparent huge pages are off"),
               "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
    else if (m->huge_pages_transparent.reason == NULL)
        found(d, DOCTOR_OK, "huge_pages", "transparent huge pages: %.32s", m->huge_pages_transparent.value);
    else
        found(d, DOCTOR_NOTE, "huge_pages", "the state of transparent huge pages cannot be read");
}

static void examine_process(Doctor *d, const Machine *m) {
    if (!is(&m->build_kind, "optimised"))
        advise(found(d, DOCTOR_WARN, "build", "this program is %.64s: its times mean nothing", text_or(&m->build_kind, "of an unknown build")),
               "measure with CONFIG=release");
    else
        found(d, DOCTOR_OK, "build", "optimised, by %.64s", text_or(&m->compiler, "an unknown compiler"));

    if (machine_environment(m, "LD_PRELOAD") != NULL)
        advise(found(d, DOCTOR_WARN, "preload", "LD_PRELOAD=%.128s puts other code in front of the libraries", machine_environment(m, "LD_PRELOAD")), "unset LD_PRELOAD");
    char names[512] = "";
    for (int i = 0; i < m->n_environment; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), " %s", m->environment[i].name);
    if (m->n_environment > 0) found(d, DOCTOR_NOTE, "environment", "set, and recorded with every result:%s", names);
}

void doctor_examine(Doctor *out, const DoctorFacts *facts) {
    out->n_findings = 0;
    examine_cpu(out, facts);
    examine_blas(out, facts->machine);
    examine_threads(out, facts);
    examine_counters(out, facts);
    examine_clocks(out, facts);
    examine_quiet(out, facts->machine);
    examine_memory(out, facts->machine);
    examine_process(out, facts->machine);
}

int doctor_count(const Doctor *d, DoctorMark mark) {
    int n = 0;
    for (int i = 0; i < d->n_findings; i++)
        if (d->finding[i].mark == mark) n++;
    return n;
}

const DoctorFinding *doctor_find(const Doctor *d, const char *topic) {
    for (int i = 0; i < d->n_findings; i++)
        if (strcmp(d->finding[i].topic, topic) == 0) return &d->finding[i];
    return NULL;
}
