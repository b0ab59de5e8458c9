/* Convolutions on maps, batch normalisation and bias tables over all OpenMP threads: the loops of engine/simd/maps.h on
 * parts of the work (parallel.h). */
#include "engine/backends/parallel.h"

#ifndef REAL_DOUBLE

#include "engine/scratch.h"
#include "engine/simd/maps.h"
#include "engine/simd/rows.h"

#include <math.h>
#include <string.h>

enum { GRAIN = 16384 /* floats touched a part, as in parallel.c */, LINE = 16 };

static int64_t grain_of(int64_t floats) { return floats >= GRAIN ? 1 : GRAIN / (floats < 1 ? 1 : floats); }

/* ---- columns of a convolution ---- */

/* One output line (oy of image b): columns (W', k k C). */
static void columns_line(const ConvColumnsArgs *a, int64_t b, int64_t oy, float *columns) {
    const int64_t n = map_side(a->width, a->stride), C = a->C, K = a->k * a->k * C, pad = a->k / 2;
    for (int64_t ky = 0; ky < a->k; ky++) {
        const int64_t y = oy * a->stride + ky - pad;
        float        *to = columns + ky * a->k * C;
        for (int64_t ox = 0; ox < n; ox++, to += K) {
            const int64_t left = ox * a->stride - pad, first = left < 0 ? -left : 0, end = a->width - left < a->k ? a->width - left : a->k;
            if (y < 0 || y >= a->height) {
                memset(to, 0, (size_t)(a->k * C) * sizeof *to);
                continue;
            }
            if (first > 0)    memset(to, 0, (size_t)(first * C) * sizeof *to);
            if (end < a->k)   memset(to + end * C, 0, (size_t)((a->k - end) * C) * sizeof *to);
            if (!a->channels_first) {
                memcpy(to + first * C, a->x + ((b * a->height + y) * a->width + left + first) * C, (size_t)((end - first) * C) * sizeof *to);
                continue;
            }
            for (int64_t c = 0; c < C; c++) {
                const float *from = a->x + ((b * C + c) * a->height + y) * a->width + left;
                for (int64_t kx = first; kx < end; kx++) to[kx * C + c] = from[kx];
            }
        }
    }
}

void parallel_conv_columns(const ConvColumnsArgs *a) {
    const int64_t rows = map_side(a->height, a->stride), line = map_side(a->width, a->stride) * a->k * a->k * a->C;
    const int     parts = parallel_parts(a->B * rows, grain_of(line));
    PARALLEL_PARTS(part, parts)
        for (int64_t at = parallel_first(a->B * rows, 1, part, parts); at < parallel_first(a->B * rows, 1, part + 1, parts); at++)
            columns_line(a, at / rows, at % rows, a->columns + at * line);
}

/* Image by image: output lines share input lines. */
static void columns_backward_image(const ConvColumnsArgs *a, int64_t b) {
    const int64_t rows = map_side(a->height, a->stride), n = map_side(a->width, a->stride), C = a->C, pad = a->k / 2;
    const float  *from = a->columns + b * rows * n * a->k * a->k * C;
    for (int64_t oy = 0; oy < rows; oy++)
        for (int64_t ox = 0; ox < n; ox++)
            for (int64_t ky = 0; ky < a->k; ky++, from += a->k * C) {
                const int64_t y = oy * a->stride + ky - pad, left = ox * a->stride - pad, first = left < 0 ? -left : 0,
                              end = a->width - left < a->k ? a->width - left : a->k;
                if (y < 0 || y >= a->height) continue;
                if (!a->channels_first) {
                    float *to = a->dx + ((b * a->height + y) * a->width + left + first) * C;
                    simd_rows()->add((end - first) * C, to, from + first * C, to);
                    continue;
                }
                for (int64_t c = 0; c < C; c++)
                    for (int64_t kx = first; kx < end; kx++)
                        a->dx[((b * C + c) * a->height + y) * a->width + left + kx] += from[kx * C + c];
            }
}

void parallel_conv_columns_backward(const ConvColumnsArgs *a) {
    const int64_t floats = map_side(a->height, a->stride) * map_side(a->width, a->stride) * a->k * a->k * a->C;
    const int     parts  = parallel_parts(a->B, grain_of(floats));
    PARALLEL_PARTS(part, parts)
        for (int64_t b = parallel_first(a->B, 1, part, parts); b < parallel_first(a->B, 1, part + 1, parts); b++) columns_backward_image(a, b);
}

/* ---- depthwise convolution ---- */

void parallel_depthwise(const DepthwiseArgs *a) {
    const int64_t lines = a->B * map_side(a->height, a->stride), work = (a->activation == ACTIVATION_GELU ? 4 : 2) * a->width * a->C;
    const int     parts = parallel_parts(lines, grain_of(work));
    PARALLEL_PARTS(part, parts)
        simd_maps()->depthwise(a, parallel_first(lines, 1, part, parts), parallel_first(lines, 1, part + 1, parts));
}

static void clear(int64_t n, float *x) {
    const int parts = parallel_parts(n, GRAIN);
    PARALLEL_PARTS(part, parts) {
        const int64_t first = parallel_first(n, LINE, part, parts), end = parallel_first(n, LINE, part + 1, parts);
        memset(x + first, 0, (size_t)(end - first) * sizeof *x);
    }
}

/* A part is some channels of everything, so that no two write the same number and sums have one order. */
void parallel_depthwise_backward(const DepthwiseArgs *a) {
    const int64_t pixels = a->B * a->height * a->width, grain = (GRAIN / 4 + pixels) / (pixels < 1 ? 1 : pixels);
    if (a->dx != NULL && a->dx_assign) clear(pixels * a->C, a->dx);
    const int parts = parallel_parts(a->C, grain < LINE ? LINE : grain);
    PARALLEL_PARTS(part, parts)
        simd_maps()->depthwise_backward(a, parallel_first(a->C, LINE, part, parts), parallel_first(a->C, LINE, part + 1, parts));
}

/* ---- batch normalisation ---- */

/* sums (parts, n): one of each part of the rows; the total of column i in double */
static double total(const float *sums, int parts, int64_t n, int64_t i) {
    double sum = 0;
    for (int part = 0; part < parts; part++) sum += (double)sums[part * n + i];
    return sum;
}

/* Two passes; the second also measures how far the float mean is off, as in layer_norm (rows_body.h). */
static void statistics(const BatchNormArgs *a, int parts, float *sums) {
    const int64_t C = a->C;
    PARALLEL_PARTS(part, parts) {
        const int64_t first = parallel_first(a->M, 1, part, parts), end = parallel_first(a->M, 1, part + 1, parts);
        memset(sums + part * C, 0, (size_t)C * sizeof *sums);
        simd_rows()->column_sums(end - first, C, a->x + first * C, C, sums + part * C);
    }
    const double M = a->M > 0 ? (double)a->M : 1;
    for (int64_t c = 0; c < C; c++) a->mean[c] = (float)(total(sums, parts, C, c) / M);
    PARALLEL_PARTS(part, parts) {
        const int64_t first = parallel_first(a->M, 1, part, parts), end = parallel_first(a->M, 1, part + 1, parts);
        float        *own = sums + part * 2 * C;
        memset(own, 0, (size_t)(2 * C) * sizeof *own);
        simd_maps()->column_squares(end - first, C, a->x + first * C, a->mean, own, own + C);
    }
    for (int64_t c = 0; c < C; c++) {
        const double off = total(sums, parts, 2 * C, c) / M, variance = total(sums, parts, 2 * C, C + c) / M - off * off;
        a->mean[c]     = (float)((double)a->mean[c] + off);
        a->variance[c] = (float)(variance < 0 ? 0 : variance);
    }
}

void parallel_batch_norm(const BatchNormArgs *a) {
    const int64_t C = a->C;
    const int     parts = parallel_parts(a->M, grain_of(C));
    float        *sums = scratch_floats(SCRATCH_ROWS, (size_t)((2 * parts + 1) * C));
    if (sums == NULL) return;
    if (!a->given) statistics(a, parts, sums);
    float *scale = sums + 2 * parts * C;
    for (int64_t c = 0; c < C; c++) scale[c] = (float)((double)a->gain[c] / sqrt((double)a->variance[c] + (double)a->eps));
    PARALLEL_PARTS(part, parts) {
        const int64_t first = parallel_first(a->M, 1, part, parts), end = parallel_first(a->M, 1, part + 1, parts);
        simd_maps()->normalise(end - first, C, a->x + first * C, a->mean, scale, a->bias, a->y + first * C);
    }
}

void parallel_batch_norm_backward(const BatchNormArgs *a) {
    const int64_t C = a->C;
    const int     parts = parallel_parts(a->M, grain_of(C));
    const double  M = a->M > 0 ? (double)a->M : 1;
    float        *sums = scratch_floats(SCRATCH_ROWS, (size_t)((2 * parts + 3) * C));
    if (sums == NULL) return;
    float *scale = sums + 2 * parts * C, *level = scale + C, *slope = level + C;
    PARALLEL_PARTS(part, parts) {
        const int64_t first = parallel_first(a->M, 1, part, parts), end = parallel_first(a->M, 1, part + 1, parts);
        float        *own = sums + part * 2 * C;
        memset(own, 0, (size_t)(2 * C) * sizeof *own);
        simd_maps()->column_dots(end - first, C, a->x + first * C, a->mean, a->dy + first * C, own, own + C);
    }
    for (int64_t c = 0; c < C; c++) {
        const double sum = total(sums, parts, 2 * C, c), dot = total(sums, parts, 2 * C, C + c);
        const double inv_sd = 1 / sqrt((double)a->variance[c] + (double)a->eps);
        if (a->dbias != NULL) a->dbias[c] = (float)((double)a->dbias[c] + sum);
        if (a->dgain != NULL) a->dgain[c] = (float)((double)a->dgain[c] + dot * inv_sd);
        scale[c] = (float)((double)a->gain[c] * inv_sd);
        level[c] = a->given ? 0 : (float)(sum / M);
        slope[c] = a->given ? 0 : (float)(dot / M * inv_sd * inv_sd);
    }
    if (a->dx == NULL) return;
    PARALLEL_PARTS(part, parts) {
        const int64_t first = parallel_first(a->M, 1, part, parts), end = parallel_first(a->M, 1, part + 1, parts);
        simd_maps()->normalise_backward(end - first, C, a->x + first * C, a->mean, scale, level, slope, a->dy + first * C, a->dx + first * C,
                                        a->dx_assign);
    }
}

/* ---- bias tables of windows ---- */

/* mirrored (H, side, 2 side - 1): column k of line r is the offset (r, |k - (side-1)|), so that the biases of one query and
 * one line of keys are `side` neighbours of it. */

void parallel_window_bias(int64_t H, int64_t side, const float *table, float *bias) {
    const int64_t n = side * side, wide = 2 * side - 1;
    float        *mirrored = scratch_floats(SCRATCH_ROWS, (size_t)(H * side * wide));
    if (mirrored == NULL) return;
    for (int64_t line = 0; line < H * side; line++)
        for (int64_t k = 0; k < wide; k++) mirrored[line * wide + k] = table[line * side + (k < side ? side - 1 - k : k - (side - 1))];
    const int parts = parallel_parts(H * n, grain_of(n));
    PARALLEL_PARTS(part, parts)
        for (int64_t at = parallel_first(H * n, 1, part, parts); at < parallel_first(H * n, 1, part + 1, parts); at++) {
            const int64_t h = at / n, row = at % n / side, column = at % side;
            for (int64_t key = 0; key < side; key++)
                memcpy(bias + at * n + key * side, mirrored + (h * side + (row < key ? key - row : row - key)) * wide + side - 1 - column,
                       (size_t)side * sizeof *bias);
        }
}

void parallel_window_bias_backward(int64_t H, int64_t side, const float *dbias, float *dtable) {
    const int64_t n = side * side, wide = 2 * side - 1;
    float        *mirrored = scratch_floats(SCRATCH_ROWS, (size_t)(H * side * wide));
    if (mirrored == NULL) return;
    memset(mirrored, 0, (size_t)(H * side * wide) * sizeof *mirrored);
    const int parts = parallel_parts(H, grain_of(n * n));
    PARALLEL_PARTS(part, parts)
        for (int64_t at = parallel_first(H, 1, part, parts) * n; at < parallel_first(H, 1, part + 1, parts) * n; at++) {
            const int64_t h = at / n, row = at % n / side, column = at % side;
            for (int64_t key = 0; key < side; key++) {
                float       *to   = mirrored + (h * side + (row < key ? key - row : row - key)) * wide + side - 1 - column;
                const float *from = dbias + at * n + key * side;
                for (int64_t i = 0; i < side; i++) to[i] += from[i];
            }
        }
    for (int64_t line = 0; line < H * side; line++)
        for (int64_t k = 0; k < wide; k++) dtable[line * side + (k < side ? side - 1 - k : k - (side - 1))] += mirrored[line * wide + k];
}

#endif
