/* The reference: every kernel as its formula says, sums in double, one thread. It is the oracle of all other backends
 * and the only one of the double build, so it is compiled without contraction and never tuned.
 * Shapes and conventions are those of engine/kernels.h; erf, exp and log come from libm in double. */
#include "engine/kernels.h"

#include "engine/backends/reference_maps.h"
#include "engine/backends/reference_policy.h"
#include "engine/error.h"
#include "engine/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SPAN = 1024 };                  /* entries of a head summed at a time: wider heads are gone through span by span */

/* ---- elementwise ---- */

/* Phi(x) = erfc(-x / sqrt 2) / 2: erfc keeps the relative accuracy of the left tail, which 1 + erf would lose */
static double normal_cdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
static double normal_pdf(double x) { return exp(-0.5 * x * x) / sqrt(2.0 * M_PI); }

static void gelu(int64_t n, const Real *x, Real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (Real)((double)x[i] * normal_cdf((double)x[i]));
}

static void gelu_backward(int64_t n, const Real *x, const Real *dy, Real *dx, bool assign) {
    for (int64_t i = 0; i < n; i++) {
        const double v    = (double)x[i];
        const double grad = (double)dy[i] * (normal_cdf(v) + v * normal_pdf(v));
        dx[i] = (Real)(assign ? grad : (double)dx[i] + grad);
    }
}

static void add(int64_t n, const Real *a, const Real *b, Real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void axpy(int64_t n, Real alpha, const Real *x, Real *y) {
    for (int64_t i = 0; i < n; i++) y[i] += alpha * x[i];
}

static void approach(int64_t n, Real alpha, const Real *x, Real *y) {
    for (int64_t i = 0; i < n; i++) y[i] += alpha * (x[i] - y[i]);
}

static void scale(int64_t n, Real alpha, const Real *x, Real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = alpha * x[i];
}

static void copy(int64_t n, const Real *x, Real *y) {
    if (n > 0) memcpy(y, x, (size_t)n * sizeof *y);
}

static void drop(const DropArgs *a) {
    const RngStream stream = rng_stream(a->seed, a->stream);
    for (int b = 0; b < a->rows->n_images; b++)
        for (int64_t m = a->rows->offset[b]; m < a->rows->offset[b + 1]; m++)
            for (int64_t d = 0; d < a->D; d++) {
                const RngKey key  = {.step    = a->step,
                                     .image   = a->rows->image_id[b],
                                     .layer   = a->layer,
                                     .patch   = a->per_image ? 0 : a->rows->patch[m],
                                     .channel = a->per_image ? 0 : d};
                const bool   keep = rng_uniform(stream, key) >= a->rate;
                const Real   x    = keep ? (Real)((double)a->x[m * a->D + d] / (1.0 - a->rate)) : 0;
                if (a->accumulate) a->y[m * a->D + d] += x;
                else               a->y[m * a->D + d]  = x;
            }
}

/* ---- matrices ---- */

static void gemm(const Gemm *g) {
    for (int64_t m = 0; m < g->M; m++)
        for (int64_t n = 0; n < g->N; n++) {
            double sum = g->beta != 0 ? (double)(g->beta * g->c[m * g->ldc + n]) : 0.0;
            for (int64_t k = 0; k < g->K; k++)
                sum += (double)(g->trans_a ? g->a[k * g->lda + m] : g->a[m * g->lda + k]) *
                       (double)(g->trans_b ? g->b[n * g->ldb + k] : g->b[k * g->ldb + n]);
            if (g->bias != NULL) sum += (double)g->bias[n];
            if (g->pre_activation != NULL) g->pre_activation[m * g->N + n] = (Real)sum;
            if (g->activation == ACTIVATION_GELU) sum *= normal_cdf(sum);
            if (g->residual != NULL) sum += (double)g->residual[m * g->N + n];
            g->c[m * g->ldc + n] = (Real)sum;
        }
}

static void column_sums(int64_t M, int64_t N, const Real *x, int64_t ld, Real *sums) {
    for (int64_t n = 0; n < N; n++) {
        double sum = (double)sums[n];
        for (int64_t m = 0; m < M; m++) sum += (double)x[m * ld + n];
        sums[n] = (Real)sum;
    }
}

static void layer_norm(const LayerNormArgs *a) {
    for (int64_t m = 0; m < a->M; m++) {
        const Real *x    = a->x + m * a->D;
        double      mean = 0, variance = 0;
        for (int64_t d = 0; d < a->D; d++) mean += (double)x[d];
        mean /= (double)a->D;
        for (int64_t d = 0; d < a->D; d++) variance += ((double)x[d] - mean) * ((double)x[d] - mean);
        variance /= (double)a->D;
        const double inv_sd = 1.0 / sqrt(variance + (double)a->eps);
        for (int64_t d = 0; d < a->D; d++)
            a->y[m * a->D + d] = (Real)(((double)x[d] - mean) * inv_sd * (double)a->gain[d] + (double)a->bias[d]);
        if (a->mean != NULL)   a->mean[m]   = (Real)mean;
        if (a->inv_sd != NULL) a->inv_sd[m] = (Real)inv_sd;
    }
}

/* With h = (x - mean) inv_sd and g = dy gain:  dx = inv_sd (g - mean(g) - h mean(g h)),  dgain = sum dy h,  dbias = sum dy */
static void layer_norm_backward(const LayerNormArgs *a) {
    for (int64_t m = 0; a->dx != NULL && m < a->M; m++) {
        const Real *x = a->x + m * a->D, *dy = a->dy + m * a->D;
        double      mean_g = 0, mean_gh = 0;
        for (int64_t d = 0; d < a->D; d++) {
            const double h = ((double)x[d] - (double)a->mean[m]) * (double)a->inv_sd[m];
            const double g = (double)dy[d] * (double)a->gain[d];
            mean_g  += g / (double)a->D;
            mean_gh += g * h / (double)a->D;
        }
        for (int64_t d = 0; d < a->D; d++) {
            const double h  = ((double)x[d] - (double)a->mean[m]) * (double)a->inv_sd[m];
            const double dx = (double)a->inv_sd[m] * ((double)dy[d] * (double)a->gain[d] - mean_g - h * mean_gh);
            Real        *to = &a->dx[m * a->D + d];
            *to = (Real)(a->dx_assign ? dx : (double)*to + dx);
        }
    }
    for (int64_t d = 0; d < a->D; d++) {
        double dgain = 0, dbias = 0;
        for (int64_t m = 0; m < a->M; m++) {
            const double dy = (double)a->dy[m * a->D + d];
            dgain += dy * ((double)a->x[m * a->D + d] - (double)a->mean[m]) * (double)a->inv_sd[m];
            dbias += dy;
        }
        if (a->dgain != NULL) a->dgain[d] = (Real)((double)a->dgain[d] + dgain);
        if (a->dbias != NULL) a->dbias[d] = (Real)((double)a->dbias[d] + dbias);
    }
}

static void softmax_rows(int64_t M, int64_t N, const Real *x, Real *y) {
    for (int64_t m = 0; m < M; m++, x += N, y += N) {
        double max = -INFINITY, sum = 0;
        for (int64_t n = 0; n < N; n++) max = fmax(max, (double)x[n]);
        for (int64_t n = 0; n < N; n++) sum += exp((double)x[n] - max);
        for (int64_t n = 0; n < N; n++) y[n] = (Real)(exp((double)x[n] - max) / sum);
    }
}

/* dx += y (dy - sum y dy) */
static void softmax_rows_backward(int64_t M, int64_t N, const Real *y, const Real *dy, Real *dx) {
    for (int64_t m = 0; m < M; m++, y += N, dy += N, dx += N) {
        double dot = 0;
        for (int64_t n = 0; n < N; n++) dot += (double)y[n] * (double)dy[n];
        for (int64_t n = 0; n < N; n++) dx[n] = (Real)((double)dx[n] + (double)y[n] * ((double)dy[n] - dot));
    }
}

/* ---- attention ---- */

/* scale q_i.k_j + bias_ij; i, j count within sequence s */
static double score(const AttentionArgs *a, int s, int h, int64_t i, int64_t j) {
    const Real *q = a->q + (a->q_offset[s] + i) * a->q_ld + h * a->q_head;
    const Real *k = a->k + (a->k_offset[s] + j) * a->k_ld + h * a->k_head;
    double      dot = 0;
    for (int e = 0; e < a->E; e++) dot += (double)q[e] * (double)k[e];
    dot *= (double)a->scale;
    if (a->bias != NULL) {
        const int64_t Nq = a->q_offset[s + 1] - a->q_offset[s], Nk = a->k_offset[s + 1] - a->k_offset[s];
        dot += (double)a->bias[(h * Nq + i) * Nk + j];
    }
    return dot;
}

static int span(int width, int from) { return from >= width ? 0 : width - from < SPAN ? width - from : SPAN; }

/* No keys: zeros, and a log-sum-exp of -inf. */
static void attention(const AttentionArgs *a) {
    for (int s = 0; s < a->n_sequences; s++)
        for (int h = 0; h < a->H; h++)
            for (int64_t i = 0; i < a->q_offset[s + 1] - a->q_offset[s]; i++) {
                const int64_t Nk = a->k_offset[s + 1] - a->k_offset[s], row = a->q_offset[s] + i;
                double        max = -INFINITY, sum = 0;
                for (int64_t j = 0; j < Nk; j++) max = fmax(max, score(a, s, h, i, j));
                for (int from = 0; from < a->Ev; from += SPAN) {
                    const int n = span(a->Ev, from);
                    double    mixed[SPAN] = {0};
                    sum = 0;
                    for (int64_t j = 0; j < Nk; j++) {
                        const double weight = exp(score(a, s, h, i, j) - max);
                        const Real  *v      = a->v + (a->k_offset[s] + j) * a->v_ld + h * a->v_head + from;
                        sum += weight;
                        for (int e = 0; e < n; e++) mixed[e] += weight * (double)v[e];
                    }
                    for (int e = 0; e < n; e++)
                        a->out[(row * a->H + h) * a->Ev + from + e] = (Real)(Nk > 0 ? mixed[e] / sum : 0.0);
                }
                if (a->lse != NULL) a->lse[row * a->H + h] = (Real)(Nk > 0 ? max + log(sum) : -INFINITY);
            }
}

typedef struct Pair { double p, ds; } Pair;      /* weight p_ij = exp(s_ij - lse_i); ds_ij = p_ij (dout_i.v_j - dout_i.out_i) */

static Pair pair(const AttentionArgs *a, int s, int h, int64_t i, int64_t j) {
    const int64_t row  = a->q_offset[s] + i;
    const Real   *dout = a->dout + (row * a->H + h) * a->Ev, *out = a->out + (row * a->H + h) * a->Ev;
    const Real   *v    = a->v + (a->k_offset[s] + j) * a->v_ld + h * a->v_head;
    const double  p    = exp(score(a, s, h, i, j) - (double)a->lse[row * a->H + h]);
    double        dp   = 0;
    for (int e = 0; e < a->Ev; e++) dp += (double)dout[e] * ((double)v[e] - (double)out[e]);
    return (Pair){p, p * dp};
}

static void put(const double *grad, int n, bool assign, Real *to) {
    for (int e = 0; e < n; e++) to[e] = (Real)(assign ? grad[e] : (double)to[e] + grad[e]);
}

/* dq_i = scale sum_j ds_ij k_j;  dk_j = scale sum_i ds_ij q_i;  dv_j = sum_i p_ij dout_i;  dbias_ij = sum_s ds_ij */
static void attention_backward(const AttentionArgs *a) {
    const int width = a->E > a->Ev ? a->E : a->Ev;
    for (int s = 0; s < a->n_sequences; s++) {
        const int64_t Nq = a->q_offset[s + 1] - a->q_offset[s], Nk = a->k_offset[s + 1] - a->k_offset[s];
        for (int h = 0; h < a->H; h++) {
            for (int64_t i = 0; i < Nq; i++)
                for (int from = 0; from < a->E; from += SPAN) {
                    const int n = span(a->E, from);
                    double    dq[SPAN] = {0};
                    for (int64_t j = 0; j < Nk; j++) {
                        const double ds = pair(a, s, h, i, j).ds;
                        const Real  *k  = a->k + (a->k_offset[s] + j) * a->k_ld + h * a->k_head + from;
                        for (int e = 0; e < n; e++) dq[e] += (double)a->scale * ds * (double)k[e];
                        if (a->dbias != NULL && from == 0) {
                            Real *to = &a->dbias[(h * Nq + i) * Nk + j];
                            *to = (Real)((double)*to + ds);
                        }
                    }
                    if (a->dq != NULL) put(dq, n, a->assign, a->dq + (a->q_offset[s] + i) * a->q_ld + h * a->q_head + from);
                }
            for (int64_t j = 0; a->dk != NULL && j < Nk; j++)
                for (int from = 0; from < width; from += SPAN) {
                    const int n = span(a->E, from), nv = span(a->Ev, from);
                    double    dk[SPAN] = {0}, dv[SPAN] = {0};
                    for (int64_t i = 0; i < Nq; i++) {
                        const Pair    ij   = pair(a, s, h, i, j);
                        const int64_t row  = a->q_offset[s] + i;
                        const Real   *q    = a->q + row * a->q_ld + h * a->q_head + from;
                        const Real   *dout = a->dout + (row * a->H + h) * a->Ev + from;
                        for (int e = 0; e < n; e++)  dk[e] += (double)a->scale * ij.ds * (double)q[e];
                        for (int e = 0; e < nv; e++) dv[e] += ij.p * (double)dout[e];
                    }
                    put(dk, n,  a->assign, a->dk + (a->k_offset[s] + j) * a->k_ld + h * a->k_head + from);
                    put(dv, nv, a->assign, a->dv + (a->k_offset[s] + j) * a->v_ld + h * a->v_head + from);
                }
        }
    }
}

/* ---- rows ---- */

static void gather_rows(int64_t n_rows, int64_t D, const Real *x, const int32_t *index, Real *y) {
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t d = 0; d < D; d++) y[i * D + d] = index[i] < 0 ? 0 : x[index[i] * D + d];
}

static void scatter_add_rows(int64_t n_rows, int64_t D, const Real *x, const int32_t *index, Real *y) {
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t d = 0; index[i] >= 0 && d < D; d++) y[index[i] * D + d] += x[i * D + d];
}

static void put_rows(int64_t n_rows, int64_t D, const Real *x, const int32_t *index, Real *y) {
    for (int64_t i = 0; i < n_rows; i++)
        for (int64_t d = 0; index[i] >= 0 && d < D; d++) y[index[i] * D + d] = x == NULL ? 0 : x[i * D + d];
}

/* Calls for every pixel once: element of rows and element of images that belong together. */
static void each_pixel(const PatchArgs *a, void (*visit)(const PatchArgs *a, int64_t in_rows, int64_t in_images)) {
    CHECK(a->height % a->P == 0 && a->width % a->P == 0, "patches of %ld do not tile %ld x %ld", (long)a->P,
          (long)a->height, (long)a->width);
    const int64_t n_y = a->height / a->P, n_x = a->width / a->P;
    int64_t       in_rows = 0;
    for (int64_t b = 0; b < a->B; b++)
        for (int64_t patch_y = 0; patch_y < n_y; patch_y++)
            for (int64_t patch_x = 0; patch_x < n_x; patch_x++)
                for (int64_t c = 0; c < a->C; c++)
                    for (int64_t y = 0; y < a->P; y++)
                        for (int64_t x = 0; x < a->P; x++)
                            visit(a, in_rows++,
                                  ((b * a->C + c) * a->height + patch_y * a->P + y) * a->width + patch_x * a->P + x);
}

static void pixel_to_row(const PatchArgs *a, int64_t in_rows, int64_t in_images) {
    a->rows[in_rows] = a->images[in_images];
}
static void row_to_pixel(const PatchArgs *a, int64_t in_rows, int64_t in_images) {
    a->dimages[in_images] += a->rows[in_rows];
}

static void patch_rows(const PatchArgs *a) { each_pixel(a, pixel_to_row); }
static void patch_rows_backward(const PatchArgs *a) { each_pixel(a, row_to_pixel); }

/* A segment without rows has the mean 0. */
static void segment_mean(int n, const int32_t *first, const int32_t *end, int64_t D, const Real *x, Real *y) {
    for (int s = 0; s < n; s++)
        for (int64_t d = 0; d < D; d++) {
            double sum = 0;
            for (int64_t m = first[s]; m < end[s]; m++) sum += (double)x[m * D + d];
            y[s * D + d] = (Real)(end[s] > first[s] ? sum / (double)(end[s] - first[s]) : 0.0);
        }
}

static void segment_mean_backward(int n, const int32_t *first, const int32_t *end, int64_t D, const Real *dy, Real *dx) {
    for (int s = 0; s < n; s++)
        for (int64_t m = first[s]; m < end[s]; m++)
            for (int64_t d = 0; d < D; d++) {
                const double part = (double)dy[s * D + d] / (double)(end[s] - first[s]);
                dx[m * D + d] = (Real)((double)dx[m * D + d] + part);
            }
}

/* ---- maps: reference_maps.c ---- */

static void conv_columns(const ConvColumnsArgs *a)          { reference_conv_columns(a); }
static void conv_columns_backward(const ConvColumnsArgs *a) { reference_conv_columns_backward(a); }
static void depthwise(const DepthwiseArgs *a)               { reference_depthwise(a); }
static void depthwise_backward(const DepthwiseArgs *a)      { reference_depthwise_backward(a); }
static void batch_norm(const BatchNormArgs *a)              { reference_batch_norm(a); }
static void batch_norm_backward(const BatchNormArgs *a)     { reference_batch_norm_backward(a); }
static void window_bias(int64_t H, int64_t side, const Real *table, Real *bias) { reference_window_bias(H, side, table, bias); }
static void window_bias_backward(int64_t H, int64_t side, const Real *dbias, Real *dtable) {
    reference_window_bias_backward(H, side, dbias, dtable);
}

/* ---- policies: reference_policy.c ---- */

static void policy_attention(const PolicyAttentionArgs *p)          { reference_policy_attention(p); }
static void policy_attention_backward(const PolicyAttentionArgs *p) { reference_policy_attention_backward(p); }
static void pool_half(const PoolHalfArgs *a)                        { reference_pool_half(a); }
static void pool_half_backward(const PoolHalfArgs *a)               { reference_pool_half_backward(a); }

/* ---- loss and optimizers ---- */

static void cross_entropy(const CrossEntropyArgs *a) {
    for (int64_t i = 0; i < a->B; i++) {
        const Real *logits = a->logits + i * a->C;
        double      max = -INFINITY, sum = 0, loss = 0;
        for (int64_t c = 0; c < a->C; c++) max = fmax(max, (double)logits[c]);
        for (int64_t c = 0; c < a->C; c++) sum += exp((double)logits[c] - max);
        const double lse = max + log(sum);
        for (int64_t c = 0; c < a->C; c++) {
            const double hard   = a->soft != NULL ? (double)a->soft[i * a->C + c] : a->labels[i] == c ? 1.0 : 0.0;
            const double target = (1.0 - (double)a->smoothing) * hard + (double)a->smoothing / (double)a->C;
            if (target != 0.0) loss -= target * ((double)logits[c] - lse);
            if (a->dlogits != NULL) {
                Real *to = &a->dlogits[i * a->C + c];
                *to = (Real)((double)*to + (double)a->scale * (exp((double)logits[c] - lse) - target));
            }
        }
        if (a->loss != NULL) a->loss[i] = loss;
    }
}

static void sum_squares(int64_t n, const Real *x, double *sum) {
    *sum = 0;
    for (int64_t i = 0; i < n; i++) *sum += (double)x[i] * (double)x[i];
}

static void adamw(const AdamwArgs *a) {
    for (int64_t i = 0; i < a->n; i++) {
        const double g = a->grad_scale * (double)a->grad[i];
        const double m = a->beta1 * (double)a->m[i] + (1.0 - a->beta1) * g;
        const double v = a->beta2 * (double)a->v[i] + (1.0 - a->beta2) * g * g;
        const double p = (double)a->p[i] * (1.0 - a->lr * a->weight_decay);
        a->m[i] = (Real)m;
        a->v[i] = (Real)v;
        a->p[i] = (Real)(p - a->lr * (m / a->bias1) / (sqrt(v / a->bias2) + a->eps));
    }
}

static void sgd(const SgdArgs *a) {
    for (int64_t i = 0; i < a->n; i++) {
        const double g = a->grad_scale * (double)a->grad[i] + a->weight_decay * (double)a->p[i];
        const double m = a->momentum * (double)a->m[i] + g;
        a->m[i] = (Real)m;
        a->p[i] = (Real)((double)a->p[i] - a->lr * m);
    }
}

/* ---- routed rows ---- */

static void combine_rows(const CombineArgs *a) {
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t d = 0; d < a->D; d++) {
            Real        *h    = &a->h[a->index[i] * a->D + d];
            const double y    = (double)a->y[i * a->D + d], base = (double)(a->base != NULL ? a->base[i * a->D + d] : *h);
            const double g    = (double)(a->gate_at[i] >= 0 ? a->gate[a->gate_at[i]] : a->constant);
            *h = (Real)(a->gate_at[i] == COMBINE_PLAIN ? y : a->paper ? base + g * y : base + g * (y - base));
        }
}

static void combine_rows_backward(const CombineArgs *a) {
    for (int64_t i = 0; i < a->n; i++) {
        const bool   plain = a->gate_at[i] == COMBINE_PLAIN;
        const double g     = plain ? 1 : (double)(a->gate_at[i] >= 0 ? a->gate[a->gate_at[i]] : a->constant);
        double       dg    = 0;
        for (int64_t d = 0; d < a->D; d++) {
            Real        *dh = &a->dh[a->index[i] * a->D + d];
            const double dx = (double)*dh, y = (double)a->y[i * a->D + d];
            if (a->dy != NULL) a->dy[i * a->D + d] += (Real)(g * dx);
            if (a->dbase != NULL && !plain) a->dbase[i * a->D + d] += (Real)(a->paper ? dx : (1 - g) * dx);
            if (a->gate_at[i] >= 0) dg += dx * (a->paper ? y : y - (double)a->base[i * a->D + d]);
            *dh = 0;
        }
        if (a->dgate != NULL && a->gate_at[i] >= 0) a->dgate[a->gate_at[i]] += (Real)dg;
    }
}

static void row_dots(int64_t n, int64_t D, const Real *x, const int32_t *index, const Real *w, Real *y) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t d = 0; d < D; d++) sum += (double)x[index[i] * D + d] * (double)w[d];
        y[i] = (Real)sum;
    }
}

static void row_dots_backward(int64_t n, int64_t D, const Real *x, const int32_t *index, const Real *w, const Real *dy, Real *dx,
                              Real *dw) {
    for (int64_t d = 0; d < D; d++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            if (dx != NULL) dx[index[i] * D + d] += dy[i] * w[d];
            sum += (double)dy[i] * (double)x[index[i] * D + d];
        }
        if (dw != NULL) dw[d] = (Real)((double)dw[d] + sum);
    }
}

static void relu(int64_t n, const Real *x, Real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;
}

static void relu_backward(int64_t n, const Real *x, const Real *dy, Real *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] += x[i] > 0 ? dy[i] : 0;
}

static void scaled_columns_add(int64_t M, int64_t D, const Real *x, const Real *gain, Real *y) {
    for (int64_t i = 0; i < M * D; i++) y[i] = (Real)((double)y[i] + (double)gain[i % D] * (double)x[i]);
}

static void scaled_columns_add_backward(int64_t M, int64_t D, const Real *x, const Real *gain, const Real *dy, Real *dx, Real *dgain) {
    for (int64_t d = 0; d < D; d++) {
        double sum = 0;
        for (int64_t m = 0; m < M; m++) {
            if (dx != NULL) dx[m * D + d] += gain[d] * dy[m * D + d];
            sum += (double)x[m * D + d] * (double)dy[m * D + d];
        }
        if (dgain != NULL) dgain[d] = (Real)((double)dgain[d] + sum);
    }
}

static void neighbour_mix(const NeighbourArgs *a) {
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t d = 0; d < a->D; d++) {
            double sum = 0;
            for (int j = 0; j < 9; j++)
                if (a->neighbour[i * 9 + j] >= 0) sum += (double)a->w[d * 9 + j] * (double)a->x[a->neighbour[i * 9 + j] * a->D + d];
            a->y[i * a->D + d] = (Real)sum;
        }
}

static void neighbour_mix_backward(const NeighbourArgs *a) {
    for (int64_t d = 0; d < a->D; d++)
        for (int j = 0; j < 9; j++) {
            double sum = 0;
            for (int64_t i = 0; i < a->n; i++) {
                const int32_t at = a->neighbour[i * 9 + j];
                if (at < 0) continue;
                if (a->dx != NULL) a->dx[at * a->D + d] += a->w[d * 9 + j] * a->dy[i * a->D + d];
                sum += (double)a->x[at * a->D + d] * (double)a->dy[i * a->D + d];
            }
            if (a->dw != NULL) a->dw[d * 9 + j] = (Real)((double)a->dw[d * 9 + j] + sum);
        }
}

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

static void gate(int64_t n, GateActivation activation, Real alpha, const Real *x, Real *y) {
    for (int64_t i = 0; i < n; i++) {
        const double s = (double)x[i];
        y[i] = (Real)((double)alpha * (activation == GATE_SIGMOID ? sigmoid(s) : activation == GATE_TANH ? tanh(s) : s));
    }
}

static void gate_backward(int64_t n, GateActivation activation, Real alpha, const Real *x, const Real *dy, Real *dx) {
    for (int64_t i = 0; i < n; i++) {
        const double s = (double)x[i], q = activation == GATE_SIGMOID ? sigmoid(s) : tanh(s);
        const double slope = activation == GATE_SIGMOID ? q * (1 - q) : activation == GATE_TANH ? 1 - q * q : 1;
        dx[i] = (Real)((double)dx[i] + (double)alpha * slope * (double)dy[i]);
    }
}

/* -log sigmoid(s) = log(1 + exp(-s)), without overflow at either end */
static void binary_cross_entropy(const BceArgs *a) {
    double sum = 0;
    for (int64_t i = 0; i < a->n; i++) {
        const double s = (double)a->s[a->at[i]], y = a->target[i];
        sum += fmax(s, 0) - s * y + log1p(exp(-fabs(s)));
        if (a->ds != NULL) a->ds[a->at[i]] = (Real)((double)a->ds[a->at[i]] + (double)a->scale * (sigmoid(s) - y) / (double)a->n);
    }
    if (a->loss != NULL) *a->loss = a->n > 0 ? sum / (double)a->n : 0;
}

static void log_sum_exp_rows(int64_t M, int64_t N, const Real *x, Real *lse) {
    for (int64_t m = 0; m < M; m++) {
        double max = -INFINITY, sum = 0;
        for (int64_t n = 0; n < N; n++) max = fmax(max, (double)x[m * N + n]);
        for (int64_t n = 0; n < N; n++) sum += exp((double)x[m * N + n] - max);
        lse[m] = (Real)(max + log(sum));
    }
}

static void depth_gates(int64_t M, int64_t L, const int32_t *depth, const Real *soft, const Real *anchor, Real *gates) {
    for (int64_t i = 0; i < M; i++) {
        double moved = 0;
        for (int64_t l = 0; l < L; l++) {
            gates[i * L + l] = (Real)((l < depth[i] ? 1 : 0) - moved);
            moved += (double)soft[i * L + l] - (double)anchor[i * L + l];
        }
    }
}

static void depth_gates_backward(int64_t M, int64_t L, const Real *dgate, Real *dsoft) {
    for (int64_t i = 0; i < M; i++) {
        double sum = 0;
        for (int64_t j = L - 1; j >= 0; j--) {
            dsoft[i * L + j] = (Real)-sum;
            sum += (double)dgate[i * L + j];
        }
    }
}

const Backend backend_reference = {
    .name = "reference",
    .help = "plain loops with sums in double, one thread: the oracle",
#define KERNEL(name, parameters) .name = name,
#include "engine/kernels.def"
#undef KERNEL
};
