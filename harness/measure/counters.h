/* Which counters this machine lets us read: a probe, which tries each once and keeps why not.
 *
 *   perf events   opened, run over a short loop and read; a hardware counter that stays at zero is as good as absent
 *                 (some virtual machines offer such)
 *   PAPI          when built with it (HAVE_PAPI): its hardware counters, its components, and whether PAPI_TOT_INS can be had
 *   energy        the RAPL domains of /sys/class/powercap
 *
 * Ownership: plain data, nothing to free. */
#ifndef HARNESS_COUNTERS_H
#define HARNESS_COUNTERS_H

#include "engine/error.h"
#include "engine/json.h"

#include <stdint.h>

/* Every perf event that is probed:  PERF_EVENT(name, type, config, counts_in_a_loop) */
#define PERF_EVENTS                                                                             \
    PERF_EVENT(cycles,           PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES,       true)      \
    PERF_EVENT(instructions,     PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS,     true)      \
    PERF_EVENT(task_clock,       PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK,       true)      \
    PERF_EVENT(page_faults,      PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS,      false)     \
    PERF_EVENT(context_switches, PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CONTEXT_SWITCHES, false)     \
    PERF_EVENT(cpu_migrations,   PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_MIGRATIONS,   false)

#define PERF_EVENT(name, type, config, counts) COUNTER_##name,
typedef enum Counter { PERF_EVENTS N_COUNTERS } Counter;
#undef PERF_EVENT

typedef struct CounterProbe {
    const char *name;        /* static */
    const char *reason;      /* NULL: it can be read; else not_supported or no_permission */
    int         error;       /* the errno behind the reason; 0: it opened, but stayed at zero */
} CounterProbe;

typedef struct PapiComponent {
    char name[32];
    bool enabled;
    char why_not[128];       /* in PAPI's words */
} PapiComponent;

typedef struct EnergyDomain {
    char        name[32];    /* "package-0" */
    const char *reason;      /* NULL: readable */
} EnergyDomain;

typedef struct Counters {
    CounterProbe  perf[N_COUNTERS];
    const char   *papi_reason;          /* NULL: built in and initialised */
    char          papi_version[32];
    char          papi_message[128];    /* why it could not be initialised, in its words */
    int           papi_hardware_counters;
    const char   *papi_instructions_reason; /* of PAPI_TOT_INS; NULL: it can be counted */
    int           papi_instructions_code;
    PapiComponent component[16];
    int           n_components;
    const char   *energy_reason;        /* NULL: at least one domain is readable */
    EnergyDomain  energy[16];
    int           n_energy;
} Counters;

/* Counts one event of this process and thread, user side only, over a short loop into *count. Returns 0 or the errno. */
typedef int PerfTry(uint32_t type, uint64_t config, uint64_t *count);
PerfTry counters_perf_try;

/* root: as in harness/machine.h, for the energy files. perf: counters_perf_try, or a test's. Never fails; what is not
 * there has a reason. */
void counters_probe(Counters *out, const char *root, PerfTry *perf);

/* not_supported, no_permission or multiplexed for an errno of perf_event_open, and for a code of PAPI. NULL: no error. */
const char *counters_reason_of_errno(int error);
const char *counters_reason_of_papi(int code);

/* *out is the caller's; json_decref. */
bool counters_to_json(const Counters *c, json_t **out, Error *err);

#endif
