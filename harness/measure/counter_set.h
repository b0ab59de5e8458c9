/* Counting events on every OpenMP thread over a stretch of work, whatever counts them.
 *
 *   counter_set_open    each thread opens its own counters
 *   counter_set_start   ...notes where they stand
 *   (the work)
 *   counter_set_stop    ...and reads them again; differences are summed over threads
 *   counter_set_close
 *
 * A provider counts (PAPI, the kernel, a test's fake); the arithmetic is here and the same for all: wrapping, counters that
 * took turns with others (multiplexed: scaled by enabled/running time and labelled; below half the time no number at all),
 * counters that cannot be had on some thread or vanish half way (then the sum would be a part: no number), and sets in which
 * cycles or instructions stand still though work was done (then none of the hardware counts is believed).
 *
 * Threads are those of `#pragma omp parallel` when the set is opened; the work must run on the same team.
 *
 * Ownership: a CounterSet belongs to the caller of counter_set_open; counter_set_close (NULL is fine). */
#ifndef HARNESS_COUNTER_SET_H
#define HARNESS_COUNTER_SET_H

#include "engine/error.h"
#include "engine/json.h"

#include <stdint.h>

typedef enum CounterKind { COUNTER_HARDWARE, COUNTER_SOFTWARE, COUNTER_OWN, COUNTER_NATIVE } CounterKind;

typedef struct CounterEvent {
    CounterKind kind;
    const char *key;             /* "cycles_count" */
    const char *papi;            /* PAPI's name, preset or native; "" none */
    int64_t     perf_type;       /* of perf_event_open; -1 none */
    uint64_t    perf_config;
} CounterEvent;

/* Where one counter of one thread stands. */
typedef struct CounterReading {
    uint64_t    count;
    uint64_t    enabled_ns, running_ns;  /* since it was opened; equal: it had the hardware to itself. Both 0: not told */
    uint64_t    wraps_at;                /* counts modulo this; 0: modulo 2^64 */
    bool        shared;                  /* multiplexed, and already scaled by the provider */
    const char *reason;                  /* why it cannot be read (harness/sysfile.h, "multiplexed"); NULL: it can */
} CounterReading;

typedef struct CounterProvider {
    const char *name;
    void       *self;
    /* Opens and starts n events on the calling thread; what cannot be had says so when read. NULL: no memory. */
    void *(*open)(void *self, const CounterEvent *const event[], int n);
    void  (*read)(void *thread, CounterReading reading[]);   /* by the thread that opened */
    void  (*close)(void *thread);
} CounterProvider;

typedef struct CounterTotal {
    double      count;           /* of all threads, scaled where they were multiplexed */
    const char *reason;          /* NULL: count is good */
    bool        shared;          /* scaled: an estimate */
    double      running_ratio;   /* least share of the time a thread's counter ran; NAN: not told */
    int         n_threads;
} CounterTotal;

typedef struct CounterSet CounterSet;

/* Each provider takes the events of its group; totals come in the order of groups and events. The arrays are copied, the events
 * and providers borrowed. */
typedef struct CounterGroup {
    const CounterProvider     *provider;
    const CounterEvent *const *event;
    int                        n_events;
} CounterGroup;

bool counter_set_open(CounterSet **out, const CounterGroup group[], int n_groups, Error *err);
void counter_set_start(CounterSet *s);
void counter_set_stop(CounterSet *s, CounterTotal total[]);  /* (n_events of all groups) */
void counter_set_close(CounterSet *s);
int  counter_set_size(const CounterSet *s);
const CounterEvent *counter_set_event(const CounterSet *s, int i);

/* One thread's difference between two readings, scaled; the rules above. */
CounterTotal counter_difference(const CounterReading *from, const CounterReading *to);

/* -- what there is here -- */

/* counter_events.def, and native events of PAPI by name ("perf::CYCLES,skx::L1D:REPLACEMENT"; NULL: none). Groups by what can
 * count them on this machine. */
bool counter_set_standard(CounterSet **out, const char *native, Error *err);

extern const CounterProvider counter_provider_perf;          /* perf_event_open */
/* NULL where the program was built without PAPI, or PAPI does not start here. */
const CounterProvider *counter_provider_papi(void);

/* Whether PAPI has a PMU to count with. */
bool counter_papi_has_hardware(void);

/* Rule V13: runs a loop of a known number of instructions. *ratio: counted over known; NAN where it cannot be counted, or the
 * CPU's instructions are not known to us. */
bool counter_loop_ratio(const CounterProvider *provider, double *ratio, Error *err);
enum { COUNTER_LOOP = 20000000 };                            /* its instructions */
void counter_loop(void);

/* -- our own counts as software-defined events of PAPI -- */

/* Makes them known to PAPI; false where the program was built without its library. Any number of calls. */
bool counters_publish(void);
/* Adds to the calling thread's share; a set read by every thread sums the shares. */
void counters_published_add(int64_t macs, int64_t tokens, int64_t depth);

#endif
