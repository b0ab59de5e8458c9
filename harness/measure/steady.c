/* Trend, step and swing of a series by ranks (steady.h). */
#include "harness/measure/steady.h"

#include "harness/measure/stats.h"
#include "harness/measure/student.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 20 };

/* Of each test alone, two-sided where it has two sides; the three together then err in less than 2 % of steady series. */
static const double trend_z_limit = 2.75;     /* p = 0.006 */
static const double step_p_limit  = 0.006;
static const double swing_z_limit = 2.51;     /* p = 0.006, one side */

typedef struct Ranked { double value; size_t place; } Ranked;

static int by_value(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return (x->place > y->place) - (x->place < y->place);
}

/* Mid-ranks 1..n of x, ties sharing their mean. order (n) is working memory. */
static void rank(const double *x, size_t n, Ranked *order, double *ranks) {
    for (size_t i = 0; i < n; i++) order[i] = (Ranked){x[i], i};
    qsort(order, n, sizeof *order, by_value);
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && order[to].value == order[from].value;) to++;
        for (size_t i = from; i < to; i++) ranks[order[i].place] = 0.5 * (double)(from + to + 1);
    }
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts x. */
static double take_median(double *x, size_t n) {
    qsort(x, n, sizeof *x, ascending);
    return n % 2 == 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* Pettitt's statistic K = max_t |U_t|, p about 2 exp(-6 K^2 / (n^3 + n^2)), at most 1. */
static double step_probability(const double *ranks, size_t n) {
    const double N = (double)n;
    double       sum = 0, most = 0;
    for (size_t t = 0; t + 1 < n; t++) {
        sum += ranks[t];
        most = fmax(most, fabs(2 * sum - (double)(t + 1) * (N + 1)));
    }
    return fmin(1, 2 * exp(-6 * most * most / (N * N * N + N * N)));
}

/* Bartels: sum of squared differences of neighbouring ranks over the ranks' sum of squares is 2 by chance, with variance
 * 4 (n-2) (5n^2 - 2n - 9) / (5n (n+1) (n-1)^2). Positive where neighbours are alike. */
static double swing(const double *ranks, size_t n) {
    const double N = (double)n, middle = 0.5 * (N + 1);
    double       steps = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        squares += (ranks[i] - middle) * (ranks[i] - middle);
        if (i > 0) steps += (ranks[i] - ranks[i - 1]) * (ranks[i] - ranks[i - 1]);
    }
    if (squares == 0) return 0;                               /* all alike */
    const double variance = 4 * (N - 2) * (5 * N * N - 2 * N - 9) / (5 * N * (N + 1) * (N - 1) * (N - 1));
    return (2 - steps / squares) / sqrt(variance);
}

bool steady_judge(Steadiness *out, const double *samples, size_t n, double floor, Error *err) {
    *out = (Steadiness){.step_p = 1};
    if (n < STEADY_SAMPLES) return true;
    double *copy = calloc(n, sizeof *copy), *ranks = calloc(n, sizeof *ranks), block[BLOCKS];
    Ranked *order = calloc(n, sizeof *order);
    bool    ok = copy != NULL && ranks != NULL && order != NULL;
    if (!ok) FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu samples", n);
    if (ok) {
        const size_t n_blocks = n < BLOCKS ? n : BLOCKS;
        double       low = INFINITY, high = -INFINITY;
        for (size_t b = 0; b < n_blocks; b++) {
            const size_t from = b * n / n_blocks, to = (b + 1) * n / n_blocks;
            memcpy(copy, samples + from, (to - from) * sizeof *copy);
            block[b] = take_median(copy, to - from);
            low      = fmin(low, block[b]);
            high     = fmax(high, block[b]);
        }
        memcpy(copy, samples, n * sizeof *copy);
        const double whole = take_median(copy, n);
        memcpy(copy, samples, n / 3 * sizeof *copy);
        const double first = take_median(copy, n / 3);
        memcpy(copy, samples + n - n / 3, n / 3 * sizeof *copy);
        const double last = take_median(copy, n / 3);

        out->trend_z     = stats_trend_z(block, n_blocks);
        rank(block, n_blocks, order, ranks);
        out->step_p      = step_probability(ranks, n_blocks);
        rank(samples, n, order, ranks);
        out->swing_z     = swing(ranks, n);
        out->range_ratio = (high - low) / whole;
        out->drift_ratio = (last - first) / whole;
        const bool large = out->range_ratio >= floor;
        out->trending    = large && fabs(out->trend_z) > trend_z_limit;
        out->stepped     = large && out->step_p < step_p_limit;
        out->swinging    = large && out->swing_z > swing_z_limit;
    }
    free(copy);
    free(ranks);
    free(order);
    return ok;
}

bool steady_no_trend(const double *samples, size_t n) { return fabs(stats_trend_z(samples, n)) < 1.96; }

bool steady_common(const double *drift_ratio, const double *trend_z, size_t n) {
    double sum = 0;
    if (n >= 3) return student_mean(drift_ratio, n, 0).p < 0.01;
    for (size_t i = 0; i < n; i++) sum += trend_z[i];
    return n > 0 && fabs(sum) / sqrt((double)n) > 2.58;
}
