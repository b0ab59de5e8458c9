/* Pooled halves under a policy over all OpenMP threads, an image each (parallel.h). */
#include "engine/backends/parallel.h"

#ifndef REAL_DOUBLE

#include "engine/simd/rows.h"

#include <string.h>

/* The mean is made in the place of its first copy. */
static void pool_image(const PoolHalfArgs *a, int s) {
    const int64_t first = a->offset[s], n = a->offset[s + 1] - first, half = a->D / 2;
    const float  *x = a->x + first * a->D;
    float        *y = a->y + first * a->D, *mean = y + half;
    double        total = 0;
    if (n == 0) return;
    memset(mean, 0, (size_t)half * sizeof *mean);
    for (int64_t i = 0; i < n; i++) total += a->policy != NULL ? (double)a->policy[first + i] : 1;
    if (a->policy == NULL) simd_rows()->column_sums(n, half, x + half, a->D, mean);
    for (int64_t i = 0; a->policy != NULL && i < n; i++) simd_rows()->axpy(half, a->policy[first + i], x + i * a->D + half, mean);
    if (total != 0) simd_rows()->scale(half, (float)(1 / total), mean, mean);
    else            memset(mean, 0, (size_t)half * sizeof *mean);
    for (int64_t i = 0; i < n; i++) {
        memcpy(y + i * a->D, x + i * a->D, (size_t)half * sizeof *y);
        if (i > 0) memcpy(y + i * a->D + half, mean, (size_t)half * sizeof *y);
    }
}

static void pool_image_backward(const PoolHalfArgs *a, int s) {
    const int64_t first = a->offset[s], n = a->offset[s + 1] - first, half = a->D / 2;
    double        total = 0;
    for (int64_t i = first; i < first + n; i++) total += a->policy != NULL ? (double)a->policy[i] : 1;
    for (int64_t i = first; a->dx != NULL && i < first + n; i++) simd_rows()->add(half, a->dx + i * a->D, a->dy + i * a->D, a->dx + i * a->D);
    for (int64_t d = 0; total != 0 && d < half; d++) {
        double G = 0;
        for (int64_t i = first; i < first + n; i++) G += (double)a->dy[i * a->D + half + d];
        G /= total;
        for (int64_t i = first; i < first + n; i++) {
            const int64_t at = i * a->D + half + d;
            if (a->dx != NULL)      a->dx[at] += (float)((a->policy != NULL ? (double)a->policy[i] : 1) * G);
            if (a->dpolicy != NULL) a->dpolicy[i] += (float)(G * ((double)a->x[at] - (double)a->y[at]));
        }
    }
}

static int image_parts(const PoolHalfArgs *a) {
    const int64_t rows = a->offset[a->n_sequences] - a->offset[0];
    return a->n_sequences < 1 || rows * a->D < 32768 ? 1 : parallel_parts(a->n_sequences, 1);
}

void parallel_pool_half(const PoolHalfArgs *a) {
    const int parts = image_parts(a);
    PARALLEL_PARTS(part, parts)
        for (int64_t s = parallel_first(a->n_sequences, 1, part, parts); s < parallel_first(a->n_sequences, 1, part + 1, parts); s++)
            pool_image(a, (int)s);
}

void parallel_pool_half_backward(const PoolHalfArgs *a) {
    const int parts = image_parts(a);
    PARALLEL_PARTS(part, parts)
        for (int64_t s = parallel_first(a->n_sequences, 1, part, parts); s < parallel_first(a->n_sequences, 1, part + 1, parts); s++)
            pool_image_backward(a, (int)s);
}

#endif
