/* Convolutions on maps, batch normalisation and the bias tables of window attention as their formulas say: sums in double, one
 * thread, never tuned. The rest of the reference is reference.c. */
#include "engine/backends/reference_maps.h"

#include <math.h>

/* ---- columns of a convolution ---- */

/* Calls for every tap of every output pixel: its place in columns, and in x, or -1 where it lies on the padding. */
static void each_tap(const ConvColumnsArgs *a, void (*visit)(const ConvColumnsArgs *a, int64_t in_columns, int64_t in_x)) {
    const int64_t rows = map_side(a->height, a->stride), columns = map_side(a->width, a->stride), pad = a->k / 2;
    int64_t       at = 0;
    for (int64_t b = 0; b < a->B; b++)
        for (int64_t oy = 0; oy < rows; oy++)
            for (int64_t ox = 0; ox < columns; ox++)
                for (int64_t ky = 0; ky < a->k; ky++)
                    for (int64_t kx = 0; kx < a->k; kx++)
                        for (int64_t c = 0; c < a->C; c++) {
                            const int64_t y = oy * a->stride + ky - pad, x = ox * a->stride + kx - pad;
                            const bool    inside = y >= 0 && y < a->height && x >= 0 && x < a->width;
                            const int64_t in_x = a->channels_first ? ((b * a->C + c) * a->height + y) * a->width + x
                                                                   : ((b * a->height + y) * a->width + x) * a->C + c;
                            visit(a, at++, inside ? in_x : -1);
                        }
}

static void to_column(const ConvColumnsArgs *a, int64_t in_columns, int64_t in_x) { a->columns[in_columns] = in_x < 0 ? 0 : a->x[in_x]; }
static void from_column(const ConvColumnsArgs *a, int64_t in_columns, int64_t in_x) {
    if (in_x >= 0) a->dx[in_x] += a->columns[in_columns];
}

void reference_conv_columns(const ConvColumnsArgs *a) { each_tap(a, to_column); }
void reference_conv_columns_backward(const ConvColumnsArgs *a) { each_tap(a, from_column); }

/* ---- depthwise convolution ---- */

/* Phi(x) as in reference.c */
static double gelu(double x) { return x * 0.5 * erfc(-x * M_SQRT1_2); }

/* Row of the input under tap t of output pixel (b,oy,ox), or -1. */
static int64_t tap_row(const DepthwiseArgs *a, int64_t b, int64_t oy, int64_t ox, int t) {
    const int64_t y = oy * a->stride + t / 3 - 1, x = ox * a->stride + t % 3 - 1;
    return y >= 0 && y < a->height && x >= 0 && x < a->width ? (b * a->height + y) * a->width + x : -1;
}

void reference_depthwise(const DepthwiseArgs *a) {
    const int64_t rows = map_side(a->height, a->stride), columns = map_side(a->width, a->stride);
    for (int64_t b = 0; b < a->B; b++)
        for (int64_t p = 0; p < rows * columns; p++)
            for (int64_t c = 0; c < a->C; c++) {
                const int64_t at = (b * rows * columns + p) * a->C + c;
                double        sum = a->bias != NULL ? (double)a->bias[c] : 0.0;
                for (int t = 0; t < 9; t++) {
                    const int64_t row = tap_row(a, b, p / columns, p % columns, t);
                    if (row >= 0) sum += (double)a->taps[t * a->C + c] * (double)a->x[row * a->C + c];
                }
                if (a->pre_activation != NULL) a->pre_activation[at] = (Real)sum;
                a->y[at] = (Real)(a->activation == ACTIVATION_GELU ? gelu(sum) : sum);
            }
}

/* dx_(p+t) += taps_t dy_p;  dtaps_t += sum_p x_(p+t) dy_p;  dbias += sum_p dy_p */
void reference_depthwise_backward(const DepthwiseArgs *a) {
    const int64_t rows = map_side(a->height, a->stride), columns = map_side(a->width, a->stride);
    for (int64_t i = 0; a->dx != NULL && a->dx_assign && i < a->B * a->height * a->width * a->C; i++) a->dx[i] = 0;
    for (int64_t c = 0; c < a->C; c++) {
        double dtaps[9] = {0}, dbias = 0;
        for (int64_t b = 0; b < a->B; b++)
            for (int64_t p = 0; p < rows * columns; p++) {
                const double dy = (double)a->dy[(b * rows * columns + p) * a->C + c];
                dbias += dy;
                for (int t = 0; t < 9; t++) {
                    const int64_t row = tap_row(a, b, p / columns, p % columns, t);
                    if (row < 0) continue;
                    dtaps[t] += dy * (double)a->x[row * a->C + c];
                    if (a->dx != NULL) a->dx[row * a->C + c] += (Real)(dy * (double)a->taps[t * a->C + c]);
                }
            }
        for (int t = 0; a->dtaps != NULL && t < 9; t++) a->dtaps[t * a->C + c] = (Real)((double)a->dtaps[t * a->C + c] + dtaps[t]);
        if (a->dbias != NULL) a->dbias[c] = (Real)((double)a->dbias[c] + dbias);
    }
}

/* ---- batch normalisation ---- */

void reference_batch_norm(const BatchNormArgs *a) {
    for (int64_t c = 0; c < a->C; c++) {
        double mean = 0, variance = 0;
        if (a->given) {
            mean     = (double)a->mean[c];
            variance = (double)a->variance[c];
        } else {
            for (int64_t m = 0; m < a->M; m++) mean += (double)a->x[m * a->C + c];
            mean = a->M > 0 ? mean / (double)a->M : 0;
            for (int64_t m = 0; m < a->M; m++) {
                const double d = (double)a->x[m * a->C + c] - mean;
                variance += d * d;
            }
            variance = a->M > 0 ? variance / (double)a->M : 0;
            a->mean[c]     = (Real)mean;
            a->variance[c] = (Real)variance;
        }
        const double inv_sd = 1 / sqrt(variance + (double)a->eps);
        for (int64_t m = 0; m < a->M; m++)
            a->y[m * a->C + c] = (Real)(((double)a->x[m * a->C + c] - mean) * inv_sd * (double)a->gain[c] + (double)a->bias[c]);
    }
}

/* With h = (x - mean) inv_sd:  dgain = sum dy h, dbias = sum dy,  dx = gain inv_sd (dy - mean(dy) - h mean(dy h)), or with
 * given statistics gain inv_sd dy. */
void reference_batch_norm_backward(const BatchNormArgs *a) {
    for (int64_t c = 0; c < a->C; c++) {
        const double mean = (double)a->mean[c], inv_sd = 1 / sqrt((double)a->variance[c] + (double)a->eps), M = (double)a->M;
        double       sum = 0, sum_h = 0;
        for (int64_t m = 0; m < a->M; m++) {
            const double dy = (double)a->dy[m * a->C + c];
            sum   += dy;
            sum_h += dy * ((double)a->x[m * a->C + c] - mean) * inv_sd;
        }
        for (int64_t m = 0; a->dx != NULL && m < a->M; m++) {
            const double h = ((double)a->x[m * a->C + c] - mean) * inv_sd, dy = (double)a->dy[m * a->C + c];
            const double dx = (double)a->gain[c] * inv_sd * (a->given ? dy : dy - sum / M - h * sum_h / M);
            Real        *to = &a->dx[m * a->C + c];
            *to = (Real)(a->dx_assign ? dx : (double)*to + dx);
        }
        if (a->dgain != NULL) a->dgain[c] = (Real)((double)a->dgain[c] + sum_h);
        if (a->dbias != NULL) a->dbias[c] = (Real)((double)a->dbias[c] + sum);
    }
}

/* ---- bias tables of windows ---- */

static int64_t offset_between(int64_t side, int64_t i, int64_t j) {
    const int64_t dy = i / side - j / side, dx = i % side - j % side;
    return (dy < 0 ? -dy : dy) * side + (dx < 0 ? -dx : dx);
}

void reference_window_bias(int64_t H, int64_t side, const Real *table, Real *bias) {
    const int64_t n = side * side;
    for (int64_t h = 0; h < H; h++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) bias[(h * n + i) * n + j] = table[h * n + offset_between(side, i, j)];
}

void reference_window_bias_backward(int64_t H, int64_t side, const Real *dbias, Real *dtable) {
    const int64_t n = side * side;
    for (int64_t h = 0; h < H; h++)
        for (int64_t offset = 0; offset < n; offset++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < n; j++)
                    if (offset_between(side, i, j) == offset) sum += (double)dbias[(h * n + i) * n + j];
            dtable[h * n + offset] = (Real)((double)dtable[h * n + offset] + sum);
        }
}
