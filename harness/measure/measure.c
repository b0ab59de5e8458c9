/* Warm-up, timing and checking of one subject (measure.h). */
#include "harness/measure/measure.h"

#include "harness/interrupt.h"
#include "harness/measure/steady.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t now(Clock clock) { return clock.now_ns(clock.self); }

void measurement_free(Measurement *m) {
    free(m->sample_ns);
    m->sample_ns = NULL;
}

static bool run_pass(const Subject *s, int turn, Error *err) { return !interrupted(err) && s->run(s->self, turn, err); }

static bool digest_output(const Subject *s, uint64_t *digest) {
    size_t      n     = 0;
    const void *bytes = s->output != NULL ? s->output(s->self, &n) : NULL;
    if (bytes == NULL) return false;
    *digest = digest_xxh64(bytes, n);
    return true;
}

/* *pass_ns: the fastest pass seen. */
static bool warm_up(Measurement *m, const Subject *s, const MeasurePlan *plan, Clock clock, double *pass_ns, Error *err) {
    double         window[WARMUP_WINDOW];
    const uint64_t from = now(clock);
    *pass_ns = INFINITY;
    for (;;) {
        const uint64_t started = now(clock);
        if (!run_pass(s, m->warmup_passes % plan->n_turns, err)) return false;
        const uint64_t ended = now(clock);
        window[m->warmup_passes++ % WARMUP_WINDOW] = (double)(ended - started);
        *pass_ns     = fmin(*pass_ns, (double)(ended - started));
        m->warmup_ns = (double)(ended - from);
        if (m->warmup_passes >= plan->warmup_passes && m->warmup_passes >= WARMUP_WINDOW) {
            double ordered[WARMUP_WINDOW];           /* the oldest first */
            for (int i = 0; i < WARMUP_WINDOW; i++) ordered[i] = window[(m->warmup_passes + i) % WARMUP_WINDOW];
            if (steady_no_trend(ordered, WARMUP_WINDOW)) {
                m->settled = true;
                return true;
            }
        }
        if (m->warmup_ns >= plan->warmup_seconds * 1e9 && m->warmup_passes >= plan->warmup_passes) return true;
    }
}

static int choose_passes(const MeasurePlan *plan, double pass_ns) {
    const double by_clock  = 1000 * plan->clock_overhead_ns / fmax(1, pass_ns);
    const double by_number = plan->min_seconds * 1e9 / (double)plan->max_samples / fmax(1, pass_ns);
    return (int)fmin(1e6, fmax(1, ceil(fmax(by_clock, by_number))));
}

/* One number for each sample beside its time: what its last pass computed. */
typedef struct Seen { uint64_t digest; int turn; } Seen;

static bool room(Measurement *m, Seen **seen, Error *err) {
    if (m->n < m->capacity) return true;
    const int capacity = m->capacity > 0 ? 2 * m->capacity : 256;
    double   *samples  = realloc(m->sample_ns, (size_t)capacity * sizeof *samples);
    if (samples != NULL) m->sample_ns = samples;
    Seen *more = realloc(*seen, (size_t)capacity * sizeof *more);
    if (more != NULL) *seen = more;
    if (samples == NULL || more == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for samples");
    m->capacity = capacity;
    return true;
}

static bool time_samples(Measurement *m, const Subject *s, const MeasurePlan *plan, Clock clock, Seen **seen, bool *has_output, Error *err) {
    int turn = 0;
    while (m->n < plan->min_samples || m->timed_ns < plan->min_seconds * 1e9) {
        if (!room(m, seen, err)) return false;
        const uint64_t started = now(clock);
        for (int k = 0; k < m->passes_per_sample; k++)
            if (!run_pass(s, turn++ % plan->n_turns, err)) return false;
        const double ns = (double)(now(clock) - started);
        m->timed_ns += ns;
        (*seen)[m->n].turn      = (turn - 1) % plan->n_turns;
        *has_output             = digest_output(s, &(*seen)[m->n].digest);
        m->sample_ns[m->n++]    = ns / m->passes_per_sample;
    }
    return true;
}

/* Every turn once more without a clock. */
static bool check_outputs(Measurement *m, const Subject *s, const MeasurePlan *plan, const Seen *seen, Error *err) {
    Sha256 *sum = NULL;
    bool    ok  = sha256_create(&sum, err);
    for (int turn = 0; ok && turn < plan->n_turns; turn++) {
        size_t n = 0;
        ok = run_pass(s, turn, err);
        if (!ok) break;
        const void    *output = s->output(s->self, &n);
        const uint64_t digest = digest_xxh64(output, n);
        sha256_add(sum, output, n);
        for (int i = 0; i < m->n; i++) {
            if (seen[i].turn != turn) continue;
            m->outputs_compared++;
            m->outputs_differ += seen[i].digest != digest;
        }
    }
    ok = ok && sha256_finish(sum, m->output_sha256, err);
    sha256_destroy(sum);
    return ok;
}

bool measure_subject(Measurement *out, const Subject *subject, const MeasurePlan *plan, Clock clock, Error *err) {
    CHECK(plan->n_turns >= 1 && plan->min_samples >= 1 && plan->max_samples >= plan->min_samples, "a plan of %d turns, %d to %d samples",
          plan->n_turns, plan->min_samples, plan->max_samples);
    double pass_ns;
    bool   has_output = false;
    Seen  *seen       = NULL;
    *out = (Measurement){.passes_per_sample = 1};
    bool ok = warm_up(out, subject, plan, clock, &pass_ns, err);
    if (ok) out->passes_per_sample = choose_passes(plan, pass_ns);
    if (ok && plan->open != NULL) plan->open(plan->window);
    ok = ok && time_samples(out, subject, plan, clock, &seen, &has_output, err);
    if (ok && plan->close != NULL) plan->close(plan->window);
    ok = ok && (!has_output || check_outputs(out, subject, plan, seen, err));
    free(seen);
    if (!ok) measurement_free(out);
    return ok;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double take_median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 == 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

bool measure_repeat_ratio(double *ratio, const Subject *subject, int n_turns, int n_pairs, Clock clock, Error *err) {
    enum { MAX_PAIRS = 64 };
    double same[MAX_PAIRS], fresh[MAX_PAIRS];
    CHECK(n_pairs >= 1 && n_pairs <= MAX_PAIRS, "%d pairs", n_pairs);
    for (int i = 0; i < n_pairs; i++) {
        if (!run_pass(subject, 0, err)) return false;
        const uint64_t a = now(clock);
        if (!run_pass(subject, 0, err)) return false;            /* the second time may come from a memory */
        const uint64_t b = now(clock);
        if (!subject->prepare(subject->self, n_turns + i, err)) return false;
        const uint64_t c = now(clock);
        if (!run_pass(subject, n_turns + i, err)) return false;
        const uint64_t d = now(clock);
        same[i]  = (double)(b - a);
        fresh[i] = (double)(d - c);
    }
    *ratio = take_median(same, n_pairs) / take_median(fresh, n_pairs);
    return true;
}

double measure_spin_ns(Clock clock) {
    enum { RUNS = 5, OPERATIONS = 1000000 };
    double             least = INFINITY;
    volatile uint64_t  keep  = 0;
    for (int run = 0; run < RUNS; run++) {
        const uint64_t from = now(clock);
        uint64_t       x    = keep + 1;
        for (int i = 0; i < OPERATIONS; i++) x = (x ^ (x >> 7)) + 0x9e3779b9u; /* each needs the one before: no SIMD, no memory */
        keep  = x;
        least = fmin(least, (double)(now(clock) - from));
    }
    return least;
}
