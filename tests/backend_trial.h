/* What every trial of a kernel uses: random inputs, outputs of three runs with a guarded end, comparison within bounds, and
 * the sizes to walk. Included by test_backends.c alone. */
#ifndef TESTS_BACKEND_TRIAL_H
#define TESTS_BACKEND_TRIAL_H

#include "engine/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The error of one rounding, relatively. The oracle itself rounds its result once; its sums are in double. */
#ifdef REAL_DOUBLE
static const double eps = 0x1p-53;
#else
static const double eps = 0x1p-24;
#endif

enum { GUARD = 16, MAX_BLOCKS = 128 };
static const Real guard_value = (Real)-12345.0;

/* What a trial needs, and what it found. */
typedef struct Trial {
    const Backend *run[3];                  /* the reference, and twice the backend on trial */
    bool           spoil;                   /* put one output off by a thousandth, to see whether it is noticed */
    char           found[256];              /* the first difference; "" when none */
    int64_t        n_compared;
    void          *block[MAX_BLOCKS];       /* freed when the trial's next size begins */
    int            n_blocks;
    uint64_t       random_state;
} Trial;

typedef struct Output { Real *of[3]; } Output;     /* of each run */

static void *block(Trial *t, size_t bytes) {
    assert_true(t->n_blocks < MAX_BLOCKS);
    void *p = calloc(1, bytes + 1);
    assert_non_null(p);
    return t->block[t->n_blocks++] = p;
}

static void release(Trial *t) {
    while (t->n_blocks > 0) free(t->block[--t->n_blocks]);
}

static double uniform(Trial *t) {                  /* splitmix64 */
    uint64_t z = t->random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static int below(Trial *t, int n) { return (int)(uniform(t) * n); }

static Real *reals(Trial *t, int64_t n) {          /* about N(0,1), at most 3 */
    Real *x = block(t, (size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (Real)(2 * (uniform(t) + uniform(t) + uniform(t)) - 3);
    return x;
}

static Output output(Trial *t, int64_t n) {        /* the same random start for all runs, and a guarded end */
    Output      o;
    const Real *start = reals(t, n);
    for (int run = 0; run < 3; run++) {
        o.of[run] = block(t, (size_t)(n + GUARD) * sizeof(Real));
        memcpy(o.of[run], start, (size_t)n * sizeof(Real));
        for (int64_t i = n; i < n + GUARD; i++) o.of[run][i] = guard_value;
    }
    return o;
}

static double *bounds(Trial *t, int64_t n) { return block(t, (size_t)n * sizeof(double)); }

static double largest(int64_t n, const Real *x) {
    double max = 0;
    for (int64_t i = 0; i < n; i++) max = fmax(max, fabs((double)x[i]));
    return max;
}

static bool within(double expected, double got, double bound) {
    return (isnan(expected) && isnan(got)) || expected == got || fabs(expected - got) <= bound;
}

#define FOUND(t, ...) do { if ((t)->found[0] == '\0') snprintf((t)->found, sizeof (t)->found, __VA_ARGS__); } while (0)

static void compare(Trial *t, const char *what, int64_t n, Output o, const double *bound) {
    if (t->spoil && n > 0)
        for (int run = 1; run < 3; run++) o.of[run][n / 2] += (Real)(1e-3 * fmax(1e-3, largest(n, o.of[0])));
    for (int64_t i = 0; i < n; i++) {
        t->n_compared++;
        if (!within((double)o.of[0][i], (double)o.of[1][i], bound[i]))
            FOUND(t, "%s %lld of %lld: reference %.9g, got %.9g, bound %.3g", what, (long long)i, (long long)n,
                  (double)o.of[0][i], (double)o.of[1][i], bound[i]);
        if (memcmp(&o.of[1][i], &o.of[2][i], sizeof(Real)) != 0)
            FOUND(t, "%s %lld of %lld: first %.9g, then %.9g", what, (long long)i, (long long)n, (double)o.of[1][i],
                  (double)o.of[2][i]);
    }
    for (int run = 0; run < 3; run++)
        for (int64_t i = n; i < n + GUARD; i++)
            if (o.of[run][i] != guard_value) FOUND(t, "%s: run %d wrote past the end", what, run);
}

/* bound_i = relative |reference_i| + absolute */
static void compare_simple(Trial *t, const char *what, int64_t n, Output o, double relative, double absolute) {
    double *bound = bounds(t, n);
    for (int64_t i = 0; i < n; i++) bound[i] = relative * fabs((double)o.of[0][i]) + absolute;
    compare(t, what, n, o, bound);
}

#define EACH_RUN(t, backend) \
    for (int run = 0; run < 3; run++) for (const Backend *backend = (t)->run[run]; backend != NULL; backend = NULL)

/* vectors: around their widths, and long enough that every kernel splits them over the threads */
static const int64_t lengths[] = {0, 1, 7, 16, 33, 1009, 140001};
#define EACH_LENGTH(t, n) \
    for (size_t i_ = 0; i_ < sizeof lengths / sizeof *lengths; i_++, release(t)) \
        for (int64_t n = lengths[i_], once_ = 1; once_; once_ = 0)

static const int64_t matrices[][2] = {{0, 5}, {1, 1}, {3, 7}, {17, 33}, {5, 192}, {701, 65}, {130, 513}, {1500, 2}};
#define EACH_MATRIX(t, M, N) \
    for (size_t i_ = 0; i_ < sizeof matrices / sizeof *matrices; i_++, release(t)) \
        for (int64_t M = matrices[i_][0], N = matrices[i_][1], once_ = 1; once_; once_ = 0)

#endif
