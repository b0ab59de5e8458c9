/* Sums and judges what providers count (counter_set.h). */
#include "harness/measure/counter_set.h"

#include "harness/sysfile.h"

#include <linux/perf_event.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GROUPS = 4, MAX_EVENTS = 48 };

struct CounterSet {
    int                    n_groups, n_events, n_threads;
    const CounterProvider *provider[MAX_GROUPS];
    int                    first[MAX_GROUPS + 1];            /* events of group g: first[g] .. first[g+1]-1 */
    const CounterEvent    *event[MAX_EVENTS];
    CounterEvent           native[MAX_EVENTS];               /* events made of names, and the names */
    char                  *names;
    void                 **handle;                           /* (n_threads, n_groups) */
    CounterReading        *from;                             /* (n_threads, n_events) */
};

int counter_set_size(const CounterSet *s) { return s->n_events; }
const CounterEvent *counter_set_event(const CounterSet *s, int i) { return s->event[i]; }

void counter_set_close(CounterSet *s) {
    if (s == NULL) return;
    if (s->handle != NULL) {
#pragma omp parallel num_threads(s->n_threads)
        for (int g = 0; g < s->n_groups; g++) {
            void *h = s->handle[omp_get_thread_num() * s->n_groups + g];
            if (h != NULL) s->provider[g]->close(h);
        }
    }
    free(s->names);
    free(s->handle);
    free(s->from);
    free(s);
}

static bool open_threads(CounterSet *s, Error *err) {
    s->n_threads = omp_get_max_threads();
    s->handle    = calloc((size_t)(s->n_threads * s->n_groups), sizeof *s->handle);
    s->from      = calloc((size_t)(s->n_threads * s->n_events), sizeof *s->from);
    if (s->handle == NULL || s->from == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the counters of %d threads", s->n_threads);
    int missing = 0;
#pragma omp parallel num_threads(s->n_threads) reduction(+ : missing)
    for (int g = 0; g < s->n_groups; g++) {
        void **h = &s->handle[omp_get_thread_num() * s->n_groups + g];
        *h       = s->provider[g]->open(s->provider[g]->self, s->event + s->first[g], s->first[g + 1] - s->first[g]);
        missing += *h == NULL;
    }
    return missing == 0 || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the counters of %d threads", s->n_threads);
}

static void put_group(CounterSet *s, const CounterProvider *provider, const CounterEvent *const event[], int n) {
    if (n == 0) return;
    CHECK(s->n_groups < MAX_GROUPS && s->n_events + n <= MAX_EVENTS, "%d groups, %d events", s->n_groups + 1, s->n_events + n);
    s->provider[s->n_groups] = provider;
    s->first[s->n_groups++]  = s->n_events;
    for (int i = 0; i < n; i++) s->event[s->n_events++] = event[i];
    s->first[s->n_groups] = s->n_events;
}

bool counter_set_open(CounterSet **out, const CounterGroup group[], int n_groups, Error *err) {
    CounterSet *s = calloc(1, sizeof *s);
    if (s == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for counters");
    for (int g = 0; g < n_groups; g++) put_group(s, group[g].provider, group[g].event, group[g].n_events);
    if (!open_threads(s, err)) {
        counter_set_close(s);
        return false;
    }
    *out = s;
    return true;
}

static void read_thread(const CounterSet *s, int thread, CounterReading *reading) {
    memset(reading, 0, (size_t)s->n_events * sizeof *reading);
    for (int g = 0; g < s->n_groups; g++) s->provider[g]->read(s->handle[thread * s->n_groups + g], reading + s->first[g]);
}

void counter_set_start(CounterSet *s) {
#pragma omp parallel num_threads(s->n_threads)
    read_thread(s, omp_get_thread_num(), s->from + omp_get_thread_num() * s->n_events);
}

CounterTotal counter_difference(const CounterReading *from, const CounterReading *to) {
    CounterTotal t = {.running_ratio = NAN, .n_threads = 1, .shared = from->shared || to->shared, .count = NAN};
    t.reason = from->reason != NULL ? from->reason : to->reason;
    if (t.reason != NULL) return t;
    uint64_t difference = to->count - from->count;           /* modulo 2^64 */
    if (to->wraps_at > 0) {
        if (from->count >= to->wraps_at || to->count >= to->wraps_at) t.reason = "overflow";
        else if (to->count < from->count) difference = to->count + (to->wraps_at - from->count);
    } else if (to->count < from->count) t.reason = "overflow"; /* 2^64 events do not happen: it was reset or lost */
    if (t.reason != NULL) return t;
    t.count = (double)difference;
    const uint64_t enabled = to->enabled_ns - from->enabled_ns, running = to->running_ns - from->running_ns;
    if (to->enabled_ns == 0 && to->running_ns == 0) return t;
    if (enabled == 0) return t;                              /* no time passed: nothing to scale */
    t.running_ratio = (double)running / (double)enabled;
    if (t.running_ratio < 0.95) t.shared = true;
    if (t.running_ratio < 0.5) {
        t.reason = "multiplexed";
        t.count  = NAN;
    } else {
        t.count /= fmin(1, t.running_ratio);
    }
    return t;
}

/* Cycles or instructions that stand still while work is done belong to a counter that is not there. */
static void disbelieve(const CounterSet *s, CounterTotal total[]) {
    bool stand_still = false;
    for (int i = 0; i < s->n_events; i++)
        if (s->event[i]->kind == COUNTER_HARDWARE && total[i].reason == NULL && total[i].count == 0 &&
            (strcmp(s->event[i]->key, "cycles_count") == 0 || strcmp(s->event[i]->key, "instructions_count") == 0))
            stand_still = true;
    for (int i = 0; stand_still && i < s->n_events; i++)
        if (s->event[i]->kind == COUNTER_HARDWARE || s->event[i]->kind == COUNTER_NATIVE) {
            if (total[i].reason == NULL) total[i].reason = sysfile_not_supported;
            total[i].count = NAN;
        }
}

void counter_set_stop(CounterSet *s, CounterTotal total[]) {
    CounterTotal *of_thread = calloc((size_t)(s->n_threads * s->n_events), sizeof *of_thread);
    for (int i = 0; i < s->n_events; i++)
        total[i] = (CounterTotal){.running_ratio = NAN, .count = NAN, .reason = of_thread == NULL ? sysfile_not_supported : NULL};
    if (of_thread == NULL) return;
#pragma omp parallel num_threads(s->n_threads)
    {
        CounterReading to[MAX_EVENTS];
        const int      thread = omp_get_thread_num();
        read_thread(s, thread, to);
        for (int i = 0; i < s->n_events; i++) of_thread[thread * s->n_events + i] = counter_difference(&s->from[thread * s->n_events + i], &to[i]);
    }
    for (int i = 0; i < s->n_events; i++) {
        CounterTotal *t = &total[i];
        t->count     = 0;
        t->n_threads = s->n_threads;
        for (int thread = 0; thread < s->n_threads; thread++) {
            const CounterTotal *one = &of_thread[thread * s->n_events + i];
            if (t->reason == NULL) t->reason = one->reason;
            t->shared        = t->shared || one->shared;
            t->running_ratio = fmin(t->running_ratio, one->running_ratio);   /* fmin takes the number of a number and NAN */
            t->count += one->count;
        }
        if (t->reason != NULL) t->count = NAN;
    }
    disbelieve(s, total);
    free(of_thread);
}

/* -- the standard set -- */

#define NO_PERF -1, 0
#define READ_MISS(cache) ((cache) | (PERF_COUNT_HW_CACHE_OP_READ << 8) | (PERF_COUNT_HW_CACHE_RESULT_MISS << 16))
#define EVENT(...) EVENT_(__VA_ARGS__)
#define EVENT_(kind, key, papi, type, config, help) {COUNTER_##kind, #key, papi, type, config},
static const CounterEvent standard[] = {
#include "harness/measure/counter_events.def"
};
#undef EVENT
#undef EVENT_
enum { N_STANDARD = sizeof standard / sizeof *standard };

/* Events of one kind, or of two. */
static void put_kind(CounterSet *s, CounterKind kind, const CounterProvider *provider) {
    const CounterEvent *event[N_STANDARD];
    int                 n = 0;
    for (int i = 0; i < N_STANDARD; i++)
        if (standard[i].kind == kind) event[n++] = &standard[i];
    put_group(s, provider, event, n);
}

static bool put_native(CounterSet *s, const char *native, const CounterProvider *papi, Error *err) {
    const CounterEvent *event[MAX_EVENTS];
    int                 n = 0;
    if (papi == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "--events", "this program was built without PAPI, or PAPI does not start here");
    if ((s->names = strdup(native)) == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the names of events");
    for (char *at = s->names, *name; (name = strsep(&at, ",")) != NULL;) {
        if (name[0] == '\0') return FAIL(err, "--events", "name %d of the list is empty", n + 1);
        if (s->n_events + n >= MAX_EVENTS) return FAIL(err, "--events", "at most %d events at once", MAX_EVENTS - N_STANDARD);
        s->native[n] = (CounterEvent){.kind = COUNTER_NATIVE, .key = name, .papi = name, .perf_type = -1};
        event[n]     = &s->native[n];
        n++;
    }
    put_group(s, papi, event, n);
    return true;
}

bool counter_set_standard(CounterSet **out, const char *native, Error *err) {
    const CounterProvider *papi = counter_provider_papi();
    CounterSet            *s    = calloc(1, sizeof *s);
    if (s == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for counters");
    put_kind(s, COUNTER_HARDWARE, papi != NULL && counter_papi_has_hardware() ? papi : &counter_provider_perf);
    put_kind(s, COUNTER_SOFTWARE, &counter_provider_perf);
    if (papi != NULL && counters_publish()) put_kind(s, COUNTER_OWN, papi);
    if ((native != NULL && !put_native(s, native, papi, err)) || !open_threads(s, err)) {
        counter_set_close(s);
        return false;
    }
    *out = s;
    return true;
}

/* -- a loop of known length (rule V13) -- */

#if defined(__x86_64__) || defined(__aarch64__)
#define LOOP_KNOWN true
void counter_loop(void) {
    uint64_t n = COUNTER_LOOP / 2;                           /* two instructions a round */
#ifdef __x86_64__
    __asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(n) : : "cc");
#else
    __asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(n) : : "cc");
#endif
}
#else
#define LOOP_KNOWN false
void counter_loop(void) {}
#endif

bool counter_loop_ratio(const CounterProvider *provider, double *ratio, Error *err) {
    const CounterEvent *event = NULL;
    for (int i = 0; i < N_STANDARD; i++)
        if (strcmp(standard[i].key, "instructions_count") == 0) event = &standard[i];
    void *handle = provider->open(provider->self, &event, 1);
    if (handle == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a counter");
    CounterReading from = {0}, to = {0};
    provider->read(handle, &from);
    counter_loop();
    provider->read(handle, &to);
    provider->close(handle);
    const CounterTotal t = counter_difference(&from, &to);
    *ratio = LOOP_KNOWN && t.reason == NULL ? t.count / COUNTER_LOOP : NAN;
    return true;
}
