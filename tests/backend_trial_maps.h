/* Trials of the kernels on maps: columns of convolutions, depthwise convolution, batch normalisation, window biases.
 * Included by test_backends.c alone. */
#ifndef TESTS_BACKEND_TRIAL_MAPS_H
#define TESTS_BACKEND_TRIAL_MAPS_H

#include "tests/backend_trial.h"

/* narrow maps, odd sides, channels around the vectors' widths, and one large enough for every thread */
typedef struct MapSize { int64_t B, C, height, width; } MapSize;
static const MapSize maps[] = {{1, 1, 1, 1}, {2, 3, 1, 4}, {3, 5, 4, 1}, {1, 16, 2, 2}, {2, 33, 7, 5}, {2, 70, 9, 12}, {3, 64, 23, 22}};
enum { N_MAPS = sizeof maps / sizeof *maps };

static int64_t outputs(MapSize m, int64_t stride) { return m.B * map_side(m.height, stride) * map_side(m.width, stride); }

/* Copies: exact. */
static void trial_conv_columns(Trial *t) {
    for (int i = 0; i < N_MAPS * 8; i++, release(t)) {
        const MapSize m = maps[i / 8];
        const int64_t k = i & 1 ? 3 : i & 4 ? 5 : 1, stride = i & 2 ? 2 : 1, n = outputs(m, stride) * k * k * m.C;
        const Real   *x = reals(t, m.B * m.C * m.height * m.width);
        const Output  columns = output(t, n);
        EACH_RUN(t, be) be->conv_columns(&(ConvColumnsArgs){.B = m.B, .C = m.C, .height = m.height, .width = m.width, .k = k, .stride = stride,
                                                            .channels_first = i & 4, .x = x, .columns = columns.of[run]});
        compare_simple(t, "columns", n, columns, 0, 0);
    }
}

/* An element gets at most k^2 terms of at most 3, besides what it held. */
static void trial_conv_columns_backward(Trial *t) {
    for (int i = 0; i < N_MAPS * 8; i++, release(t)) {
        const MapSize m = maps[i / 8];
        const int64_t k = i & 1 ? 3 : i & 4 ? 5 : 1, stride = i & 2 ? 2 : 1, n = m.B * m.C * m.height * m.width;
        Real         *columns = reals(t, outputs(m, stride) * k * k * m.C);
        const Output  dx = output(t, n);
        EACH_RUN(t, be) be->conv_columns_backward(&(ConvColumnsArgs){.B = m.B, .C = m.C, .height = m.height, .width = m.width, .k = k,
                                                                     .stride = stride, .channels_first = i & 4, .columns = columns, .dx = dx.of[run]});
        compare_simple(t, "dx", n, dx, 0, (double)(k * k * (k * k + 1)) * 3 * eps);
    }
}

/* Nine products of at most 9 and a bias: |sum| <= 84, of which each term is rounded; GELU as in gemm_trial. */
static void trial_depthwise(Trial *t) {
    for (int i = 0; i < N_MAPS * 8; i++, release(t)) {
        const MapSize m = maps[i / 8];
        const int64_t stride = i & 1 ? 2 : 1, n = outputs(m, stride) * m.C;
        const Real   *x = reals(t, m.B * m.height * m.width * m.C), *taps = reals(t, 9 * m.C), *bias = reals(t, m.C);
        const Output  y = output(t, n), pre = output(t, n);
        EACH_RUN(t, be) be->depthwise(&(DepthwiseArgs){.B = m.B, .C = m.C, .height = m.height, .width = m.width, .stride = stride, .x = x,
                                                       .taps = taps, .bias = i & 2 ? bias : NULL, .y = y.of[run],
                                                       .activation = i & 4 ? ACTIVATION_GELU : ACTIVATION_NONE,
                                                       .pre_activation = i & 4 ? pre.of[run] : NULL});
        const double bound = 11 * 84 * eps;
        if (i & 4) compare_simple(t, "pre_activation", n, pre, 0, bound);
        compare_simple(t, "y", n, y, 4 * eps, 1.13 * bound + 4 * eps);
    }
}

/* dx: nine terms of at most 9 and what it held; dtaps and dbias: as many terms as there are pixels, of at most 9 and 3. */
static void trial_depthwise_backward(Trial *t) {
    for (int i = 0; i < N_MAPS * 6; i++, release(t)) {
        const MapSize m = maps[i / 6];
        const int64_t stride = i & 1 ? 2 : 1, pixels = outputs(m, stride), n = m.B * m.height * m.width * m.C;
        const Real   *x = reals(t, n), *taps = reals(t, 9 * m.C), *dy = reals(t, pixels * m.C);
        const Output  dx = output(t, n), dtaps = output(t, 9 * m.C), dbias = output(t, m.C);
        EACH_RUN(t, be) be->depthwise_backward(&(DepthwiseArgs){.B = m.B, .C = m.C, .height = m.height, .width = m.width, .stride = stride,
                                                                .x = x, .taps = taps, .dy = dy, .dx = i % 3 == 2 ? NULL : dx.of[run],
                                                                .dx_assign = i % 3 == 0, .dtaps = dtaps.of[run],
                                                                .dbias = i & 1 ? dbias.of[run] : NULL});
        compare_simple(t, "dx", n, dx, 2 * eps, 10 * 84 * eps);
        compare_simple(t, "dtaps", 9 * m.C, dtaps, 2 * eps, ((double)pixels + 2) * eps * 3 * sqrt((double)pixels) * 3 + 6 * eps);
        compare_simple(t, "dbias", m.C, dbias, 2 * eps, ((double)pixels + 2) * eps * 3 * sqrt((double)pixels) + 6 * eps);
    }
}

/* Mean and variance of M terms in float, M eps of them; the deviations magnify by 1/sd. */
static void batch_norm_bounds(int64_t M, int64_t C, const Real *variance, Real small, double *mean_bound, double *variance_bound, double *inv_sd) {
    for (int64_t c = 0; c < C; c++) {
        const double few = ((double)M + 8) * eps;
        inv_sd[c]         = 1 / sqrt((double)variance[c] + (double)small);
        mean_bound[c]     = few * 3;
        variance_bound[c] = few * (double)variance[c] + few * few * 9 + 2 * eps * (double)variance[c];
    }
}

static void trial_batch_norm(Trial *t) {
    EACH_MATRIX(t, M, C) for (int given = 0; given < 2; given++) {
        const Real  *x = reals(t, M * C), *gain = reals(t, C), *bias = reals(t, C);
        const Output y = output(t, M * C), mean = output(t, C), variance = output(t, C);
        const Real   small = (Real)1e-2;
        for (int64_t c = 0; c < C; c++)
            for (int run = 0; run < 3; run++) variance.of[run][c] = (Real)fabs((double)variance.of[run][c]);
        EACH_RUN(t, be) be->batch_norm(&(BatchNormArgs){.M = M, .C = C, .eps = small, .given = given, .x = x, .gain = gain, .bias = bias,
                                                        .y = y.of[run], .mean = mean.of[run], .variance = variance.of[run]});
        double *mean_bound = bounds(t, C), *variance_bound = bounds(t, C), *inv_sd = bounds(t, C), *bound = bounds(t, M * C);
        batch_norm_bounds(M, C, variance.of[0], small, mean_bound, variance_bound, inv_sd);
        for (int64_t i = 0; i < M * C; i++) {
            const double h = fabs((double)x[i] - (double)mean.of[0][i % C]) * inv_sd[i % C], relative = variance_bound[i % C] * inv_sd[i % C] * inv_sd[i % C];
            bound[i] = 3 * ((given ? 0 : mean_bound[i % C] * inv_sd[i % C] + relative * h) + 6 * eps * (h + 6 * inv_sd[i % C])) + 6 * eps;
        }
        compare(t, "y", M * C, y, bound);
        compare(t, "mean", C, mean, mean_bound);
        compare(t, "variance", C, variance, variance_bound);
    }
}

/* |dy| <= 3 and h = (x - mean) inv_sd; sums of M terms. */
static void trial_batch_norm_backward(Trial *t) {
    EACH_MATRIX(t, M, C) for (int choice = 0; choice < 4; choice++) {
        const Real  *x = reals(t, M * C), *gain = reals(t, C), *dy = reals(t, M * C);
        Real        *y = reals(t, M * C), *mean = reals(t, C), *variance = reals(t, C);
        const Output dx = output(t, M * C), dgain = output(t, C), dbias = output(t, C);
        BatchNormArgs a = {.M = M, .C = C, .eps = (Real)1e-2, .x = x, .gain = gain, .bias = gain, .y = y, .mean = mean, .variance = variance,
                           .dy = dy, .dx_assign = choice == 0};
        t->run[0]->batch_norm(&a);
        a.given = choice == 3;
        EACH_RUN(t, be) {
            a.dx    = choice == 2 ? NULL : dx.of[run];
            a.dgain = dgain.of[run];
            a.dbias = dbias.of[run];
            be->batch_norm_backward(&a);
        }
        double *bound = bounds(t, M * C), *gain_bound = bounds(t, C), *bias_bound = bounds(t, C);
        for (int64_t c = 0; c < C; c++) {
            const double inv = 1 / sqrt((double)variance[c] + 1e-2), few = ((double)M + 12) * eps;
            double       h_sum = 0, h_max = 0;
            for (int64_t m = 0; m < M; m++) {
                const double h = fabs(((double)x[m * C + c] - (double)mean[c]) * inv);
                h_sum += h;
                h_max  = fmax(h_max, h);
            }
            gain_bound[c] = few * 3 * (h_sum + inv) + 6 * eps;
            bias_bound[c] = few * 3 * (double)M + 6 * eps;
            for (int64_t m = 0; m < M; m++)
                bound[m * C + c] = 3 * inv * (few * 3 + h_max * few * 3 * (h_sum / (double)M + inv) + 8 * eps * 3 * (1 + h_max * h_max)) + 6 * eps;
        }
        compare(t, "dx", M * C, dx, bound);
        compare(t, "dgain", C, dgain, gain_bound);
        compare(t, "dbias", C, dbias, bias_bound);
    }
}

static const int64_t windows[][2] = {{1, 1}, {3, 2}, {2, 7}, {5, 14}, {1, 17}};        /* heads, side */

/* Copies: exact. */
static void trial_window_bias(Trial *t) {
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++, release(t)) {
        const int64_t H = windows[i][0], n = windows[i][1] * windows[i][1];
        const Real   *table = reals(t, H * n);
        const Output  bias = output(t, H * n * n);
        EACH_RUN(t, be) be->window_bias(H, windows[i][1], table, bias.of[run]);
        compare_simple(t, "bias", H * n * n, bias, 0, 0);
    }
}

/* At most 4 n pairs have an offset, sums of so many terms of sd 1. */
static void trial_window_bias_backward(Trial *t) {
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++, release(t)) {
        const int64_t H = windows[i][0], n = windows[i][1] * windows[i][1];
        const Real   *dbias = reals(t, H * n * n);
        const Output  dtable = output(t, H * n);
        EACH_RUN(t, be) be->window_bias_backward(H, windows[i][1], dbias, dtable.of[run]);
        compare_simple(t, "dtable", H * n, dtable, 2 * eps, (4 * (double)n + 2) * eps * 3 * sqrt(4 * (double)n));
    }
}

#endif
