/* Splits the row loops over OpenMP threads: see parallel.h.
 *
 * GRAIN is the work, in floats touched, below which a second thread costs more than it brings: waking the team takes about
 * 2 us, a float in L2 about 0.1 ns. */
#include "engine/backends/parallel.h"

#ifndef REAL_DOUBLE

#include "engine/error.h"
#include "engine/rng.h"
#include "engine/scratch.h"
#include "engine/simd/rows.h"

#include <math.h>
#include <omp.h>
#include <string.h>

enum { GRAIN = 16384, LINE = 16 /* floats of a cache line: two threads never write the same one */ };

int parallel_parts(int64_t items, int64_t grain) {
    if (items < 2 * grain || omp_in_parallel()) return 1;
    const int64_t most = items / (grain < 1 ? 1 : grain), threads = omp_get_max_threads();
    return (int)(most < threads ? most : threads);
}

/* Rows of D floats that make a grain. */
static int64_t row_grain(int64_t D) { return D >= GRAIN ? 1 : GRAIN / (D < 1 ? 1 : D); }

/* The statement that follows runs once for each part, with the part's `first` and `size`. */
#define FOR_ELEMENTS(n, grain)                                       \
    const int parts = parallel_parts(n, grain);                      \
    PARALLEL_PARTS(part, parts)                                      \
    for (int64_t first = parallel_first(n, LINE, part, parts),       \
                 size  = parallel_first(n, LINE, part + 1, parts) - first; size > 0; size = 0)

#define FOR_ROWS(M, D)                                               \
    const int parts = parallel_parts(M, row_grain(D));               \
    PARALLEL_PARTS(part, parts)                                      \
    for (int64_t first = parallel_first(M, 1, part, parts),          \
                 size  = parallel_first(M, 1, part + 1, parts) - first; size > 0; size = 0)

/* ---- elementwise ---- */

void parallel_gelu(int64_t n, const float *x, float *y) {
    FOR_ELEMENTS(n, GRAIN / 2) simd_rows()->gelu(size, x + first, y + first);
}

void parallel_gelu_backward(int64_t n, const float *x, const float *dy, float *dx, bool assign) {
    FOR_ELEMENTS(n, GRAIN / 2) simd_rows()->gelu_backward(size, x + first, dy + first, dx + first, assign);
}

void parallel_add(int64_t n, const float *a, const float *b, float *y) {
    FOR_ELEMENTS(n, GRAIN) simd_rows()->add(size, a + first, b + first, y + first);
}

void parallel_axpy(int64_t n, float alpha, const float *x, float *y) {
    FOR_ELEMENTS(n, GRAIN) simd_rows()->axpy(size, alpha, x + first, y + first);
}

void parallel_approach(int64_t n, float alpha, const float *x, float *y) {
    FOR_ELEMENTS(n, GRAIN)
        for (int64_t i = first; i < first + size; i++) y[i] += alpha * (x[i] - y[i]);
}

void parallel_scale(int64_t n, float alpha, const float *x, float *y) {
    FOR_ELEMENTS(n, GRAIN) simd_rows()->scale(size, alpha, x + first, y + first);
}

void parallel_copy(int64_t n, const float *x, float *y) {
    FOR_ELEMENTS(n, GRAIN) memcpy(y + first, x + first, (size_t)size * sizeof *y);
}

void parallel_adamw(const AdamwArgs *a) {
    FOR_ELEMENTS(a->n, GRAIN / 4) {
        AdamwArgs some = *a;
        some.n    = size;
        some.p    = a->p + first;
        some.m    = a->m + first;
        some.v    = a->v + first;
        some.grad = a->grad + first;
        simd_rows()->adamw(&some);
    }
}

void parallel_sgd(const SgdArgs *a) {
    const float grad_scale = (float)a->grad_scale, decay = (float)a->weight_decay, momentum = (float)a->momentum,
                lr = (float)a->lr;
    FOR_ELEMENTS(a->n, GRAIN / 2) {
        float *restrict       p = a->p + first, *restrict m = a->m + first;
        const float *restrict grad = a->grad + first;
        for (int64_t i = 0; i < size; i++) {
            m[i]  = momentum * m[i] + (grad_scale * grad[i] + decay * p[i]);
            p[i] -= lr * m[i];
        }
    }
}

/* The parts are as many as the size says, not as the threads: the sum is the same with any number of threads. */
void parallel_sum_squares(int64_t n, const float *x, double *sum) {
    enum { MOST_BLOCKS = 256 };
    double        partial[MOST_BLOCKS];
    const int64_t wanted   = n / (4 * GRAIN);
    const int     n_blocks = wanted < 1 ? 1 : wanted > MOST_BLOCKS ? MOST_BLOCKS : (int)wanted;
    const int     parts    = parallel_parts(n_blocks, 1);
    PARALLEL_PARTS(part, parts)
        for (int block = part; block < n_blocks; block += parts) {
            const int64_t first = parallel_first(n, LINE, block, n_blocks);
            partial[block] = simd_rows()->sum_squares(parallel_first(n, LINE, block + 1, n_blocks) - first, x + first);
        }
    *sum = 0;
    for (int block = 0; block < n_blocks; block++) *sum += partial[block];
}

void parallel_drop(const DropArgs *a) {
    const RngStream  stream = rng_stream(a->seed, a->stream);
    const TokenRows *rows   = a->rows;
    const float      grow   = (float)(1.0 / (1.0 - a->rate));
    enum { DRAW = 64 /* a draw costs as much as that many floats */ };
    FOR_ROWS(a->M, a->per_image ? a->D : a->D * DRAW) {
        int b = 0;
        while (rows->offset[b + 1] <= first) b++;
        for (int64_t m = first; m < first + size; m++) {
            while (rows->offset[b + 1] <= m) b++;
            RngKey key  = {.step = a->step, .image = rows->image_id[b], .layer = a->layer};
            bool   keep = true;
            if (a->per_image) keep = rng_uniform(stream, key) >= a->rate;
            else              key.patch = rows->patch[m];
            for (int64_t d = 0; d < a->D; d++) {
                if (!a->per_image) {
                    key.channel = d;
                    keep        = rng_uniform(stream, key) >= a->rate;
                }
                const float x = keep ? a->x[m * a->D + d] * grow : 0;
                if (a->accumulate) a->y[m * a->D + d] += x;
                else               a->y[m * a->D + d]  = x;
            }
        }
    }
}

/* ---- rows ---- */

static LayerNormArgs some_rows(const LayerNormArgs *a, int64_t first, int64_t size) {
    LayerNormArgs some = *a;
    some.M = size;
    some.x = a->x + first * a->D;
    if (a->y != NULL)      some.y      = a->y + first * a->D;
    if (a->mean != NULL)   some.mean   = a->mean + first;
    if (a->inv_sd != NULL) some.inv_sd = a->inv_sd + first;
    if (a->dy != NULL)     some.dy     = a->dy + first * a->D;
    if (a->dx != NULL)     some.dx     = a->dx + first * a->D;
    return some;
}

void parallel_layer_norm(const LayerNormArgs *a) {
    FOR_ROWS(a->M, a->D) {
        const LayerNormArgs some = some_rows(a, first, size);
        simd_rows()->layer_norm(&some);
    }
}

void parallel_layer_norm_backward(const LayerNormArgs *a) {
    const int     parts = parallel_parts(a->M, row_grain(a->D));
    const int64_t D     = a->D;
    if (parts == 1) {
        simd_rows()->layer_norm_backward(a);
        return;
    }
    float *sums = scratch_floats(SCRATCH_ROWS, (size_t)(2 * parts * D));      /* (parts, 2, D): dgain, dbias of a part */
    if (sums == NULL) return;
    PARALLEL_PARTS(part, parts) {
        const int64_t first = parallel_first(a->M, 1, part, parts), end = parallel_first(a->M, 1, part + 1, parts);
        LayerNormArgs some  = some_rows(a, first, end - first);
        memset(sums + 2 * part * D, 0, (size_t)(2 * D) * sizeof *sums);
        if (a->dgain != NULL) some.dgain = sums + 2 * part * D;
        if (a->dbias != NULL) some.dbias = sums + (2 * part + 1) * D;
        simd_rows()->layer_norm_backward(&some);
    }
    for (int part = 0; part < parts; part++) {
        if (a->dgain != NULL) simd_rows()->add(D, a->dgain, sums + 2 * part * D, a->dgain);
        if (a->dbias != NULL) simd_rows()->add(D, a->dbias, sums + (2 * part + 1) * D, a->dbias);
    }
}

void parallel_softmax_rows(int64_t M, int64_t N, const float *x, float *y) {
    FOR_ROWS(M, 4 * N) simd_rows()->softmax_rows(size, N, x + first * N, y + first * N);
}

void parallel_softmax_rows_backward(int64_t M, int64_t N, const float *y, const float *dy, float *dx) {
    FOR_ROWS(M, N) simd_rows()->softmax_rows_backward(size, N, y + first * N, dy + first * N, dx + first * N);
}

void parallel_gather_rows(int64_t n_rows, int64_t D, const float *x, const int32_t *index, float *y) {
    FOR_ROWS(n_rows, D)
        for (int64_t i = first; i < first + size; i++) {
            if (index[i] < 0) memset(y + i * D, 0, (size_t)D * sizeof *y);
            else              memcpy(y + i * D, x + index[i] * D, (size_t)D * sizeof *y);
        }
}

void parallel_put_rows(int64_t n_rows, int64_t D, const float *x, const int32_t *index, float *y) {
    FOR_ROWS(n_rows, D)
        for (int64_t i = first; i < first + size; i++) {
            if (index[i] < 0)   continue;
            else if (x == NULL) memset(y + index[i] * D, 0, (size_t)D * sizeof *y);
            else                memcpy(y + index[i] * D, x + i * D, (size_t)D * sizeof *y);
        }
}

/* ---- columns: rows that several threads would add to are split by column, so each element has one order of sums ---- */

/* A part is at least LINE columns wide and a grain big. */
static int column_parts(int64_t M, int64_t N) {
    const int64_t grain = M < 1 ? GRAIN : (GRAIN + M - 1) / M;
    return parallel_parts(N, grain < LINE ? LINE : grain);
}

#define FOR_COLUMNS(M, N)                                            \
    const int parts = column_parts(M, N);                            \
    PARALLEL_PARTS(part, parts)                                      \
    for (int64_t first = parallel_first(N, LINE, part, parts),       \
                 size  = parallel_first(N, LINE, part + 1, parts) - first; size > 0; size = 0)

void parallel_column_sums(int64_t M, int64_t N, const float *x, int64_t ld, float *sums) {
    FOR_COLUMNS(M, N) simd_rows()->column_sums(M, size, x + first, ld, sums + first);
}

void parallel_scatter_add_rows(int64_t n_rows, int64_t D, const float *x, const int32_t *index, float *y) {
    FOR_COLUMNS(n_rows, D)
        for (int64_t i = 0; i < n_rows; i++) {
            if (index[i] < 0) continue;
            float *to = y + index[i] * D + first;
            simd_rows()->add(size, to, x + i * D + first, to);
        }
}

static int64_t rows_between(int n, const int32_t *first, const int32_t *end) {
    int64_t n_rows = 0;
    for (int s = 0; s < n; s++) n_rows += end[s] > first[s] ? end[s] - first[s] : 0;
    return n_rows;
}

void parallel_segment_mean(int n, const int32_t *first_row, const int32_t *end_row, int64_t D, const float *x, float *y) {
    FOR_COLUMNS(rows_between(n, first_row, end_row), D)
        for (int s = 0; s < n; s++) {
            const int64_t n_rows = end_row[s] - first_row[s];
            float        *to     = y + s * D + first;
            memset(to, 0, (size_t)size * sizeof *to);
            if (n_rows <= 0) continue;
            simd_rows()->column_sums(n_rows, size, x + first_row[s] * D + first, D, to);
            simd_rows()->scale(size, 1.0f / (float)n_rows, to, to);
        }
}

void parallel_segment_mean_backward(int n, const int32_t *first_row, const int32_t *end_row, int64_t D, const float *dy,
                                    float *dx) {
    FOR_COLUMNS(rows_between(n, first_row, end_row), D)
        for (int s = 0; s < n; s++)
            for (int64_t m = first_row[s]; m < end_row[s]; m++)
                simd_rows()->axpy(size, 1.0f / (float)(end_row[s] - first_row[s]), dy + s * D + first, dx + m * D + first);
}

/* ---- routed rows ---- */

static float gate_of(const CombineArgs *a, int64_t i) { return a->gate_at[i] >= 0 ? a->gate[a->gate_at[i]] : a->constant; }

void parallel_combine_rows(const CombineArgs *a) {
    const int64_t D = a->D;
    FOR_ROWS(a->n, 3 * D)
        for (int64_t i = first; i < first + size; i++) {
            const float *y = a->y + i * D;
            float       *h = a->h + a->index[i] * D;
            const float *base = a->base != NULL ? a->base + i * D : h;
            const float  g = gate_of(a, i), keep = a->paper ? 1 : 1 - g;
            if (a->gate_at[i] == COMBINE_PLAIN) memcpy(h, y, (size_t)D * sizeof *h);
            else for (int64_t d = 0; d < D; d++) h[d] = keep * base[d] + g * y[d];
        }
}

void parallel_combine_rows_backward(const CombineArgs *a) {
    const int64_t D = a->D;
    FOR_ROWS(a->n, 5 * D)
        for (int64_t i = first; i < first + size; i++) {
            const bool   plain = a->gate_at[i] == COMBINE_PLAIN;
            const float  g = plain ? 1 : gate_of(a, i);
            float       *dh = a->dh + a->index[i] * D;
            if (a->dgate != NULL && a->gate_at[i] >= 0) {
                enum { CHUNK = 256 };
                float difference[CHUNK], sum = 0;
                for (int64_t d = 0; d < D; d += CHUNK) {
                    const int64_t n = D - d < CHUNK ? D - d : CHUNK;
                    for (int64_t k = 0; k < n; k++) difference[k] = a->y[i * D + d + k] - (a->paper ? 0 : a->base[i * D + d + k]);
                    sum += simd_rows()->dot(n, dh + d, difference);
                }
                a->dgate[a->gate_at[i]] += sum;
            }
            if (a->dy != NULL) simd_rows()->axpy(D, g, dh, a->dy + i * D);
            if (a->dbase != NULL && !plain) simd_rows()->axpy(D, a->paper ? 1 : 1 - g, dh, a->dbase + i * D);
            memset(dh, 0, (size_t)D * sizeof *dh);
        }
}

void parallel_row_dots(int64_t n, int64_t D, const float *x, const int32_t *index, const float *w, float *y) {
    FOR_ROWS(n, D) for (int64_t i = first; i < first + size; i++) y[i] = simd_rows()->dot(D, x + index[i] * D, w);
}

void parallel_row_dots_backward(int64_t n, int64_t D, const float *x, const int32_t *index, const float *w, const float *dy,
                                float *dx, float *dw) {
    FOR_COLUMNS(n, D)
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = index[i] * D + first;
            if (dx != NULL) simd_rows()->axpy(size, dy[i], w + first, dx + at);
            if (dw != NULL) simd_rows()->axpy(size, dy[i], x + at, dw + first);
        }
}

void parallel_relu(int64_t n, const float *x, float *y) {
    FOR_ELEMENTS(n, GRAIN) for (int64_t i = first; i < first + size; i++) y[i] = x[i] > 0 ? x[i] : 0;
}

void parallel_relu_backward(int64_t n, const float *x, const float *dy, float *dx) {
    FOR_ELEMENTS(n, GRAIN) for (int64_t i = first; i < first + size; i++) dx[i] += x[i] > 0 ? dy[i] : 0;
}

void parallel_scaled_columns_add(int64_t M, int64_t D, const float *x, const float *gain, float *y) {
    FOR_ROWS(M, 3 * D)
        for (int64_t m = first; m < first + size; m++)
            for (int64_t d = 0; d < D; d++) y[m * D + d] += gain[d] * x[m * D + d];
}

void parallel_scaled_columns_add_backward(int64_t M, int64_t D, const float *x, const float *gain, const float *dy, float *dx, float *dgain) {
    FOR_COLUMNS(M, D)
        for (int64_t m = 0; m < M; m++)
            for (int64_t d = first; d < first + size; d++) {
                if (dx != NULL) dx[m * D + d] += gain[d] * dy[m * D + d];
                if (dgain != NULL) dgain[d] += x[m * D + d] * dy[m * D + d];
            }
}

/* w (D,9) as nine rows of D */
static float *nine_rows(int64_t D, const float *w) {
    float *rows = scratch_floats(SCRATCH_ROWS, (size_t)(2 * 9 * D));
    for (int64_t i = 0; rows != NULL && i < 9 * D; i++) rows[i % 9 * D + i / 9] = w[i];
    return rows;
}

void parallel_neighbour_mix(const NeighbourArgs *a) {
    const int64_t D = a->D;
    const float  *w = nine_rows(D, a->w);
    if (w == NULL) return;
    FOR_ROWS(a->n, 9 * D)
        for (int64_t i = first; i < first + size; i++) {
            float *y = a->y + i * D;
            memset(y, 0, (size_t)D * sizeof *y);
            for (int j = 0; j < 9; j++) {
                if (a->neighbour[i * 9 + j] < 0) continue;
                const float *x = a->x + a->neighbour[i * 9 + j] * D;
                for (int64_t d = 0; d < D; d++) y[d] += w[j * D + d] * x[d];
            }
        }
}

void parallel_neighbour_mix_backward(const NeighbourArgs *a) {
    const int64_t D = a->D;
    float        *w = nine_rows(D, a->w);
    if (w == NULL) return;
    float *sums = w + 9 * D;
    memset(sums, 0, (size_t)(9 * D) * sizeof *sums);
    FOR_COLUMNS(9 * a->n, D)
        for (int64_t k = 0; k < 9 * a->n; k++) {
            const int64_t i = k / 9, j = k % 9, at = a->neighbour[k] * D;
            const float  *dy = a->dy + i * D;
            if (at < 0) continue;
            for (int64_t d = first; d < first + size; d++) {
                if (a->dx != NULL) a->dx[at + d] += w[j * D + d] * dy[d];
                sums[j * D + d] += a->x[at + d] * dy[d];
            }
        }
    for (int64_t k = 0; a->dw != NULL && k < 9 * D; k++) a->dw[k] += sums[k % 9 * D + k / 9];
}

/* ---- patches ---- */

/* Row `row` of patches against the image: its P columns of every channel's every line. */
static void patch_row(const PatchArgs *a, int64_t row, bool backward) {
    const int64_t n_x = a->width / a->P, n_y = a->height / a->P, b = row / (n_x * n_y), y = row / n_x % n_y, x = row % n_x;
    float        *values = a->rows + row * a->C * a->P * a->P;
    for (int64_t c = 0; c < a->C; c++)
        for (int64_t line = 0; line < a->P; line++, values += a->P) {
            const int64_t at = ((b * a->C + c) * a->height + y * a->P + line) * a->width + x * a->P;
            if (backward) for (int64_t i = 0; i < a->P; i++) a->dimages[at + i] += values[i];
            else          memcpy(values, a->images + at, (size_t)a->P * sizeof *values);
        }
}

static void each_patch(const PatchArgs *a, bool backward) {
    CHECK(a->height % a->P == 0 && a->width % a->P == 0, "patches of %ld do not tile %ld x %ld", (long)a->P,
          (long)a->height, (long)a->width);
    const int64_t n_rows = a->B * (a->height / a->P) * (a->width / a->P);
    FOR_ROWS(n_rows, a->C * a->P * a->P)
        for (int64_t row = first; row < first + size; row++) patch_row(a, row, backward);
}

void parallel_patch_rows(const PatchArgs *a) { each_patch(a, false); }
void parallel_patch_rows_backward(const PatchArgs *a) { each_patch(a, true); }

/* ---- loss ---- */

/* In double: there are few logits, and log-sum-exp minus a logit cancels. */
static void cross_entropy_row(const CrossEntropyArgs *a, int64_t i) {
    const float *logits = a->logits + i * a->C;
    const double even   = (double)a->smoothing / (double)a->C;
    double       max = -INFINITY, sum = 0, loss = 0;
    for (int64_t c = 0; c < a->C; c++) max = fmax(max, (double)logits[c]);
    for (int64_t c = 0; c < a->C; c++) sum += exp((double)logits[c] - max);
    const double lse = max + log(sum);
    for (int64_t c = 0; c < a->C; c++) {
        const double hard   = a->soft != NULL ? (double)a->soft[i * a->C + c] : a->labels[i] == c ? 1.0 : 0.0;
        const double target = (1.0 - (double)a->smoothing) * hard + even;
        if (target != 0.0) loss -= target * ((double)logits[c] - lse);
        if (a->dlogits != NULL)
            a->dlogits[i * a->C + c] += (float)((double)a->scale * (exp((double)logits[c] - lse) - target));
    }
    if (a->loss != NULL) a->loss[i] = loss;
}

void parallel_cross_entropy(const CrossEntropyArgs *a) {
    enum { EXP = 64 /* two libm calls cost as much as that many floats */ };
    FOR_ROWS(a->B, EXP * a->C) for (int64_t i = first; i < first + size; i++) cross_entropy_row(a, i);
}

#endif
