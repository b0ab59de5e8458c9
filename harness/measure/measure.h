/* Measuring one subject in one process: warm-up by rule, samples until there are enough, outputs that must be true.
 *
 * The subject is a record of functions and the clock is handed in, so that a test knows every reading beforehand.
 *
 *   warm-up   passes until the last ones show no trend (steady_no_trend) and the least number is reached, or time is up
 *   timing    one sample is passes_per_sample passes, enough for 1000 readings of the clock and for no more samples than
 *             max_samples; it goes on until there are min_samples and min_seconds of them
 *   checking  every sample's last output is digested (outside its time) and must equal what the same turn gives once more,
 *             untimed, when the timing is over: work that was left out while the clock ran shows
 *
 * Ownership: the sample arrays of a Measurement are the caller's; measurement_free. */
#ifndef HARNESS_MEASURE_H
#define HARNESS_MEASURE_H

#include "engine/clock.h"
#include "engine/digest.h"

typedef struct Subject {
    void *self;
    /* One pass over input `turn`, 0 .. n_turns-1 of the plan. From n_turns on: inputs that it never saw before, each of which
     * is prepared first, outside any time. */
    bool (*run)(void *self, int turn, Error *err);
    bool (*prepare)(void *self, int turn, Error *err);
    /* What the last pass computed; NULL: it has no output that could be repeated (a training step). */
    const void *(*output)(void *self, size_t *n_bytes);
} Subject;

typedef struct MeasurePlan {
    int    min_samples, max_samples;     /* max_samples counts only beyond min_seconds worth of the fastest pass */
    double min_seconds, warmup_seconds;  /* warm-up: at most */
    int    warmup_passes;                /* at least */
    int    n_turns;                      /* different inputs */
    double clock_overhead_ns;            /* of one reading */
    void  *window;                       /* told when the timing begins, after the warm-up, and when it ends: what else is read */
    void (*open)(void *window);          /* over the same stretch (energy, page faults); NULL: nothing */
    void (*close)(void *window);
} MeasurePlan;

enum { WARMUP_WINDOW = 8 };              /* passes that must show no trend */

typedef struct Measurement {
    double *sample_ns;                   /* (n) of one pass: a sample's time over its passes */
    int     n, capacity;
    int     passes_per_sample;
    int     warmup_passes;
    double  warmup_ns, timed_ns;
    bool    settled;                     /* the warm-up ended by its rule, not for want of time */
    int     outputs_compared, outputs_differ;
    char    output_sha256[SHA256_TEXT_SIZE]; /* over the outputs of turns 0..n_turns-1; "" without outputs */
} Measurement;

/* False: err says why (an error of the subject, or no memory). */
bool measure_subject(Measurement *out, const Subject *subject, const MeasurePlan *plan, Clock clock, Error *err);
void measurement_free(Measurement *m);

/* How long a pass over one and the same input takes, relative to passes over inputs never seen, by n_pairs taken in turns: the
 * ratio of the medians. Well below 1: the subject remembers what it has seen. */
bool measure_repeat_ratio(double *ratio, const Subject *subject, int n_turns, int n_pairs, Clock clock, Error *err);

/* A fixed run of dependent integer operations, the least time of a few: follows the processor's clock and nothing else. */
double measure_spin_ns(Clock clock);

#endif
