/* Hodges-Lehmann ratios with exact rank intervals, Holm's correction, judgements (two_samples.h). */
#include "harness/measure/two_samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double coverage = 0.95, quantile_975 = 1.959963984540054;

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of_sorted(const double *x, size_t n) { return n % 2 == 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]); }

static bool check(const double *x, size_t n, const char *which, Error *err) {
    for (size_t i = 0; i < n; i++)
        if (!(isfinite(x[i]) && x[i] > 0)) return FAIL(err, "", "unit %zu of the %s arm must be positive, got %g", i, which, x[i]);
    return true;
}

static bool allocate(double **out, size_t n, Error *err) {
    *out = calloc(n + 1, sizeof **out);
    return *out != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu numbers", n);
}

/* Two-sided p of a statistic with the exact probabilities weight[0..top] / sum, symmetric about top/2. */
static double exact_p(const double *weight, size_t top, double sum, double statistic) {
    const double extreme = fmin(statistic, (double)top - statistic);
    double       below = 0;
    for (size_t k = 0; (double)k <= extreme; k++) below += weight[k];
    return fmin(1, 2 * below / sum);
}

/* The largest number c of differences that may be left out at each end: P(statistic < c) <= 2.5 %. 0: too few units. */
static size_t exact_rank(const double *weight, double sum) {
    double below = 0;
    size_t c = 0;
    while (below + weight[c] <= sum * (1 - coverage) / 2) below += weight[c++];
    return c;
}

static double normal_p(double statistic, double mean, double variance) {
    if (!(variance > 0)) return 1;
    const double z = fmax(0, fabs(statistic - mean) - 0.5) / sqrt(variance);
    return erfc(z / sqrt(2));
}

static size_t normal_rank(double mean, double variance) {
    const double c = floor(mean - quantile_975 * sqrt(variance));
    return c > 0 ? (size_t)c : 0;
}

/* difference (N) sorted: interval between the c-th from each end. */
static void put_interval(TwoSamples *t, const double *difference, size_t N, size_t c) {
    t->ratio = exp(median_of_sorted(difference, N));
    t->low = t->high = NAN;
    if (c < 1) return;
    t->low  = exp(difference[c - 1]);
    t->high = exp(difference[N - c]);
}

/* Number of ways to get each value 0..n m of the Mann-Whitney statistic: choosing n of n+m ranks. ways (n m + 1). */
static bool mann_whitney_ways(double *ways, size_t n, size_t m, Error *err) {
    /* count[k][u] for k chosen so far, ranks taken one after another */
    const size_t top   = n * m;
    double      *count = NULL;
    if (!allocate(&count, (n + 1) * (top + 1), err)) return false;
    count[0] = 1;
    for (size_t rank = 0; rank < n + m; rank++)
        for (size_t k = n; k >= 1; k--) {
            if (rank + 1 < k) continue;
            const size_t above = rank + 1 - k;               /* of the other arm, below this rank, when it is the k-th chosen */
            if (above > m) continue;
            for (size_t u = above; u <= top; u++) count[k * (top + 1) + u] += count[(k - 1) * (top + 1) + u - above];
        }
    memcpy(ways, count + n * (top + 1), (top + 1) * sizeof *ways);
    free(count);
    return true;
}

/* Sum of t^3 - t over groups of t equal numbers. */
static double tie_term(const double *sorted, size_t n) {
    double sum = 0;
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from; to < n && sorted[to] == sorted[from];) to++;
        const double t = (double)(to - from);
        sum += t * t * t - t;
    }
    return sum;
}

bool two_samples_independent(TwoSamples *out, const double *first, size_t n, const double *second, size_t m, Error *err) {
    CHECK(n >= 1 && m >= 1, "%zu and %zu units", n, m);
    double *difference = NULL, *ways = NULL, *all = NULL, u = 0;
    bool    ok = false;
    *out = (TwoSamples){.n_first = n, .n_second = m};
    if (!check(first, n, "first", err) || !check(second, m, "second", err) || !allocate(&difference, n * m, err) || !allocate(&all, n + m, err)) goto done;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m; k++) {
            difference[i * m + k] = log(second[k]) - log(first[i]);
            u += second[k] > first[i] ? 1 : second[k] == first[i] ? 0.5 : 0;
        }
    qsort(difference, n * m, sizeof *difference, ascending);
    memcpy(all, first, n * sizeof *all);
    memcpy(all + n, second, m * sizeof *all);
    qsort(all, n + m, sizeof *all, ascending);
    const double ties = tie_term(all, n + m), N = (double)n, M = (double)m, both = N + M;
    out->slower_share = u / (N * M);
    size_t c;
    if (n <= TWO_SAMPLES_EXACT && m <= TWO_SAMPLES_EXACT) {
        double sum = 0;
        if (!allocate(&ways, n * m + 1, err) || !mann_whitney_ways(ways, n, m, err)) goto done;
        for (size_t k = 0; k <= n * m; k++) sum += ways[k];
        c = exact_rank(ways, sum);
        out->p = ties == 0 ? exact_p(ways, n * m, sum, u) : normal_p(u, N * M / 2, N * M / 12 * (both + 1 - ties / (both * (both - 1))));
    } else {
        const double variance = N * M / 12 * (both + 1 - ties / (both * (both - 1)));
        c      = normal_rank(N * M / 2, variance);
        out->p = normal_p(u, N * M / 2, variance);
    }
    put_interval(out, difference, n * m, c);
    ok = true;
done:
    free(difference);
    free(ways);
    free(all);
    return ok;
}

/* Ways to get each value 0..n(n+1)/2 of Wilcoxon's sum of positive ranks. */
static void signed_rank_ways(double *ways, size_t n) {
    const size_t top = n * (n + 1) / 2;
    memset(ways, 0, (top + 1) * sizeof *ways);
    ways[0] = 1;
    for (size_t rank = 1; rank <= n; rank++)
        for (size_t w = top; w >= rank; w--) ways[w] += ways[w - rank];
}

bool two_samples_paired(TwoSamples *out, const double *first, const double *second, size_t n, Error *err) {
    CHECK(n >= 1, "%zu pairs", n);
    const size_t top = n * (n + 1) / 2;
    double      *d = NULL, *walsh = NULL, *ways = NULL;
    bool         ok = false;
    *out = (TwoSamples){.n_first = n, .n_second = n, .paired = true};
    if (!check(first, n, "first", err) || !check(second, n, "second", err) || !allocate(&d, n, err) || !allocate(&walsh, top, err) || !allocate(&ways, top + 1, err))
        goto done;
    double u = 0, statistic = 0;
    size_t at = 0;
    bool   ties = false;
    for (size_t i = 0; i < n; i++) {
        d[i] = log(second[i]) - log(first[i]);
        u += d[i] > 0 ? 1 : d[i] == 0 ? 0.5 : 0;
        ties = ties || d[i] == 0;
        for (size_t k = 0; k < i; k++) ties = ties || fabs(d[i]) == fabs(d[k]);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = i; k < n; k++) {
            walsh[at] = 0.5 * (d[i] + d[k]);
            statistic += walsh[at] > 0 ? 1 : walsh[at] == 0 ? 0.5 : 0;    /* Tukey: positive Walsh averages are the sum of positive ranks */
            at++;
        }
    qsort(walsh, top, sizeof *walsh, ascending);
    out->slower_share = u / (double)n;
    const double N = (double)n, mean = N * (N + 1) / 4, variance = N * (N + 1) * (2 * N + 1) / 24;
    size_t       c;
    if (n <= TWO_SAMPLES_EXACT) {
        signed_rank_ways(ways, n);
        const double sum = exp2(N);
        c      = exact_rank(ways, sum);
        out->p = !ties ? exact_p(ways, top, sum, statistic) : normal_p(statistic, mean, variance);
    } else {
        c      = normal_rank(mean, variance);
        out->p = normal_p(statistic, mean, variance);
    }
    put_interval(out, walsh, top, c);
    ok = true;
done:
    free(d);
    free(walsh);
    free(ways);
    return ok;
}

bool holm_correct(double *p, size_t n, Error *err) {
    size_t *order = calloc(n + 1, sizeof *order);
    if (order == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "cannot allocate %zu numbers", n);
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && p[order[at - 1]] > p[i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    double least = 0;
    for (size_t i = 0; i < n; i++) {
        least       = fmax(least, fmin(1, (double)(n - i) * p[order[i]]));
        p[order[i]] = least;
    }
    free(order);
    return true;
}

const char *judgement_name(Judgement j) {
    static const char *const names[] = {"faster", "slower", "equivalent", "uncertain_large", "uncertain", "insufficient"};
    return names[j];
}

static bool enough(const TwoSamples *t) { return t->n_first >= JUDGED_UNITS && t->n_second >= JUDGED_UNITS && isfinite(t->low); }

Judgement two_samples_judge(const TwoSamples *t, double corrected_p, double margin) {
    if (!enough(t)) return JUDGED_INSUFFICIENT;
    if (t->low >= 1 - margin && t->high <= 1 + margin) return JUDGED_EQUIVALENT;
    if (corrected_p < 0.05 && t->high < 1) return JUDGED_FASTER;
    if (corrected_p < 0.05 && t->low > 1) return JUDGED_SLOWER;
    return fabs(t->ratio - 1) >= margin ? JUDGED_UNCERTAIN_LARGE : JUDGED_UNCERTAIN;
}

bool two_samples_regressed(const TwoSamples *t, double corrected_p, double floor) {
    return enough(t) && corrected_p < 0.01 && t->low > 1 && t->ratio - 1 >= floor;
}
