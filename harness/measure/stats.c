/* Medians, spreads and intervals by order statistics (Hettmansperger & Sheather 1986) and their units (stats.h). */
#include "harness/measure/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void sort(double *x, size_t n) {
    qsort(x, n, sizeof *x, ascending);
}

double stats_quantile(const double *sorted, size_t n, double p) {
    CHECK(n >= 1 && p >= 0 && p <= 1, "quantile %g of %zu samples", p, n);
    const double position = p * (double)(n - 1);
    const size_t below    = (size_t)position;
    if (below + 1 >= n) return sorted[n - 1];
    const double part = position - (double)below;
    return sorted[below] + part * (sorted[below + 1] - sorted[below]);
}

static double median_of(const double *sorted, size_t n) {
    return n % 2 == 1 ? sorted[n / 2] : sorted[n / 2 - 1] + 0.5 * (sorted[n / 2] - sorted[n / 2 - 1]);
}

/* P(X = k), X binomial (n, 1/2): of n samples exactly k lie below the true median. */
static double binomial_half(size_t n, size_t k) {
    int          sign;
    const double N = (double)n, K = (double)k;
    return exp(lgamma_r(N + 1, &sign) - lgamma_r(K + 1, &sign) - lgamma_r(N - K + 1, &sign) - N * M_LN2);
}

/* Interval of the median from x_(l)..x_(n+1-l), of exact coverage 1 - 2 P(X < l): the widest l that still covers 95 %
 * and the next narrower one, which does not, interpolated (Hettmansperger & Sheather 1986). */
static void median_interval(const double *sorted, size_t n, double *low, double *high) {
    *low = *high = NAN;
    if (n < STATS_INTERVAL_UNITS) return;
    /* what lies over 12 standard deviations from the middle has no weight that a double would notice */
    const double start     = 0.5 * (double)n - 6 * sqrt((double)n);
    size_t       l         = start > 0 ? (size_t)start : 0;
    double       below     = 0; /* P(X < l) */
    double       next      = binomial_half(n, l);
    while (1 - 2 * (below + next) >= 0.95) {
        below += next;
        l++;
        next = binomial_half(n, l);
    }
    CHECK(l >= 1 && 2 * l < n, "interval rank %zu of %zu", l, n);
    const double N = (double)n, L = (double)l;
    const double share  = (1 - 2 * below - 0.95) / (2 * next); /* how far towards the narrower interval, by coverage */
    const double weight = (N - L) * share / (L + (N - 2 * L) * share);
    *low  = (1 - weight) * sorted[l - 1] + weight * sorted[l];
    *high = (1 - weight) * sorted[n - l] + weight * sorted[n - l - 1];
}

static bool all_finite(const double *samples, size_t n, Error *err) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(samples[i])) return FAIL(err, "", "sample %zu must be a finite number, got %g", i, samples[i]);
    return true;
}

static bool allocate(double **out, size_t n, Error *err) {
    *out = calloc(n + 1, sizeof **out); /* one to spare: none at all might be given as NULL */
    if (*out == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu samples", n);
    return true;
}

static void count_outliers(Stats *s, const double *sorted) {
    const double q1 = stats_quantile(sorted, s->n, 0.25), q3 = stats_quantile(sorted, s->n, 0.75);
    for (size_t i = 0; i < s->n; i++) {
        const double beyond = fmax(q1 - sorted[i], sorted[i] - q3);
        if (beyond > 3 * (q3 - q1))
            s->n_severe++;
        else if (beyond > 1.5 * (q3 - q1))
            s->n_mild++;
        /* 1.4826 MADs estimate one standard deviation of a normal distribution */
        if (fabs(sorted[i] - s->median) > 10 * 1.4826 * s->mad) s->n_suspect++;
    }
}

bool stats_summarise(Stats *out, const double *samples, size_t n, Error *err) {
    bool    ok        = false;
    double *sorted    = NULL;
    double *distances = NULL;
    Stats   s         = {.n = n, .min = NAN, .median = NAN, .mean = NAN, .max = NAN, .sd = NAN, .mad = NAN,
                         .median_low = NAN, .median_high = NAN, .p50 = NAN, .p90 = NAN, .p99 = NAN};
    if (!all_finite(samples, n, err)) goto done;
    if (!allocate(&sorted, n, err) || !allocate(&distances, n, err)) goto done;
    if (n > 0) {
        double m2 = 0;
        s.mean    = 0;
        for (size_t i = 0; i < n; i++) { /* Welford: no difference of large squares */
            const double d = samples[i] - s.mean;
            s.mean += d / (double)(i + 1);
            m2 += d * (samples[i] - s.mean);
        }
        if (n > 1) s.sd = sqrt(m2 / (double)(n - 1));

        memcpy(sorted, samples, n * sizeof *sorted);
        sort(sorted, n);
        s.min    = sorted[0];
        s.max    = sorted[n - 1];
        s.median = median_of(sorted, n);
        for (size_t i = 0; i < n; i++) distances[i] = fabs(sorted[i] - s.median);
        sort(distances, n);
        s.mad = median_of(distances, n);
        if (n >= STATS_P50_SAMPLES) s.p50 = stats_quantile(sorted, n, 0.50);
        if (n >= STATS_P90_SAMPLES) s.p90 = stats_quantile(sorted, n, 0.90);
        if (n >= STATS_P99_SAMPLES) s.p99 = stats_quantile(sorted, n, 0.99);
        median_interval(sorted, n, &s.median_low, &s.median_high);
        count_outliers(&s, sorted);
    }
    *out = s;
    ok   = true;
done:
    free(sorted);
    free(distances);
    return ok;
}

/* One sample with the process it came from; sorting puts a process's samples together, ascending. */
typedef struct Labelled {
    int    process;
    double sample;
} Labelled;

static int by_process_then_sample(const void *a, const void *b) {
    const Labelled *x = a, *y = b;
    if (x->process != y->process) return x->process < y->process ? -1 : 1;
    return ascending(&x->sample, &y->sample);
}

/* unit (n at most): the samples themselves if all come from one process, else the median of each process, in the order
 * of the process numbers. */
static bool units_of(double *unit, size_t *n_units, const double *samples, const int *process, size_t n, Error *err) {
    bool several = false;
    for (size_t i = 1; process != NULL && i < n; i++) several = several || process[i] != process[0];
    if (!several) {
        memcpy(unit, samples, n * sizeof *unit);
        *n_units = n;
        return true;
    }
    Labelled *sorted = calloc(n, sizeof *sorted);
    if (sorted == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu samples", n);
    for (size_t i = 0; i < n; i++) sorted[i] = (Labelled){process[i], samples[i]};
    qsort(sorted, n, sizeof *sorted, by_process_then_sample);
    *n_units = 0;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && sorted[to].process == sorted[from].process;) to++;
        const size_t middle = from + (to - from) / 2;
        unit[(*n_units)++] = (to - from) % 2 == 1 ? sorted[middle].sample
                                                  : 0.5 * (sorted[middle - 1].sample + sorted[middle].sample);
    }
    free(sorted);
    return true;
}

bool stats_process_interval(StatsInterval *out, const double *samples, const int *process, size_t n, Error *err) {
    CHECK(n >= 1, "an interval of no samples");
    bool    ok   = false;
    double *unit = NULL;
    if (!all_finite(samples, n, err)) goto done;
    if (!allocate(&unit, n, err) || !units_of(unit, &out->n_units, samples, process, n, err)) goto done;
    sort(unit, out->n_units);
    out->median = median_of(unit, out->n_units);
    median_interval(unit, out->n_units, &out->low, &out->high);
    ok = true;
done:
    free(unit);
    return ok;
}

/* Mann (1945), Kendall: pairs that rise less pairs that fall, over its standard deviation without ties. */
double stats_trend_z(const double *unit, size_t n) {
    double rises = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = i + 1; k < n; k++) rises += (unit[k] > unit[i]) - (unit[k] < unit[i]);
    const double m = (double)n;
    return n < 3 ? 0 : rises / sqrt(m * (m - 1) * (2 * m + 5) / 18);
}

bool stats_block_interval(StatsInterval *out, double *trend_z, const double *samples, size_t n, Error *err) {
    size_t blocks = n / STATS_BLOCK_SAMPLES < STATS_BLOCKS ? n / STATS_BLOCK_SAMPLES : STATS_BLOCKS;
    if (blocks < STATS_INTERVAL_UNITS) blocks = n;
    bool    ok    = false;
    double *unit  = NULL;
    int    *label = calloc(n > 0 ? n : 1, sizeof *label);
    if (label == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu labels", n);
        goto done;
    }
    for (size_t i = 0; i < n; i++) label[i] = (int)(i * blocks / n);
    if (!stats_process_interval(out, samples, label, n, err) || !allocate(&unit, n, err) || !units_of(unit, &blocks, samples, label, n, err)) goto done;
    *trend_z = stats_trend_z(unit, blocks);
    memcpy(unit, samples, n * sizeof *unit);
    sort(unit, n);
    out->median = median_of(unit, n);
    out->low    = fmin(out->low, out->median);
    out->high   = fmax(out->high, out->median);
    if (out->n_units < STATS_INTERVAL_UNITS) out->low = out->high = NAN;
    ok = true;
done:
    free(unit);
    free(label);
    return ok;
}

bool stats_paired_ratio(StatsRatio *out, const double *first, const double *second, const int *process, size_t n, Error *err) {
    CHECK(n >= 1, "a ratio of no samples");
    bool    ok = false;
    double *a = NULL, *b = NULL, *ratio = NULL;
    if (!all_finite(first, n, err) || !all_finite(second, n, err)) goto done;
    for (size_t i = 0; i < n; i++)
        if (!(first[i] > 0 && second[i] > 0)) {
            FAIL(err, "", "pair %zu must be positive, got %g and %g", i, first[i], second[i]);
            goto done;
        }
    if (!allocate(&a, n, err) || !allocate(&b, n, err) || !allocate(&ratio, n, err)) goto done;
    if (!units_of(a, &out->n_units, first, process, n, err) || !units_of(b, &out->n_units, second, process, n, err)) goto done;
    for (size_t i = 0; i < out->n_units; i++) ratio[i] = a[i] / b[i];
    sort(ratio, out->n_units);
    out->ratio = median_of(ratio, out->n_units);
    median_interval(ratio, out->n_units, &out->low, &out->high);
    sort(a, out->n_units);
    sort(b, out->n_units);
    out->ratio_of_medians = median_of(a, out->n_units) / median_of(b, out->n_units);
    ok = true;
done:
    free(a);
    free(b);
    free(ratio);
    return ok;
}
