/* Pearson's correlation, and the ranks that make it Spearman's (correlation.h). */
#include "harness/measure/correlation.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

double correlation_pearson(const double *x, const double *y, int n) {
    double mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
    if (n < 2) return NAN;
    for (int i = 0; i < n; i++) {
        mean_x += x[i] / n;
        mean_y += y[i] / n;
    }
    double min_x = x[0], max_x = x[0], min_y = y[0], max_y = y[0];
    for (int i = 0; i < n; i++) {
        min_x = fmin(min_x, x[i]), max_x = fmax(max_x, x[i]);
        min_y = fmin(min_y, y[i]), max_y = fmax(max_y, y[i]);
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        yy += (y[i] - mean_y) * (y[i] - mean_y);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    /* asked of the values: the sums of a constant are off 0 by rounding */
    if (min_x == max_x || min_y == max_y) return NAN;
    return fmax(-1, fmin(1, xy / sqrt(xx * yy)));
}

static int by_value(const void *a, const void *b, void *values) {
    const double x = ((const double *)values)[*(const int *)a], y = ((const double *)values)[*(const int *)b];
    return (x > y) - (x < y);
}

void correlation_ranks(const double *x, int n, int *order, double *rank) {
    for (int i = 0; i < n; i++) order[i] = i;
    qsort_r(order, (size_t)n, sizeof *order, by_value, (void *)(uintptr_t)x);
    for (int i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && x[order[end]] == x[order[i]]; end++) {}
        for (int k = i; k < end; k++) rank[order[k]] = 0.5 * (i + 1 + end);      /* of ranks i+1 .. end */
    }
}
