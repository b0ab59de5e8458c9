/* Statistics of repeated measurements: a summary that keeps every sample in view, and intervals for medians.
 *
 * Every interval here is one method, of 95 %, named beside each result (STATS_INTERVAL_METHOD): the order-statistic
 * interval of a median, interpolated between the two nested intervals whose exact coverages bracket 95 %
 * (Hettmansperger & Sheather 1986). It needs no shape of distribution, no random numbers, and at least six independent
 * units. The units are
 *   the samples       of one process (independent only as far as the process is steady)
 *   block medians     of consecutive samples of one process: wider when the machine's speed wanders
 *   process medians   of several processes: what a process does to all its samples at once (addresses, page placement)
 *                     then widens the interval as it should; the interval is for the centre of the distribution of
 *                     process medians
 *   paired ratios     of two arms measured in the same rounds or processes; drift that hits both cancels
 * It covers 94 to 96 % for 6 to 30 units of normal, skewed, bimodal and autocorrelated noise (tests/test_stats.c). A
 * percentile bootstrap of the same units was tried and covers 90 to 95 %; of a ratio of two medians, up to 99 %, since
 * resampling the two columns keeps only a part of what they share.
 *
 * Undefined is NAN, never 0. Ownership: nothing here outlives its call. */
#ifndef HARNESS_STATS_H
#define HARNESS_STATS_H

#include "engine/error.h"

#include <stddef.h>

#define STATS_INTERVAL_METHOD "order_statistics_interpolated95"

/* The fewest samples that support each: about ten must lie beyond a percentile. Fewer than six units have no interval. */
enum { STATS_P50_SAMPLES = 20, STATS_P90_SAMPLES = 100, STATS_P99_SAMPLES = 1000, STATS_INTERVAL_UNITS = 6 };

typedef struct Stats {
    size_t n, n_suspect;              /* suspect: over 10 scaled MADs from the median; kept, not dropped */
    double min, median, mean, max;    /* NAN when n = 0 */
    double sd;                        /* divisor n-1; NAN when n < 2 */
    double mad;                       /* median of |x - median|, not scaled */
    double median_low, median_high;   /* the samples as units; NAN when n < 6 */
    double p50, p90, p99;             /* NAN below the sizes above; linear between the two nearest samples */
    size_t n_mild, n_severe;          /* Tukey: beyond 1.5 (but not 3) and beyond 3 interquartile ranges from the quartiles */
} Stats;

/* Summarises samples (n). A sample that is not finite is an error that gives its index. n = 0 is not an error. */
bool stats_summarise(Stats *out, const double *samples, size_t n, Error *err);

/* Linear interpolation between order statistics (position p (n-1)); sorted ascending, n >= 1, p in [0,1]. */
double stats_quantile(const double *sorted, size_t n, double p);

typedef struct StatsInterval {
    size_t n_units;                   /* samples of one process, or processes */
    double median, low, high;         /* low and high are NAN below STATS_INTERVAL_UNITS units */
} StatsInterval;

/* Interval of the centre of process medians. process (n) tells by any numbers which process each sample came from; NULL:
 * all from one. n >= 1. */
bool stats_process_interval(StatsInterval *out, const double *samples, const int *process, size_t n, Error *err);

/* The same for samples taken one after another in one process. They are no independent units: the machine's speed wanders
 * for longer than one of them takes. The units are therefore the medians of consecutive blocks, at most 20, of at least 3
 * samples each; below 18 samples, the samples. The median is that of all samples, and the interval holds it. *trend_z: Mann-Kendall statistic of the units, in standard deviations (beyond
 * 2.58 a run without trend gets once in a hundred). */
enum { STATS_BLOCKS = 20, STATS_BLOCK_SAMPLES = 3 };
bool stats_block_interval(StatsInterval *out, double *trend_z, const double *samples, size_t n, Error *err);

/* Mann-Kendall: pairs of x (n) that rise less pairs that fall, in standard deviations of a series without trend; 0 for n < 3. */
double stats_trend_z(const double *x, size_t n);

typedef struct StatsRatio {
    size_t n_units;                   /* pairs of one process, or processes */
    double ratio, low, high;          /* of the median of paired ratios first/second; NAN as above */
    double ratio_of_medians;          /* median of all first over median of all second: what a table's two columns give */
} StatsRatio;

/* How many times more `first` is than `second`, samples i of both taken in the same round of process[i] (NULL: one
 * process). Several processes: the units are the ratios of the two medians of each. All samples > 0, n >= 1. */
bool stats_paired_ratio(StatsRatio *out, const double *first, const double *second, const int *process, size_t n, Error *err);

#endif
