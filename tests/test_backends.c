/* Every kernel of every backend against the reference: each kernel of kernels.def has a trial, or this file does not link.
 *
 * A trial fills random inputs of several odd sizes, runs the kernel on the reference once and on a backend that overrides
 * only this kernel twice, and asks that the two runs agree to the bit and that they differ from the reference by no more
 * than the roundings of the formula allow. */
#include "tests/backend_trial.h"
#include "tests/backend_trial_maps.h"
#include "tests/backend_trial_policy.h"

#include <omp.h>

#define KERNEL(name, parameters) static void trial_##name(Trial *t);
#include "engine/kernels.def"
#undef KERNEL

#include "tests/backend_routing_trials.h"

/* ---- products ---- */

static Real *magnitudes(Trial *t, int64_t n, const Real *x) {
    if (x == NULL) return NULL;
    Real *y = block(t, (size_t)n * sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i] = (Real)fabs((double)x[i]);
    return y;
}

/* A sum of K products errs by at most K eps of the sum of magnitudes, which the reference finds from |A| and |B|; beta,
 * bias and residual are three terms more. GELU's slope is at most 1.13 and its own error 2 eps (1 + |x|). */
static void gemm_trial(Trial *t, int64_t M, int64_t N, int64_t K, int choice) {
    static Tensor parameter;                       /* packed copies are kept by (parameter, version) */
    const bool    aliased = choice & 128;
    const int64_t lda = ((choice & 1) ? M : K) + 3, ldb = ((choice & 2) ? K : N) + 2, ldc = N + ((choice & 128) ? 0 : 1);
    const int64_t a_rows = (choice & 1) ? K : M, b_rows = (choice & 2) ? N : K;
    const Real   *a = reals(t, a_rows * lda), *b = reals(t, b_rows * ldb), *bias = reals(t, N), *residual = reals(t, M * N);
    const Output  c = output(t, M * ldc), pre = output(t, M * N);
    Gemm          g = {.M = M, .N = N, .K = K, .trans_a = choice & 1, .trans_b = choice & 2, .a = a, .b = b, .lda = lda,
                       .ldb = ldb, .beta = (Real)((choice & 4) ? 1 : 0), .ldc = ldc, .bias = (choice & 8) ? bias : NULL,
                       .activation = (choice & 16) ? ACTIVATION_GELU : ACTIVATION_NONE,
                       .residual = (choice & 64) ? residual : NULL};
    parameter.data = (Real *)(uintptr_t)b;
    parameter.version++;
    if (choice & 2) g.parameter = &parameter;

    Gemm of_magnitudes = g;
    Real *sum_abs = magnitudes(t, M * ldc, c.of[0]);
    of_magnitudes.a          = magnitudes(t, a_rows * lda, a);
    of_magnitudes.b          = magnitudes(t, b_rows * ldb, b);
    of_magnitudes.bias       = magnitudes(t, N, g.bias);
    of_magnitudes.residual   = magnitudes(t, M * N, g.residual);
    of_magnitudes.beta       = 1;
    of_magnitudes.c          = sum_abs;
    of_magnitudes.activation = ACTIVATION_NONE;
    of_magnitudes.parameter  = NULL;
    t->run[0]->gemm(&of_magnitudes);

    EACH_RUN(t, be) {
        g.c              = c.of[run];
        g.pre_activation = (choice & 32) ? pre.of[run] : NULL;
        if (aliased) g.residual = g.c;
        be->gemm(&g);
    }
    double *bound = bounds(t, M * ldc), *pre_bound = bounds(t, M * N);
    for (int64_t m = 0; m < M; m++)
        for (int64_t n = 0; n < N; n++) {
            pre_bound[m * N + n] = ((double)K + 4) * eps * (double)sum_abs[m * ldc + n];
            bound[m * ldc + n]   = 1.13 * pre_bound[m * N + n] + 4 * eps * (1 + (double)sum_abs[m * ldc + n]);
        }
    compare(t, "c", M * ldc, c, bound);            /* columns between N and ldc: bound 0 */
    if (choice & 32) compare(t, "pre_activation", M * N, pre, pre_bound);
    release(t);
}

static void trial_gemm(Trial *t) {
    static const struct { int64_t M, N, K; } small[] = {{1, 1, 1}, {0, 3, 2}, {3, 0, 2}, {4, 5, 0}, {5, 7, 3}, {33, 17, 65},
                                                        {64, 48, 40}, {130, 70, 33}, {2, 300, 20}};
    for (int choice = 0; choice < 256; choice++)
        gemm_trial(t, small[choice % 9].M, small[choice % 9].N, small[choice % 9].K, choice);
    static const int choices[] = {0, 1, 2, 2 | 8, 2 | 8 | 16 | 32, 2 | 8 | 64, 1 | 4, 4 | 64, 128 | 2, 128 | 16 | 2, 128 | 32 | 4};
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++) {      /* split by rows and by columns */
        gemm_trial(t, 701, 61, 29, choices[i]);
        gemm_trial(t, 61, 701, 29, choices[i]);
    }
    gemm_trial(t, 1100, 520, 3, 2 | 8 | 16 | 32);                        /* in several chunks of rows */
    gemm_trial(t, 1100, 520, 3, 4 | 64 | 128);
}

/* ---- attention ---- */

typedef struct AttentionShape { int n, H, E, Ev; const int32_t *q, *k; bool bias, assign; } AttentionShape;

/* Largest sum of the magnitudes of `width` products between any row of x and any of y, over the heads. */
static double largest_dot(int64_t M, const Real *x, int64_t x_ld, int64_t x_head, int64_t N, const Real *y, int64_t y_ld,
                          int64_t y_head, int H, int width) {
    double most = 0;
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++)
            for (int h = 0; h < H; h++) {
                double sum = 0;
                for (int e = 0; e < width; e++)
                    sum += fabs((double)x[i * x_ld + h * x_head + e] * (double)y[j * y_ld + h * y_head + e]);
                most = fmax(most, sum);
            }
    return most;
}

/* Errors. A score s errs by s_error = (E+4) eps of its sum of magnitudes, so its weight p by 2 s_error (numerator and
 * denominator) and the roundings of exp and of a sum of Nk terms: p_error, relatively. Weights of a row sum to 1, so an
 * output errs by p_error of the largest |v|. Backwards, ds = p (dout.v - dout.out) errs by p_error and by (Ev+4) eps of the
 * sum of magnitudes A <= |dout|.(|v| + |out|): in all ds_error A p; a row of ds has sum of p 1, a column at most Nq. */
static void attention_shape(Trial *t, AttentionShape shape, bool backward) {
    const int64_t Mq = shape.q[shape.n], Mk = shape.k[shape.n], ld_q = shape.H * shape.E + 5,
                  ld_k = shape.H * (shape.E + shape.Ev) + 3;
    int64_t Nq = 0, Nk = 0;
    for (int s = 0; s < shape.n; s++) {
        Nq = shape.q[s + 1] - shape.q[s] > Nq ? shape.q[s + 1] - shape.q[s] : Nq;
        Nk = shape.k[s + 1] - shape.k[s] > Nk ? shape.k[s + 1] - shape.k[s] : Nk;
    }
    const Real  *q = reals(t, Mq * ld_q), *kv = reals(t, Mk * ld_k), *bias = reals(t, shape.H * Nq * Nk);
    const Real  *v = kv + shape.H * shape.E, *dout = reals(t, Mq * shape.H * shape.Ev);
    const Output out = output(t, Mq * shape.H * shape.Ev), lse = output(t, Mq * shape.H);
    AttentionArgs a  = {.n_sequences = shape.n, .H = shape.H, .E = shape.E, .Ev = shape.Ev, .q_offset = shape.q,
                        .k_offset = shape.k, .scale = (Real)(1 / sqrt(shape.E)), .q = q, .k = kv, .v = v, .q_ld = ld_q,
                        .k_ld = ld_k, .v_ld = ld_k, .q_head = shape.E, .k_head = shape.E, .v_head = shape.Ev,
                        .bias = shape.bias ? bias : NULL};
    const double s_abs   = (double)a.scale * largest_dot(Mq, q, ld_q, shape.E, Mk, kv, ld_k, shape.E, shape.H, shape.E) + 3;
    const double s_error = (shape.E + 4) * eps * s_abs;
    const double p_error = 2 * s_error + ((double)Nk + 12) * eps;
    if (!backward) {
        EACH_RUN(t, be) {
            a.out = out.of[run];
            a.lse = lse.of[run];
            be->attention(&a);
        }
        compare_simple(t, "out", Mq * shape.H * shape.Ev, out, 0, 2 * p_error * largest(Mk * ld_k, kv));
        compare_simple(t, "lse", Mq * shape.H, lse, 2 * eps, p_error);
        a.lse = NULL;                              /* not kept: the same output */
        a.out = out.of[2];
        t->run[2]->attention(&a);
        compare_simple(t, "out without lse", Mq * shape.H * shape.Ev, out, 0, 2 * p_error * largest(Mk * ld_k, kv));
    } else {
        const Output dq = output(t, Mq * ld_q), dkv = output(t, Mk * ld_k), dbias = output(t, shape.H * Nq * Nk);
        a.out    = out.of[0];
        a.lse    = lse.of[0];
        a.dout   = dout;
        a.assign = shape.assign;
        t->run[0]->attention(&a);
        EACH_RUN(t, be) {
            a.dq    = dq.of[run];
            a.dk    = dkv.of[run];
            a.dv    = dkv.of[run] + shape.H * shape.E;
            a.dbias = shape.bias ? dbias.of[run] : NULL;
            be->attention_backward(&a);
        }
        const int64_t ld_o = shape.H * shape.Ev;
        const double  A = largest_dot(Mq, dout, ld_o, shape.Ev, Mk, v, ld_k, shape.Ev, shape.H, shape.Ev) +
                          largest_dot(Mq, dout, ld_o, shape.Ev, Mq, a.out, ld_o, shape.Ev, shape.H, shape.Ev);
        const double  ds = (p_error + (shape.Ev + 4) * eps + ((double)(Nq + Nk)) * eps) * A, x = 3 /* largest input */;
        compare_simple(t, "dq", Mq * ld_q, dq, 2 * eps, (double)a.scale * ds * x + 2 * eps * x);
        compare_simple(t, "dk, dv", Mk * ld_k, dkv, 2 * eps,
                       (double)Nq * fmax((double)a.scale * ds, p_error + (double)Nq * eps) * x + 2 * eps * x);
        if (shape.bias) compare_simple(t, "dbias", shape.H * Nq * Nk, dbias, (shape.n + 2) * eps, shape.n * ds);
    }
    release(t);
}

static void attention_trial(Trial *t, bool backward) {
    static const int32_t ragged_q[] = {0, 5, 5, 6, 23, 50}, ragged_k[] = {0, 9, 12, 13, 30, 31};
    static const int32_t equal[]    = {0, 17, 34, 51}, long_q[] = {0, 101}, long_k[] = {0, 67}, few[] = {0, 3};
    const AttentionShape shapes[]   = {{5, 3, 16, 16, ragged_q, ragged_q, false, true}, {5, 2, 7, 5, ragged_q, ragged_k, false, false},
                                       {3, 2, 32, 64, equal, equal, true, true},        {1, 1, 64, 64, long_q, long_k, false, true},
                                       {1, 2, 64, 32, long_q, long_q, true, false},     {0, 2, 4, 4, equal, equal, false, true},
                                       {1, 1, 1030, 2060, few, few, true, true}};     /* wider than the spans of the reference */
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) attention_shape(t, shapes[i], backward);
}

static void trial_attention(Trial *t) { attention_trial(t, false); }
static void trial_attention_backward(Trial *t) { attention_trial(t, true); }

/* ---- elementwise ---- */

static void trial_gelu(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *x = reals(t, n);
        const Output y = output(t, n);
        EACH_RUN(t, be) be->gelu(n, x, y.of[run]);
        compare_simple(t, "y", n, y, 2 * eps, 2 * eps);              /* vector_erf.h: 2^-23 max(1,|x|) */
    }
}

static void trial_gelu_backward(Trial *t) {
    EACH_LENGTH(t, n) for (int way = 0; way < 3; way++) {
        const Real  *x = reals(t, n), *dy = reals(t, n);
        const Output dx = output(t, n);
        EACH_RUN(t, be) {
            const Real *from = dy;
            if (way == 2) from = memcpy(dx.of[run], dy, (size_t)n * sizeof *dy);      /* in place */
            be->gelu_backward(n, x, from, dx.of[run], way > 0);
        }
        compare_simple(t, "dx", n, dx, 2 * eps, 3 * 4 * eps);        /* slope 2e-7 < 4 eps, |dy| <= 3 */
    }
}

static void trial_add(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *b = reals(t, n);
        const Output y = output(t, n);
        EACH_RUN(t, be) be->add(n, y.of[run], b, y.of[run]);
        compare_simple(t, "y", n, y, 0, 0);                          /* one rounding: the same everywhere */
    }
}

static void trial_axpy(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *x = reals(t, n);
        const Output y = output(t, n);
        EACH_RUN(t, be) be->axpy(n, (Real)0.3, x, y.of[run]);
        compare_simple(t, "y", n, y, 2 * eps, eps);                  /* product and sum, fused or not; |0.3 x| < 1 */
    }
}

static void trial_approach(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *x = reals(t, n);
        const Output y = output(t, n);
        EACH_RUN(t, be) be->approach(n, (Real)0.3, x, y.of[run]);
        compare_simple(t, "y", n, y, 3 * eps, eps);                  /* difference, product and sum; |0.3 (x - y)| < 2 */
    }
}

static void trial_scale(Trial *t) {
    EACH_LENGTH(t, n) {
        const Output y = output(t, n);
        EACH_RUN(t, be) be->scale(n, (Real)0.3, y.of[run], y.of[run]);
        compare_simple(t, "y", n, y, 0, 0);
    }
}

static void trial_copy(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *x = reals(t, n);
        const Output y = output(t, n);
        EACH_RUN(t, be) be->copy(n, x, y.of[run]);
        compare_simple(t, "y", n, y, 0, 0);
    }
}

/* The draws are the same bits; x / (1 - rate) may be computed as a product, and is then added. */
static void trial_drop(Trial *t) {
    static const int32_t offset[] = {0, 4, 4, 90, 137};
    static const int64_t image_id[] = {77, 3, 1000000007, 5};
    int32_t patch[137];
    for (int m = 0; m < 137; m++) patch[m] = m % 50 - 2;
    const TokenRows rows = {.n_images = 4, .offset = offset, .patch = patch, .image_id = image_id};
    for (int choice = 0; choice < 24; choice++, release(t)) {
        const int64_t D = choice % 3 == 0 ? 70 : 5, n = 137 * D;
        const Real   *x = reals(t, n);
        const Output  y = output(t, n);
        static const double rates[] = {0, 0.1, 0.6, 1};
        EACH_RUN(t, be) {
            DropArgs a = {.M = 137, .D = D, .x = x, .y = y.of[run], .accumulate = choice & 1, .rows = &rows,
                          .rate = rates[choice / 2 % 4], .seed = 9, .stream = "dropout", .step = choice, .layer = 3,
                          .per_image = choice >= 12};
            if (choice % 5 == 4) a.x = memcpy(y.of[run], x, (size_t)n * sizeof *x);
            be->drop(&a);
        }
        compare_simple(t, "y", n, y, 3 * eps, choice & 1 ? 3 * 2.5 * 3 * eps : 0);
    }
}

/* ---- rows ---- */

/* Means of N terms in float: (N + 16) eps, of values whose sd is 1; the variance of a row of one is 0, 1/sd is then 1000. */
static void trial_layer_norm(Trial *t) {
    EACH_MATRIX(t, M, D) {
        const Real  *x = reals(t, M * D), *gain = reals(t, D), *bias = reals(t, D);
        const Output y = output(t, M * D), mean = output(t, M), inv_sd = output(t, M);
        EACH_RUN(t, be) {
            LayerNormArgs a = {.M = M, .D = D, .eps = (Real)1e-6, .x = x, .gain = gain, .bias = bias, .y = y.of[run],
                               .mean = mean.of[run], .inv_sd = inv_sd.of[run]};
            be->layer_norm(&a);
        }
        const double few = ((double)D + 16) * eps;
        double      *bound = bounds(t, M * D), *mean_bound = bounds(t, M), *inv_sd_bound = bounds(t, M);
        for (int64_t m = 0; m < M; m++) {
            const double inv = (double)inv_sd.of[0][m];
            /* a small sd magnifies what the mean lacks: by few |x| / sd, and the variance by its square */
            const double lack = few * 3 * inv;
            mean_bound[m]   = few * 3;
            inv_sd_bound[m] = (2 * few + lack * lack) * inv;
            for (int64_t d = 0; d < D; d++) {
                const double h = ((double)x[m * D + d] - (double)mean.of[0][m]) * inv;
                bound[m * D + d] = 3 * ((lack < few ? lack : few) + (2 * few + lack * lack) * fabs(h)) + 6 * eps;
            }
        }
        compare(t, "y", M * D, y, bound);
        compare(t, "mean", M, mean, mean_bound);
        compare(t, "inv_sd", M, inv_sd, inv_sd_bound);
        EACH_RUN(t, be) {                          /* nothing kept: the same output */
            LayerNormArgs a = {.M = M, .D = D, .eps = (Real)1e-6, .x = x, .gain = gain, .bias = bias, .y = y.of[run]};
            be->layer_norm(&a);
        }
        compare(t, "y alone", M * D, y, bound);
    }
}

/* |g| = |dy gain| <= 9 and h = (x - mean) inv_sd; the stored mean is rounded, which a backend may correct: eps inv_sd of h. */
static void trial_layer_norm_backward(Trial *t) {
    EACH_MATRIX(t, M, D) for (int choice = 0; choice < 3; choice++) {
        const Real  *x = reals(t, M * D), *gain = reals(t, D), *dy = reals(t, M * D);
        Real        *y = reals(t, M * D), *mean = reals(t, M), *inv_sd = reals(t, M);
        const Output dx = output(t, M * D), dgain = output(t, D), dbias = output(t, D);
        LayerNormArgs a = {.M = M, .D = D, .eps = (Real)1e-2, .x = x, .gain = gain, .bias = gain, .y = y, .mean = mean,
                           .inv_sd = inv_sd, .dy = dy, .dx_assign = choice == 0};
        t->run[0]->layer_norm(&a);
        EACH_RUN(t, be) {
            a.dx    = choice == 2 ? NULL : dx.of[run];
            a.dgain = dgain.of[run];
            a.dbias = dbias.of[run];
            be->layer_norm_backward(&a);
        }
        double *bound = bounds(t, M * D), *gain_bound = bounds(t, D), *bias_bound = bounds(t, D);
        for (int64_t m = 0; m < M; m++) {
            const double inv = (double)inv_sd[m], few = ((double)D + 12 + 3 * inv) * eps;
            double       h_max = 0;
            for (int64_t d = 0; d < D; d++) h_max = fmax(h_max, fabs(((double)x[m * D + d] - (double)mean[m]) * inv));
            for (int64_t d = 0; d < D; d++) {
                bound[m * D + d] = few * inv * 9 * (1 + h_max * h_max + h_max) + 6 * eps;
                gain_bound[d]   += ((double)M + 4 + 3 * inv) * eps * 3 * (h_max + 1);
                bias_bound[d]   += ((double)M + 2) * eps * 3;
            }
        }
        for (int64_t d = 0; d < D; d++) {
            gain_bound[d] += 6 * eps;
            bias_bound[d] += 6 * eps;
        }
        compare(t, "dx", M * D, dx, bound);
        compare(t, "dgain", D, dgain, gain_bound);
        compare(t, "dbias", D, dbias, bias_bound);
    }
}

static void trial_column_sums(Trial *t) {
    EACH_MATRIX(t, M, N) {
        const int64_t ld = N + 2;
        const Real   *x = reals(t, M * ld);
        const Output  sums = output(t, N);
        double       *bound = bounds(t, N);
        for (int64_t n = 0; n < N; n++) bound[n] = ((double)M + 1) * eps * 3;
        for (int64_t m = 0; m < M; m++)
            for (int64_t n = 0; n < N; n++) bound[n] += ((double)M + 1) * eps * fabs((double)x[m * ld + n]);
        EACH_RUN(t, be) be->column_sums(M, N, x, ld, sums.of[run]);
        compare(t, "sums", N, sums, bound);
    }
}

/* x - max is rounded, at most 6 eps of argument; exp 3 eps; a sum of N; a product with 1/sum */
static void trial_softmax_rows(Trial *t) {
    EACH_MATRIX(t, M, N) {
        const Real  *x = reals(t, M * N);
        const Output y = output(t, M * N);
        EACH_RUN(t, be) be->softmax_rows(M, N, x, y.of[run]);
        compare_simple(t, "y", M * N, y, ((double)N + 12) * eps, 0);
    }
}

static void trial_softmax_rows_backward(Trial *t) {
    EACH_MATRIX(t, M, N) {
        const Real  *x = reals(t, M * N), *dy = reals(t, M * N);
        Real        *y = reals(t, M * N);
        const Output dx = output(t, M * N);
        t->run[0]->softmax_rows(M, N, x, y);
        EACH_RUN(t, be) be->softmax_rows_backward(M, N, y, dy, dx.of[run]);
        double *bound = bounds(t, M * N);                            /* sum |y dy| <= 3, |dy - sum| <= 6 */
        for (int64_t i = 0; i < M * N; i++)
            bound[i] = ((double)N + 6) * eps * 6 * (double)y[i] + 2 * eps * fabs((double)dx.of[0][i]);
        compare(t, "dx", M * N, dx, bound);
    }
}

static int32_t *indices(Trial *t, int64_t n, int64_t n_rows, bool distinct) {
    int32_t *index = block(t, (size_t)n * sizeof *index);
    for (int64_t i = 0; i < n; i++)
        index[i] = distinct ? (int32_t)((i * 7 + 3) % n_rows) : below(t, 5) == 0 ? -1 : (int32_t)below(t, (int)n_rows);
    return index;
}

static void trial_gather_rows(Trial *t) {
    EACH_MATRIX(t, M, D) {
        const Real    *x = reals(t, 11 * D);
        const int32_t *index = indices(t, M, 11, false);
        const Output   y = output(t, M * D);
        EACH_RUN(t, be) be->gather_rows(M, D, x, index, y.of[run]);
        compare_simple(t, "y", M * D, y, 0, 0);
    }
}

static void trial_scatter_add_rows(Trial *t) {
    EACH_MATRIX(t, M, D) {
        const Real    *x = reals(t, M * D);
        const int32_t *index = indices(t, M, 11, false);
        const Output   y = output(t, 11 * D);
        EACH_RUN(t, be) be->scatter_add_rows(M, D, x, index, y.of[run]);
        compare_simple(t, "y", 11 * D, y, 0, ((double)M + 1) * eps * ((double)M + 1) * 3 / 11 * 4);   /* of M/11 rows, +- */
    }
}

static void trial_put_rows(Trial *t) {
    EACH_MATRIX(t, M, D) for (int zeros = 0; zeros < 2; zeros++) {
        const int64_t  n_rows = 7 * M + 2;                           /* 7 i + 3 is distinct modulo 7 M + 2 for i < M */
        const Real    *x = reals(t, M * D);
        const int32_t *index = indices(t, M, n_rows, true);
        const Output   y = output(t, n_rows * D);
        EACH_RUN(t, be) be->put_rows(M, D, zeros ? NULL : x, index, y.of[run]);
        compare_simple(t, "y", n_rows * D, y, 0, 0);
    }
}

static const PatchArgs patchings[] = {{.B = 1, .C = 1, .height = 3, .width = 3, .P = 3}, {.B = 3, .C = 2, .height = 4, .width = 6, .P = 2},
                                      {.B = 5, .C = 3, .height = 64, .width = 32, .P = 16}, {.B = 0, .C = 1, .height = 4, .width = 4, .P = 2},
                                      {.B = 40, .C = 1, .height = 28, .width = 28, .P = 4}};
#define EACH_PATCHING(t, a) \
    for (size_t i_ = 0; i_ < sizeof patchings / sizeof *patchings; i_++, release(t)) for (PatchArgs a = patchings[i_]; a.P > 0; a.P = 0)

static void trial_patch_rows(Trial *t) {
    EACH_PATCHING(t, a) {
        const int64_t n = a.B * a.C * a.height * a.width;
        const Output  rows = output(t, n);
        a.images = reals(t, n);
        EACH_RUN(t, be) {
            a.rows = rows.of[run];
            be->patch_rows(&a);
        }
        compare_simple(t, "rows", n, rows, 0, 0);
    }
}

static void trial_patch_rows_backward(Trial *t) {
    EACH_PATCHING(t, a) {
        const int64_t n = a.B * a.C * a.height * a.width;
        const Output  dimages = output(t, n);
        a.rows = reals(t, n);
        EACH_RUN(t, be) {
            a.dimages = dimages.of[run];
            be->patch_rows_backward(&a);
        }
        compare_simple(t, "dimages", n, dimages, 0, 0);
    }
}

/* segments of 0, 1 and up to M rows, which may overlap */
static void segments(Trial *t, int n, int64_t M, int32_t **first, int32_t **end) {
    *first = block(t, (size_t)n * sizeof **first);
    *end   = block(t, (size_t)n * sizeof **end);
    for (int s = 0; s < n; s++) {
        (*first)[s] = M > 0 ? (int32_t)below(t, (int)M) : 0;
        (*end)[s]   = (*first)[s] + (s % 4 == 0 ? 0 : (int32_t)below(t, (int)(M - (*first)[s]) + 1));
    }
}

static void trial_segment_mean(Trial *t) {
    EACH_MATRIX(t, M, D) {
        int32_t *first, *end;
        segments(t, 9, M, &first, &end);
        const Real  *x = reals(t, M * D);
        const Output y = output(t, 9 * D);
        EACH_RUN(t, be) be->segment_mean(9, first, end, D, x, y.of[run]);
        compare_simple(t, "y", 9 * D, y, 0, ((double)M + 3) * eps * 3);
    }
}

static void trial_segment_mean_backward(Trial *t) {
    EACH_MATRIX(t, M, D) {
        int32_t *first, *end;
        segments(t, 9, M, &first, &end);
        const Real  *dy = reals(t, 9 * D);
        const Output dx = output(t, M * D);
        EACH_RUN(t, be) be->segment_mean_backward(9, first, end, D, dy, dx.of[run]);
        compare_simple(t, "dx", M * D, dx, 0, 9 * 3 * eps * 30);     /* nine terms, none above 3, in any fusing */
    }
}

/* ---- loss and optimizers ---- */

static void trial_cross_entropy(Trial *t) {
    EACH_MATRIX(t, B, C) for (int choice = 0; choice < 4; choice++) {
        Real        *logits = reals(t, B * C), *soft = reals(t, B * C);
        int32_t     *labels = block(t, (size_t)B * sizeof *labels);
        const Output dlogits = output(t, B * C), loss = output(t, B);
        for (int64_t i = 0; i < B; i++) {
            double sum = 0;
            labels[i] = below(t, (int)C);
            for (int64_t c = 0; c < C; c++) sum += fabs((double)soft[i * C + c]);
            for (int64_t c = 0; c < C; c++) soft[i * C + c] = (Real)(fabs((double)soft[i * C + c]) / sum);
        }
        EACH_RUN(t, be) {
            double *losses = block(t, (size_t)B * sizeof *losses);
            const CrossEntropyArgs a = {.B = B, .C = C, .logits = logits, .labels = labels, .soft = choice & 1 ? soft : NULL,
                                        .smoothing = (Real)(choice & 2 ? 0.1 : 0), .loss = losses, .scale = (Real)0.25,
                                        .dlogits = dlogits.of[run]};
            be->cross_entropy(&a);
            for (int64_t i = 0; i < B; i++) loss.of[run][i] = (Real)losses[i];
        }
        /* softmax in float would err by (N + 16) eps of at most 1, times the scale; then one sum */
        compare_simple(t, "dlogits", B * C, dlogits, 2 * eps, 0.25 * ((double)C + 16) * eps);
        compare_simple(t, "loss", B, loss, 4 * eps, ((double)C + 16) * eps);
    }
}

static void trial_sum_squares(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *x = reals(t, n);
        const Output y = output(t, 1);
        EACH_RUN(t, be) {
            double sum;
            be->sum_squares(n, x, &sum);
            y.of[run][0] = (Real)sum;
        }
        compare_simple(t, "sum", 1, y, 2 * eps, 0);                  /* in double; the test rounds */
    }
}

static void trial_adamw(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *grad = reals(t, n);
        const Output p = output(t, n), m = output(t, n), v = output(t, n);
        EACH_RUN(t, be) {
            for (int64_t i = 0; i < n; i++) v.of[run][i] = (Real)fabs((double)v.of[run][i]);
            const AdamwArgs a = {.n = n, .p = p.of[run], .m = m.of[run], .v = v.of[run], .grad = grad, .lr = 1e-2, .beta1 = 0.9,
                                 .beta2 = 0.99, .eps = 1e-3, .weight_decay = 0.1, .bias1 = 0.271, .bias2 = 0.0297, .grad_scale = 0.5};
            be->adamw(&a);
        }
        double *p_bound = bounds(t, n);
        for (int64_t i = 0; i < n; i++) {          /* terms of m are below 3; ten roundings of the step, three of p */
            const double largest_step = 1e-2 * 3 / 0.271 / (sqrt((double)v.of[0][i] / 0.0297) + 1e-3);
            p_bound[i] = 10 * eps * largest_step + 4 * eps * (3 + fabs((double)p.of[0][i]));
        }
        compare(t, "p", n, p, p_bound);
        compare_simple(t, "m", n, m, 0, 4 * 3 * eps);
        compare_simple(t, "v", n, v, 8 * eps, 0);
    }
}

static void trial_sgd(Trial *t) {
    EACH_LENGTH(t, n) {
        const Real  *grad = reals(t, n);
        const Output p = output(t, n), m = output(t, n);
        EACH_RUN(t, be) {
            const SgdArgs a = {.n = n, .p = p.of[run], .m = m.of[run], .grad = grad, .lr = 0.1, .momentum = 0.9,
                               .weight_decay = 0.1, .grad_scale = 0.5};
            be->sgd(&a);
        }
        compare_simple(t, "m", n, m, 0, 5 * 4.5 * eps);              /* five roundings of terms that sum to 4.5 */
        compare_simple(t, "p", n, p, 2 * eps, 5 * 4.5 * 0.1 * eps + 3 * eps);
    }
}

/* ---- every kernel of every backend ---- */

static const struct { const char *name; void (*trial)(Trial *); } kernels[] = {
#define KERNEL(name, parameters) {#name, trial_##name},
#include "engine/kernels.def"
#undef KERNEL
};
enum { N_KERNELS = sizeof kernels / sizeof *kernels };

/* The reference with kernel `at` of the other, if it has one. */
static bool override_one(const Backend *other, int at, Backend *out) {
    bool overridden = false;
    int  i          = 0;
    *out = backend_reference;
#define KERNEL(name, parameters)               \
    if (i++ == at && other->name != NULL) {    \
        out->name  = other->name;              \
        overridden = true;                     \
    }
#include "engine/kernels.def"
#undef KERNEL
    return overridden;
}

/* "" or what was found wrong */
static const char *try_kernel(int at, const Backend *one, bool spoil) {
    static Trial t;
    t = (Trial){.run = {&backend_reference, one, one}, .spoil = spoil, .random_state = (uint64_t)at};
    kernels[at].trial(&t);
    release(&t);
    assert_true(t.n_compared > 0);
    return t.found;
}

static void every_override_agrees_with_the_reference_on_1_2_and_3_threads(void **state) {
    (void)state;
    const int threads = omp_get_max_threads();
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_partial(b);
        if (backend->usable != NULL && !backend->usable()) {
            print_message("%s: not usable here, left out\n", backend->name);
            continue;
        }
        int n_overrides = 0, n_compared = 0;
        for (int at = 0; at < N_KERNELS; at++) {
            Backend one;
            n_overrides += override_one(backend, at, &one);
        }
        for (int at = 0; at < N_KERNELS; at++) {
            Backend one;
            if (!override_one(backend, at, &one)) continue;
            for (int n = 1; n <= (backend == &backend_reference ? 1 : 3); n++) {
                omp_set_num_threads(n);
                const char *found = try_kernel(at, &one, false);
                omp_set_num_threads(threads);
                if (found[0] != '\0') fail_msg("%s %s on %d threads: %s", backend->name, kernels[at].name, n, found);
            }
            n_compared++;
        }
        print_message("%s overrides %d of %d kernels, %d compared\n", backend->name, n_overrides, N_KERNELS, n_compared);
        assert_int_equal(n_overrides, n_compared);
    }
}

static void reference_has_every_kernel(void **state) {
    (void)state;
    for (int at = 0; at < N_KERNELS; at++) {
        Backend one;
        assert_true(override_one(&backend_reference, at, &one));
    }
}

static void every_trial_notices_one_output_off_by_a_thousandth(void **state) {
    (void)state;
    for (int at = 0; at < N_KERNELS; at++)
        if (try_kernel(at, &backend_reference, true)[0] == '\0') fail_msg("the trial of %s noticed nothing", kernels[at].name);
}

/* ---- kernels that are wrong as kernels are wrong ---- */

static void gelu_by_tanh(int64_t n, const Real *x, Real *y) {
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)x[i];
        y[i] = (Real)(0.5 * v * (1 + tanh(sqrt(2 / M_PI) * (v + 0.044715 * v * v * v))));
    }
}

static void gemm_off_by_an_epsilon(const Gemm *g) {
    backend_reference.gemm(g);
    if (g->M > 0 && g->N > 0) g->c[(g->M - 1) * g->ldc + g->N - 1] *= (Real)(1 + 1e-4);
}

static void gemm_past_its_rows(const Gemm *g) {
    backend_reference.gemm(g);
    if (g->M > 0) g->c[(g->M - 1) * g->ldc + g->N] = 0;
}

static void layer_norm_with_sample_variance(const LayerNormArgs *a) {
    backend_reference.layer_norm(a);
    for (int64_t i = 0; a->D > 1 && i < a->M * a->D; i++)
        a->y[i] = (Real)(((double)a->y[i] - (double)a->bias[i % a->D]) * sqrt(1 - 1 / (double)a->D) + (double)a->bias[i % a->D]);
}

static void column_sums_that_assign(int64_t M, int64_t N, const Real *x, int64_t ld, Real *sums) {
    for (int64_t n = 0; n < N; n++) sums[n] = 0;
    backend_reference.column_sums(M, N, x, ld, sums);
}

static void adamw_with_coupled_decay(const AdamwArgs *a) {
    AdamwArgs b = *a;
    b.weight_decay = 0;
    for (int64_t i = 0; i < a->n; i++) b.m[i] += (Real)((1 - a->beta1) * a->weight_decay * (double)a->p[i]);
    backend_reference.adamw(&b);
}

/* Within the bound each time, but not twice the same. */
static void axpy_that_drifts(int64_t n, Real alpha, const Real *x, Real *y) {
    static int calls;
    backend_reference.axpy(n, alpha, x, y);
    if (n > 0 && ++calls % 2 == 0) y[n - 1] *= (Real)(1 + 2 * eps);
}

static void approach_with_a_smaller_step(int64_t n, Real alpha, const Real *x, Real *y) {
    backend_reference.approach(n, alpha * (Real)(1 - 1e-4), x, y);
}

static void assert_noticed(Backend wrong, const char *kernel) {
    for (int at = 0; at < N_KERNELS; at++)
        if (strcmp(kernels[at].name, kernel) == 0) {
            const char *found = try_kernel(at, &wrong, false);
            if (found[0] == '\0') fail_msg("a wrong %s passed", kernel);
            return;
        }
    fail_msg("no kernel %s", kernel);
}

static void wrong_kernels_are_noticed(void **state) {
    (void)state;
#define WRONG(kernel, function) assert_noticed(backend_complete(&(Backend){.name = "wrong", .kernel = function}), #kernel)
    WRONG(gelu,        gelu_by_tanh);
    WRONG(gemm,        gemm_off_by_an_epsilon);
    WRONG(gemm,        gemm_past_its_rows);
    WRONG(layer_norm,  layer_norm_with_sample_variance);
    WRONG(column_sums, column_sums_that_assign);
    WRONG(adamw,       adamw_with_coupled_decay);
    WRONG(axpy,        axpy_that_drifts);
    WRONG(approach,    approach_with_a_smaller_step);
}

/* ---- the table of backends ---- */

static void backends_are_found_by_their_exact_names_and_are_complete(void **state) {
    (void)state;
    for (int i = 0; i < backend_count(); i++) {
        const Backend *whole = backend_find(backend_partial(i)->name);
        assert_non_null(whole);
        assert_non_null(strstr(backend_names(), whole->name));
#define KERNEL(name, parameters) assert_true(whole->name != NULL);
#include "engine/kernels.def"
#undef KERNEL
        assert_ptr_equal(backend_find(whole->name), whole);
    }
    assert_null(backend_find("Reference"));
    assert_null(backend_find(""));
    assert_null(backend_partial(backend_count()));
    assert_null(backend_partial(-1));
    assert_non_null(backend_default());
}

#ifndef REAL_DOUBLE
static int n_threads_of_process(void) {
    char  line[128];
    int   n = 0;
    FILE *f = fopen("/proc/self/status", "r");
    if (f == NULL) return 0;
    while (fgets(line, sizeof line, f) != NULL) sscanf(line, "Threads: %d", &n);
    fclose(f);
    return n;
}

/* A BLAS that starts threads of its own would show in the process, and one that takes ours away in the team. */
static void products_leave_the_number_of_threads_alone(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    enum { M = 300, N = 300, K = 300 };
    Real *x = calloc(M * K, sizeof *x), *c = calloc(M * N, sizeof *c);
    assert_true(x != NULL && c != NULL);
    const Gemm g = {.M = M, .N = N, .K = K, .a = x, .b = x, .lda = K, .ldb = N, .c = c, .ldc = N};
    omp_set_num_threads(1);
    const int n_threads = n_threads_of_process();
    backend_find("openblas")->gemm(&g);
    assert_int_equal(n_threads_of_process(), n_threads);
    assert_int_equal(omp_get_max_threads(), 1);
    omp_set_num_threads(3);
    backend_find("openblas")->gemm(&g);
    assert_int_equal(omp_get_max_threads(), 3);
    omp_set_num_threads(before);
    free(x);
    free(c);
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
#ifndef REAL_DOUBLE
        cmocka_unit_test(products_leave_the_number_of_threads_alone),      /* first: while the process has one thread */
#endif
        cmocka_unit_test(reference_has_every_kernel),
        cmocka_unit_test(every_override_agrees_with_the_reference_on_1_2_and_3_threads),
        cmocka_unit_test(every_trial_notices_one_output_off_by_a_thousandth),
        cmocka_unit_test(wrong_kernels_are_noticed),
        cmocka_unit_test(backends_are_found_by_their_exact_names_and_are_complete),
    };
    return cmocka_run_group_tests_name("backends", tests, NULL, NULL);
}
