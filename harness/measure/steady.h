/* Whether a series of samples scatters about one value, or drifts, jumps or swings.
 *
 * Three tests of ranks, none of which needs a shape of distribution, share an error of 2 % between them:
 *   trend   Mann-Kendall on the medians of at most 20 consecutive blocks: it rises or falls throughout
 *   step    Pettitt (1979) on the same medians: two levels, one after the other
 *   swing   Bartels (1982), ranked von Neumann ratio of the samples: neighbours are alike (saw-teeth, waves)
 * A finding counts only when it is also large: the highest and lowest block medians lie at least `floor` of the median apart.
 * Between processes of one arm none of this harms, since each process is one unit of the interval; what all processes do
 * alike (a warm-up that was too short) no number of processes cures, hence steady_common. */
#ifndef HARNESS_STEADY_H
#define HARNESS_STEADY_H

#include "engine/error.h"

#include <stddef.h>

enum { STEADY_SAMPLES = 12 };            /* fewer say nothing */

typedef struct Steadiness {
    double trend_z;                      /* standard deviations; positive: slower and slower */
    double step_p, swing_z;              /* probability of the step by chance; positive: neighbours too much alike */
    double range_ratio;                  /* (highest - lowest block median) / median */
    double drift_ratio;                  /* (last third's median - first third's) / median */
    bool   trending, stepped, swinging;  /* significant and large */
} Steadiness;

/* floor: 0.02 says that movements below 2 % are of no account. n < STEADY_SAMPLES: nothing is found, all zero. */
bool steady_judge(Steadiness *out, const double *samples, size_t n, double floor, Error *err);

/* Whether the last n samples show no trend: |Mann-Kendall z| < 1.96, each sample a unit. The rule that ends a warm-up. */
bool steady_no_trend(const double *samples, size_t n);

/* Whether n processes drift together (p < 0.01), as they do after a warm-up that was too short: Student's t over their drift_ratio, processes
 * as units, since the samples of one hang together by the clock's own wandering. Of one or two, which have no spread to speak of, by
 * Stouffer's sum of their trend_z. */
bool steady_common(const double *drift_ratio, const double *trend_z, size_t n);

#endif
