/* The row loops of every instruction set this CPU runs, against plain loops in double with libm. */
#include "engine/simd/rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* every length around the vectors' widths of 4, 8 and 16, primes, and one of many vectors */
static const int64_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 15, 16, 17, 31, 33, 61, 64, 67, 127, 192, 257, 1009, 4099};
enum { N_SIZES = sizeof sizes / sizeof *sizes, GUARD = 16 };
static const float guard_value = -12345.0f;

/* half a unit in the last place of a number near 1: the error of one rounding, relatively */
static const double eps = 0x1p-24;

static const SimdRows *variant_after(const SimdRows *rows) {
    int i = 0;
    while (simd_rows_variant(i) != rows) i++;
    return simd_rows_variant(i + 1);
}

#define EACH_VARIANT(rows) for (const SimdRows *rows = simd_rows_variant(0); rows != NULL; rows = variant_after(rows))
#define EACH_SIZE(n) for (int64_t i_size = 0, n; i_size < N_SIZES && (n = sizes[i_size], true); i_size++)

static uint64_t random_state = 1;

static double uniform(void) {                   /* splitmix64 */
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

/* n floats of N(mean, sd), then GUARD that nobody may change; the caller frees */
static float *normals(int64_t n, double mean, double sd) {
    float *x = malloc((size_t)(n + GUARD) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) {
        double sum = -6;
        for (int j = 0; j < 12; j++) sum += uniform();
        x[i] = (float)(mean + sd * sum);
    }
    for (int64_t i = n; i < n + GUARD; i++) x[i] = guard_value;
    return x;
}

static float *copied(int64_t n, const float *x) {
    float *y = malloc((size_t)(n + GUARD) * sizeof *y);
    assert_non_null(y);
    memcpy(y, x, (size_t)(n + GUARD) * sizeof *y);
    return y;
}

static void assert_guarded(int64_t n, const float *x) {
    for (int64_t i = n; i < n + GUARD; i++)
        if (x[i] != guard_value) fail_msg("element %lld after the end was written", (long long)(i - n));
}

static bool within(double expected, double got, double bound) {
    return (isnan(expected) && isnan(got)) || expected == got || fabs(expected - got) <= bound;
}

static void assert_within(const SimdRows *rows, const char *what, int64_t n, int64_t i, double expected, double got, double bound) {
    if (!within(expected, got, bound))
        fail_msg("%s %s, n %lld, element %lld: expected %.9g, got %.9g, bound %.3g", rows->name, what, (long long)n, (long long)i,
                 expected, got, bound);
}

static double cdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
static double slope(double x) { return cdf(x) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI); }

static void comparison_notices_two_roundings_and_a_number_for_nan(void **state) {
    (void)state;
    assert_true (within(1, 1 + 0x1p-24, eps));
    assert_false(within(1, 1 + 0x1p-22, eps));
    assert_false(within(NAN, 0, 1));
    assert_false(within(0, NAN, 1));
    assert_false(within(INFINITY, 1, 1));
    assert_true (within(INFINITY, INFINITY, 0));
}

static void best_variant_comes_first_and_generic_last(void **state) {
    (void)state;
    int n = 0;
    while (simd_rows_variant(n) != NULL) n++;
    assert_in_range(n, 1, 3);
    assert_string_equal(simd_rows_variant(n - 1)->name, "generic");
    assert_null(simd_rows_variant(-1));
    const char *wanted = getenv("MORBENCH_SIMD");
    if (wanted == NULL) assert_ptr_equal(simd_rows(), simd_rows_variant(0));
}

/* ---- exp and GELU: scanned ---- */

/* Half a unit in the last place each for the last sum and the scaling to a subnormal, 1.2 in all by vector_math.h. */
static void exp_is_right_to_four_roundings_from_underflow_to_overflow(void **state) {
    (void)state;
    EACH_VARIANT(rows) {
        double worst = 0;
        for (int block = 0; block < 200; block++) {
            float x[1024], y[1024];
            for (int i = 0; i < 1024; i++) x[i] = (float)(-110.0 + 200.0 * (block * 1024 + i) / (200 * 1024.0));
            rows->exp(1024, x, y);
            for (int i = 0; i < 1024; i++) {
                const double e = exp((double)x[i]);
                if (e > 3.4028234663852886e38) {
                    if (x[i] > 88.73f) assert_true(isinf(y[i]));
                    continue;
                }
                /* subnormal results are multiples of 2^-149 */
                const double bound = 4 * eps * e + 0x1p-149;
                assert_within(rows, "exp", 1024, i, e, (double)y[i], bound);
                if (e > 0x1p-126) worst = fmax(worst, fabs((double)y[i] - e) / e);
            }
        }
        float special[4] = {-INFINITY, INFINITY, NAN, 0}, y[4];
        rows->exp(4, special, y);
        assert_true(y[0] == 0 && isinf(y[1]) && isnan(y[2]) && y[3] == 1);
        print_message("exp %s: relative error %.2g\n", rows->name, worst);
    }
}

/* Documented in vector_erf.h: 2^-23 max(1,|x|) for gelu, of which half a unit in the last place is the rounding of the
 * result, the rest the fit (4e-8) and its roundings; 2e-7 for the slope. */
static void gelu_and_its_slope_keep_their_documented_errors(void **state) {
    (void)state;
    enum { BLOCK = 1000, N_BLOCKS = 400 };
    EACH_VARIANT(rows) {
        double worst = 0, worst_scaled = 0, worst_slope = 0;
        for (int block = 0; block < N_BLOCKS; block++) {
            float x[BLOCK], y[BLOCK], ones[BLOCK], dx[BLOCK];
            for (int i = 0; i < BLOCK; i++) {
                x[i]    = (float)(-10 + 20 * ((double)(block * BLOCK + i) + uniform()) / (BLOCK * N_BLOCKS));
                ones[i] = 1;
            }
            rows->gelu(BLOCK, x, y);
            rows->gelu_backward(BLOCK, x, ones, dx, true);
            for (int i = 0; i < BLOCK; i++) {
                const double v = (double)x[i], error = fabs((double)y[i] - v * cdf(v));
                worst        = fmax(worst, error);
                worst_scaled = fmax(worst_scaled, error / fmax(1, fabs(v)));
                worst_slope  = fmax(worst_slope, fabs((double)dx[i] - slope(v)));
            }
        }
        print_message("gelu %s: absolute error %.2g, over max(1,|x|) %.2g; slope %.2g\n", rows->name, worst, worst_scaled,
                      worst_slope);
        assert_true(worst <= 5e-7);
        assert_true(worst_scaled <= 0x1p-23);
        assert_true(worst_slope <= 2e-7);
    }
}

static void gelu_ends_are_zero_and_identity_and_nan_stays(void **state) {
    (void)state;
    EACH_VARIANT(rows) {
        float x[9] = {0, -0.0f, -12, -50, -3e38f, -INFINITY, 3e38f, INFINITY, NAN}, y[9], dx[9];
        const float ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
        rows->gelu(9, x, y);
        rows->gelu_backward(9, x, ones, dx, true);
        for (int i = 0; i < 6; i++) assert_true(fabsf(y[i]) < 1e-30f);
        assert_true(y[6] == 3e38f && isinf(y[7]) && isnan(y[8]));
        assert_true(fabsf(dx[0] - 0.5f) < 1e-6f && fabsf(dx[1] - 0.5f) < 1e-6f);
        for (int i = 2; i < 6; i++) assert_true(fabsf(dx[i]) < 1e-25f);
        assert_true(dx[6] == 1 && dx[7] == 1 && isnan(dx[8]));
    }
}

/* ---- elementwise at every size ---- */

static void gelu_does_every_element_and_no_more(void **state) {
    (void)state;
    EACH_VARIANT(rows) EACH_SIZE(n) {
        float *x = normals(n, 0, 2), *dy = normals(n, 0, 1), *y = copied(n, x), *dx = copied(n, x), *added = copied(n, dy);
        rows->gelu(n, x, y);
        rows->gelu_backward(n, x, dy, dx, true);
        rows->gelu_backward(n, x, dy, added, false);
        for (int64_t i = 0; i < n; i++) {
            const double v = (double)x[i], grad = (double)dy[i] * slope(v);
            assert_within(rows, "gelu", n, i, v * cdf(v), (double)y[i], 0x1p-23 * fmax(1, fabs(v)));
            assert_within(rows, "gelu_backward", n, i, grad, (double)dx[i], 3e-7 * fabs((double)dy[i]));
            assert_within(rows, "gelu_backward +=", n, i, grad + (double)dy[i], (double)added[i], 5e-7 * fabs((double)dy[i]));
        }
        memcpy(added, dy, (size_t)n * sizeof *added);
        rows->gelu_backward(n, x, added, added, true);                 /* in place */
        if (n > 0) assert_memory_equal(added, dx, (size_t)n * sizeof *dx);
        assert_guarded(n, y);
        assert_guarded(n, dx);
        assert_guarded(n, added);
        free(x); free(dy); free(y); free(dx); free(added);
    }
}

/* gelu's error, and one rounding each for the sums with bias and residual */
static void epilogue_is_bias_then_copy_then_gelu_then_residual(void **state) {
    (void)state;
    EACH_VARIANT(rows) EACH_SIZE(n) for (int choice = 0; choice < 16; choice++) {
        const bool has_bias = choice & 1, has_pre = choice & 2, has_gelu = choice & 4, has_residual = choice & 8;
        float *x = normals(n, 0, 1), *bias = normals(n, 0, 1), *residual = normals(n, 0, 1), *y = copied(n, x), *pre = copied(n, x);
        rows->bias_gelu_row(n, has_bias ? bias : NULL, y, has_pre ? pre : NULL, has_gelu, has_residual ? residual : NULL);
        for (int64_t i = 0; i < n; i++) {
            const double sum = (double)x[i] + (has_bias ? (double)bias[i] : 0);
            if (has_pre) assert_within(rows, "pre", n, i, sum, (double)pre[i], eps * fabs(sum));
            const double expected = (has_gelu ? sum * cdf(sum) : sum) + (has_residual ? (double)residual[i] : 0);
            assert_within(rows, "epilogue", n, i, expected, (double)y[i],
                          (0x1p-23 + 2 * eps) * (2 + fabs(sum) + fabs((double)residual[i])));
        }
        assert_guarded(n, y);
        assert_guarded(n, pre);
        free(x); free(bias); free(residual); free(y); free(pre);
    }
}

static void add_axpy_and_scale_round_at_most_twice(void **state) {
    (void)state;
    EACH_VARIANT(rows) EACH_SIZE(n) {
        float *a = normals(n, 0, 1), *b = normals(n, 0, 1), *sum = copied(n, a), *axpy = copied(n, b), *scaled = copied(n, a);
        rows->add(n, sum, b, sum);
        rows->axpy(n, 0.3f, a, axpy);
        rows->scale(n, 0.3f, scaled, scaled);
        for (int64_t i = 0; i < n; i++) {
            assert_true(sum[i] == a[i] + b[i]);
            assert_true(scaled[i] == 0.3f * a[i]);
            const double product = (double)0.3f * (double)a[i];
            assert_within(rows, "axpy", n, i, (double)b[i] + product, (double)axpy[i],
                          eps * (fabs(product) + fabs((double)b[i] + product)));
        }
        assert_guarded(n, sum);
        assert_guarded(n, axpy);
        assert_guarded(n, scaled);
        free(a); free(b); free(sum); free(axpy); free(scaled);
    }
}

static void adamw_follows_its_formula(void **state) {
    (void)state;
    EACH_VARIANT(rows) EACH_SIZE(n) {
        float *p0 = normals(n, 0, 1), *m0 = normals(n, 0, 0.1), *v0 = normals(n, 1, 0.1), *g0 = normals(n, 0, 1);
        float *p = copied(n, p0), *m = copied(n, m0), *v = copied(n, v0);
        const AdamwArgs a = {.n = n, .p = p, .m = m, .v = v, .grad = g0, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
                             .weight_decay = 0.05, .bias1 = 1 - pow(0.9, 3), .bias2 = 1 - pow(0.999, 3), .grad_scale = 0.7};
        rows->adamw(&a);
        for (int64_t i = 0; i < n; i++) {
            const double g = 0.7 * (double)g0[i], first = 0.9 * (double)m0[i] + 0.1 * g;
            const double second = 0.999 * (double)v0[i] + (1 - 0.999) * g * g;
            const double step = 1e-3 * (first / a.bias1) / (sqrt(second / a.bias2) + 1e-8);
            /* factor and product of each term, and the sum: five roundings, of the larger terms (which may cancel) */
            assert_within(rows, "adamw m", n, i, first, (double)m[i], 5 * eps * (0.9 * fabs((double)m0[i]) + 0.1 * fabs(g)));
            assert_within(rows, "adamw v", n, i, second, (double)v[i], 6 * eps * second);
            /* the step is at most a few lr, so its ten roundings weigh 1e-3 of those of p */
            const double m_part = 1e-3 * (0.9 * fabs((double)m0[i]) + 0.1 * fabs(g)) / a.bias1 / sqrt(second / a.bias2);
            assert_within(rows, "adamw p", n, i, (double)p0[i] * (1 - 1e-3 * 0.05) - step, (double)p[i],
                          3 * eps * (fabs((double)p0[i]) + fabs(step)) + 12 * eps * m_part);
        }
        assert_guarded(n, p);
        assert_guarded(n, m);
        assert_guarded(n, v);
        free(p0); free(m0); free(v0); free(g0); free(p); free(m); free(v);
    }
}

/* ---- rows ---- */

/* Sums of D terms in at least 4 lanes: D/4 roundings of the mean magnitude, and a few of the rest. */
static double sum_error(int64_t D) { return ((double)D / 4 + 16) * eps; }

/* Against double on the very floats given; the bound does not know the mean, so 1e4 may not cost anything. */
static void layer_norm_with_mean(double mean_wanted) {
    EACH_VARIANT(rows) EACH_SIZE(D) {
        enum { M = 3 };
        if (D == 0) continue;
        float *x = normals(M * D, mean_wanted, 1), *gain = normals(D, 1, 0.1), *bias = normals(D, 0, 0.1), *dy = normals(M * D, 0, 1);
        float *y = copied(M * D, x), *dx = copied(M * D, x), *dgain = copied(D, gain), *dbias = copied(D, bias);
        float  mean[M], inv_sd[M];
        LayerNormArgs a = {.M = M, .D = D, .eps = 1e-6f, .x = x, .gain = gain, .bias = bias, .y = y, .mean = mean,
                           .inv_sd = inv_sd, .dy = dy, .dx = dx, .dx_assign = true, .dgain = dgain, .dbias = dbias};
        rows->layer_norm(&a);
        rows->layer_norm_backward(&a);
        double *sum_gain = calloc((size_t)D, sizeof *sum_gain), *sum_bias = calloc((size_t)D, sizeof *sum_bias);
        for (int64_t m = 0; m < M; m++) {
            double mu = 0, var = 0, g_mean = 0, gh_mean = 0, g_abs = 0, h_max = 0;
            for (int64_t d = 0; d < D; d++) mu += (double)x[m * D + d] / (double)D;
            for (int64_t d = 0; d < D; d++) var += pow((double)x[m * D + d] - mu, 2) / (double)D;
            const double inv = 1 / sqrt(var + (double)a.eps);
            assert_within(rows, "mean", D, m, mu, (double)mean[m], 2 * eps * fabs(mu) + sum_error(D) * sqrt(var));
            /* with D = 1 the variance is 0 and 1/sd = 1000 exactly but for roundings */
            assert_within(rows, "inv_sd", D, m, inv, (double)inv_sd[m], sum_error(D) * inv);
            for (int64_t d = 0; d < D; d++) {
                const double h = ((double)x[m * D + d] - mu) * inv, g = (double)dy[m * D + d] * (double)gain[d];
                g_mean  += g / (double)D;
                gh_mean += g * h / (double)D;
                g_abs    = fmax(g_abs, fabs(g));
                h_max    = fmax(h_max, fabs(h));
            }
            for (int64_t d = 0; d < D; d++) {
                const double h = ((double)x[m * D + d] - mu) * inv, g = (double)dy[m * D + d] * (double)gain[d];
                const double y_exact = h * (double)gain[d] + (double)bias[d];
                assert_within(rows, "layer_norm", D, d, y_exact, (double)y[m * D + d],
                              sum_error(D) * (1 + fabs(h)) * fabs((double)gain[d]) + 2 * eps * (fabs(y_exact) + 1));
                /* D = 1: dx = 0, computed as g - g */
                assert_within(rows, "dx", D, d, inv * (g - g_mean - h * gh_mean), (double)dx[m * D + d],
                              2 * sum_error(D) * inv * g_abs * (1 + h_max * h_max));
                sum_gain[d] += (double)dy[m * D + d] * h;
                sum_bias[d] += (double)dy[m * D + d];
            }
        }
        for (int64_t d = 0; d < D; d++) {
            assert_within(rows, "dgain", D, d, (double)gain[d] + sum_gain[d], (double)dgain[d], 40 * sum_error(D));
            assert_within(rows, "dbias", D, d, (double)bias[d] + sum_bias[d], (double)dbias[d], 16 * M * eps);
        }
        assert_guarded(M * D, y);
        assert_guarded(M * D, dx);
        assert_guarded(D, dgain);
        assert_guarded(D, dbias);
        float *added = copied(M * D, dy);
        a.dx        = added;
        a.dx_assign = false;
        a.dgain = a.dbias = NULL;
        rows->layer_norm_backward(&a);
        for (int64_t i = 0; i < M * D; i++)
            assert_within(rows, "dx +=", D, i, (double)dx[i] + (double)dy[i], (double)added[i],
                          2 * eps * (fabs((double)dx[i]) + fabs((double)dy[i])));
        free(x); free(gain); free(bias); free(dy); free(y); free(dx); free(dgain); free(dbias); free(added);
        free(sum_gain); free(sum_bias);
    }
}

static void layer_norm_and_its_gradient_match_double(void **state) { (void)state; layer_norm_with_mean(0.3); }
static void layer_norm_loses_nothing_to_a_mean_of_ten_thousand_sd(void **state) { (void)state; layer_norm_with_mean(1e4); }

static void layer_norm_of_a_constant_row_is_its_bias(void **state) {
    (void)state;
    EACH_VARIANT(rows) {
        float x[37], gain[37], bias[37], y[37];
        for (int d = 0; d < 37; d++) { x[d] = 1234.567f; gain[d] = 2; bias[d] = (float)d; }
        rows->layer_norm(&(LayerNormArgs){.M = 1, .D = 37, .eps = 1e-6f, .x = x, .gain = gain, .bias = bias, .y = y});
        for (int d = 0; d < 37; d++) assert_within(rows, "constant", 37, d, d, (double)y[d], 1e-2);
    }
}

static void softmax_and_its_gradient_match_double(void **state) {
    (void)state;
    EACH_VARIANT(rows) EACH_SIZE(N) {
        enum { M = 2 };
        float *x = normals(M * N, 50, 4), *dy = normals(M * N, 0, 1), *y = copied(M * N, x), *dx = copied(M * N, x);
        rows->softmax_rows(M, N, x, y);
        rows->softmax_rows_backward(M, N, y, dy, dx);
        for (int64_t m = 0; m < M; m++) {
            double max = -INFINITY, sum = 0, dot = 0, dot_abs = 0;
            for (int64_t n = 0; n < N; n++) max = fmax(max, (double)x[m * N + n]);
            for (int64_t n = 0; n < N; n++) sum += exp((double)x[m * N + n] - max);
            for (int64_t n = 0; n < N; n++) {
                dot     += (double)y[m * N + n] * (double)dy[m * N + n];
                dot_abs += fabs((double)y[m * N + n] * (double)dy[m * N + n]);
            }
            for (int64_t n = 0; n < N; n++) {
                const int64_t i = m * N + n;
                const double  p = exp((double)x[i] - max) / sum;
                /* x - max is rounded: up to 30 eps of argument, which exp turns into a relative error */
                assert_within(rows, "softmax", N, i, p, (double)y[i], (sum_error(N) + 40 * eps) * p + 0x1p-149);
                const double grad = (double)y[i] * ((double)dy[i] - dot);
                assert_within(rows, "softmax_backward", N, i, (double)x[i] + grad, (double)dx[i],
                              2 * eps * (fabs((double)x[i]) + fabs(grad)) + sum_error(N) * (double)y[i] * dot_abs);
            }
        }
        assert_guarded(M * N, y);
        assert_guarded(M * N, dx);
        free(x); free(dy); free(y); free(dx);
    }
}

static void softmax_of_minus_infinity_is_zero_and_of_nan_nan(void **state) {
    (void)state;
    EACH_VARIANT(rows) for (int bad = 0; bad < 19; bad++) {
        float x[19], y[19];
        for (int i = 0; i < 19; i++) x[i] = i == bad ? -INFINITY : 1;
        rows->softmax_rows(1, 19, x, y);
        for (int i = 0; i < 19; i++) assert_within(rows, "softmax", 19, i, i == bad ? 0 : 1 / 18.0, (double)y[i], 1e-8);
        x[bad] = NAN;
        rows->softmax_rows(1, 19, x, y);
        for (int i = 0; i < 19; i++) assert_true(isnan(y[i]));
    }
}

/* Blocks of 64 rows and then M/64 blocks, and the old value. */
static void column_sums_add_every_row_of_a_strided_matrix(void **state) {
    (void)state;
    static const int64_t heights[] = {0, 1, 63, 64, 65, 200};
    EACH_VARIANT(rows) EACH_SIZE(N) for (int h = 0; h < 6; h++) {
        const int64_t M = heights[h], ld = N + 3;
        if (N > 300) continue;
        float *x = normals(M * ld, 0, 1), *sums = normals(N, 0, 1), *start = copied(N, sums);
        rows->column_sums(M, N, x, ld, sums);
        for (int64_t n = 0; n < N; n++) {
            double exact = (double)start[n], magnitude = fabs((double)start[n]);
            for (int64_t m = 0; m < M; m++) {
                exact     += (double)x[m * ld + n];
                magnitude += fabs((double)x[m * ld + n]);
            }
            assert_within(rows, "column_sums", N, n, exact, (double)sums[n], (64 + (double)M / 64 + 1) * eps * magnitude);
        }
        assert_guarded(N, sums);
        free(x); free(sums); free(start);
    }
}

static void sum_of_squares_is_in_double_and_reaches_past_the_range_of_float(void **state) {
    (void)state;
    EACH_VARIANT(rows) EACH_SIZE(n) {
        float *x = normals(n, 0, 1e30);
        double exact = 0;
        for (int64_t i = 0; i < n; i++) exact += (double)x[i] * (double)x[i];
        assert_within(rows, "sum_squares", n, 0, exact, rows->sum_squares(n, x), (double)n * 0x1p-53 * exact);
        free(x);
    }
}

static void nan_reaches_the_output_from_every_place_in_a_vector(void **state) {
    (void)state;
    EACH_VARIANT(rows) for (int bad = 0; bad < 21; bad++) {
        enum { N = 21 };
        float x[N], other[N], y[N], pre[N], mean, inv_sd;
        for (int i = 0; i < N; i++) { x[i] = i == bad ? NAN : 1; other[i] = 0.5f; }
#define ONLY_BAD_IS_NAN() for (int i = 0; i < N; i++) assert_int_equal(isnan(y[i]) != 0, i == bad)
        rows->exp(N, x, y);                                          ONLY_BAD_IS_NAN();
        rows->gelu(N, x, y);                                         ONLY_BAD_IS_NAN();
        rows->gelu_backward(N, x, other, y, true);                   ONLY_BAD_IS_NAN();
        rows->gelu_backward(N, other, x, y, true);                   ONLY_BAD_IS_NAN();
        rows->add(N, x, other, y);                                   ONLY_BAD_IS_NAN();
        rows->scale(N, 0, x, y);                                     ONLY_BAD_IS_NAN();
        memcpy(y, other, sizeof y);
        rows->axpy(N, 0, x, y);                                      ONLY_BAD_IS_NAN();
        memcpy(y, x, sizeof y);
        rows->bias_gelu_row(N, other, y, pre, true, other);          ONLY_BAD_IS_NAN();
        memset(y, 0, sizeof y);
        rows->column_sums(1, N, x, N, y);                            ONLY_BAD_IS_NAN();
        assert_true(isnan(rows->sum_squares(N, x)));
        rows->layer_norm(&(LayerNormArgs){.M = 1, .D = N, .eps = 1e-6f, .x = x, .gain = other, .bias = other, .y = y,
                                          .mean = &mean, .inv_sd = &inv_sd});
        for (int i = 0; i < N; i++) assert_true(isnan(y[i]));
        assert_true(isnan(mean) && isnan(inv_sd));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparison_notices_two_roundings_and_a_number_for_nan),
        cmocka_unit_test(best_variant_comes_first_and_generic_last),
        cmocka_unit_test(exp_is_right_to_four_roundings_from_underflow_to_overflow),
        cmocka_unit_test(gelu_and_its_slope_keep_their_documented_errors),
        cmocka_unit_test(gelu_ends_are_zero_and_identity_and_nan_stays),
        cmocka_unit_test(gelu_does_every_element_and_no_more),
        cmocka_unit_test(epilogue_is_bias_then_copy_then_gelu_then_residual),
        cmocka_unit_test(add_axpy_and_scale_round_at_most_twice),
        cmocka_unit_test(adamw_follows_its_formula),
        cmocka_unit_test(layer_norm_and_its_gradient_match_double),
        cmocka_unit_test(layer_norm_loses_nothing_to_a_mean_of_ten_thousand_sd),
        cmocka_unit_test(layer_norm_of_a_constant_row_is_its_bias),
        cmocka_unit_test(softmax_and_its_gradient_match_double),
        cmocka_unit_test(softmax_of_minus_infinity_is_zero_and_of_nan_nan),
        cmocka_unit_test(column_sums_add_every_row_of_a_strided_matrix),
        cmocka_unit_test(sum_of_squares_is_in_double_and_reaches_past_the_range_of_float),
        cmocka_unit_test(nan_reaches_the_output_from_every_place_in_a_vector),
    };
    return cmocka_run_group_tests_name("simd_rows", tests, NULL, NULL);
}
