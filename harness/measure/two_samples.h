/* Which of two arms is slower, by how much, and how sure that is. Units are process medians (harness/measure/stats.h).
 *
 * Everything is about the ratio second/first. Times are compared on a logarithmic scale, where a ratio is a shift:
 *   independent   two runs: Hodges-Lehmann estimate, the median of all n m ratios; its interval by Moses from the exact
 *                 distribution of the Mann-Whitney statistic, whose p it also gives
 *   paired        arms of one bench: unit i of both came from the same block; the median of all Walsh averages of the n log
 *                 ratios, interval and p from the exact distribution of Wilcoxon's signed ranks. Drift that hits both cancels
 * Both assume no shape of distribution but (paired: symmetric differences; independent: equal shapes, as any shift does). They
 * cover 95 % or a little more, since ranks are discrete; where the units are too few for 95 % there is no interval.
 * Exact up to TWO_SAMPLES_EXACT units an arm and without ties; else normal approximations with corrections for continuity and
 * ties.
 *
 * Ownership: nothing outlives a call. */
#ifndef HARNESS_TWO_SAMPLES_H
#define HARNESS_TWO_SAMPLES_H

#include "engine/error.h"

#include <stddef.h>

enum { TWO_SAMPLES_EXACT = 40 };

typedef struct TwoSamples {
    size_t n_first, n_second;
    double ratio, low, high;         /* second/first; low and high NAN where there are too few units */
    double p;                        /* two-sided: no difference */
    double slower_share;             /* how often a unit of the second is slower than one of the first, ties half (Vargha & Delaney) */
    bool   paired;
} TwoSamples;

/* All units > 0 and finite; n, m >= 1. */
bool two_samples_independent(TwoSamples *out, const double *first, size_t n, const double *second, size_t m, Error *err);
bool two_samples_paired(TwoSamples *out, const double *first, const double *second, size_t n, Error *err);

/* Holm (1979): p (n) becomes what each is after correction for all of them; at most 1, in no smaller order than before. */
bool holm_correct(double *p, size_t n, Error *err);

typedef enum Judgement { JUDGED_FASTER, JUDGED_SLOWER, JUDGED_EQUIVALENT, JUDGED_UNCERTAIN_LARGE, JUDGED_UNCERTAIN, JUDGED_INSUFFICIENT } Judgement;
const char *judgement_name(Judgement j);    /* "slower" */

enum { JUDGED_UNITS = 9 };                  /* fewer in an arm suffice for no judgement (rule V40) */

/* p: after correction. equivalent: the whole interval within 1 -+ margin; faster, slower: it leaves out 1 and p < 0.05;
 * uncertain_large: neither, but the estimate is at least margin off. */
Judgement two_samples_judge(const TwoSamples *t, double corrected_p, double margin);

/* Rule V41, of the second arm: slower by at least the floor (0.03: 3 %), interval above 1, corrected p < 0.01, 9 units an arm. The p is
 * stricter than that of a judgement, since a gate is asked again with every change. */
bool two_samples_regressed(const TwoSamples *t, double corrected_p, double floor);

#endif
