/* The loops of SimdRows over the vectors of vector_math.h. Included once by each rows_<set>.c, which defines SIMD_NAME
 * ("avx2") and SIMD_RECORD (simd_rows_avx2) and is compiled for that instruction set.
 *
 * Every loop takes whole vectors first and the rest as a partial one whose missing lanes hold what changes nothing. */
#include "engine/simd/rows.h"
#include "engine/simd/vector_erf.h"

enum { W = VEC_WIDTH };

static inline Vec vec_part(const float *p, int64_t n) { return vec_load_part(p, n, vec_set1(0)); }

/* to (+)= grad; the first n lanes */
static inline void put(float *to, Vec grad, bool assign) {
    if (!assign) grad = vec_load(to) + grad;
    vec_store(to, grad);
}
static inline void put_part(float *to, int64_t n, Vec grad, bool assign) {
    if (!assign) grad = vec_part(to, n) + grad;
    vec_store_part(to, n, grad);
}

/* y_i = f(x_i) */
#define MAP(n, x, y, f)                                                              \
    do {                                                                             \
        int64_t i = 0;                                                               \
        for (; i + W <= (n); i += W) vec_store((y) + i, f(vec_load((x) + i)));       \
        if (i < (n)) vec_store_part((y) + i, (n) - i, f(vec_part((x) + i, (n) - i))); \
    } while (0)

static void exp_(int64_t n, const float *x, float *y) { MAP(n, x, y, vec_exp); }

static void gelu(int64_t n, const float *x, float *y) { MAP(n, x, y, vec_gelu); }

static void gelu_backward(int64_t n, const float *x, const float *dy, float *dx, bool assign) {
    int64_t i = 0;
    for (; i + W <= n; i += W) put(dx + i, vec_load(dy + i) * vec_gelu_slope(vec_load(x + i)), assign);
    if (i < n) put_part(dx + i, n - i, vec_part(dy + i, n - i) * vec_gelu_slope(vec_part(x + i, n - i)), assign);
}

static void bias_gelu_row(int64_t n, const float *bias, float *x, float *pre, bool with_gelu, const float *residual) {
    int64_t i = 0;
    for (; i + W <= n; i += W) {
        Vec v = vec_load(x + i);
        if (bias != NULL)     v = v + vec_load(bias + i);
        if (pre != NULL)      vec_store(pre + i, v);
        if (with_gelu)        v = vec_gelu(v);
        if (residual != NULL) v = v + vec_load(residual + i);
        vec_store(x + i, v);
    }
    if (i < n) {
        const int64_t rest = n - i;
        Vec           v    = vec_part(x + i, rest);
        if (bias != NULL)     v = v + vec_part(bias + i, rest);
        if (pre != NULL)      vec_store_part(pre + i, rest, v);
        if (with_gelu)        v = vec_gelu(v);
        if (residual != NULL) v = v + vec_part(residual + i, rest);
        vec_store_part(x + i, rest, v);
    }
}

static float sum(int64_t n, const float *x) {
    Vec     s0 = vec_set1(0), s1 = s0, s2 = s0, s3 = s0;
    int64_t i  = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        s0 = s0 + vec_load(x + i);
        s1 = s1 + vec_load(x + i + W);
        s2 = s2 + vec_load(x + i + 2 * W);
        s3 = s3 + vec_load(x + i + 3 * W);
    }
    for (; i + W <= n; i += W) s0 = s0 + vec_load(x + i);
    if (i < n) s1 = s1 + vec_part(x + i, n - i);
    return vec_sum((s0 + s1) + (s2 + s3));
}

/* Two passes, of which the second also measures how far the float mean is off: `off` = mean(x - mean) corrects both the
 * variance and the output, so that a mean of 1e4 standard deviations costs no digits beyond those x itself lacks. */
static void layer_norm(const LayerNormArgs *a) {
    const int64_t D = a->D;
    for (int64_t m = 0; m < a->M; m++) {
        const float *x    = a->x + m * D;
        float       *y    = a->y + m * D;
        const float  mean = sum(D, x) / (float)D;
        const Vec    mean_v = vec_set1(mean);
        Vec          s0 = vec_set1(0), s1 = s0, q0 = s0, q1 = s0;
        int64_t      d = 0;
        for (; d + 2 * W <= D; d += 2 * W) {
            const Vec c0 = vec_load(x + d) - mean_v, c1 = vec_load(x + d + W) - mean_v;
            s0 = s0 + c0;
            s1 = s1 + c1;
            q0 = vec_fma(c0, c0, q0);
            q1 = vec_fma(c1, c1, q1);
        }
        for (; d < D; d += W) {
            const Vec c = (D - d < W ? vec_load_part(x + d, D - d, mean_v) : vec_load(x + d)) - mean_v;
            s0 = s0 + c;
            q0 = vec_fma(c, c, q0);
        }
        const float off      = vec_sum(s0 + s1) / (float)D;
        const float variance = vec_sum(q0 + q1) / (float)D - off * off;
        const float inv_sd   = 1.0f / sqrtf((variance < 0 ? 0 : variance) + a->eps);
        const Vec   inv_sd_v = vec_set1(inv_sd), shift = vec_set1(-off * inv_sd);
        for (d = 0; d + W <= D; d += W) {
            const Vec h = vec_fma(vec_load(x + d) - mean_v, inv_sd_v, shift);
            vec_store(y + d, vec_fma(h, vec_load(a->gain + d), vec_load(a->bias + d)));
        }
        if (d < D) {
            const Vec h = vec_fma(vec_part(x + d, D - d) - mean_v, inv_sd_v, shift);
            vec_store_part(y + d, D - d, vec_fma(h, vec_part(a->gain + d, D - d), vec_part(a->bias + d, D - d)));
        }
        if (a->mean != NULL)   a->mean[m]   = mean + off;
        if (a->inv_sd != NULL) a->inv_sd[m] = inv_sd;
    }
}

/* h = (x - mean) inv_sd, g = dy gain:  dx = inv_sd (g - mean(g) - h mean(g h)). The stored mean is rounded; `off` is again
 * what it lacks. */
static void layer_norm_backward(const LayerNormArgs *a) {
    const int64_t D = a->D;
    for (int64_t m = 0; m < a->M; m++) {
        const float *x = a->x + m * D, *dy = a->dy + m * D;
        float       *dx = a->dx == NULL ? NULL : a->dx + m * D;
        const Vec    mean = vec_set1(a->mean[m]), inv_sd = vec_set1(a->inv_sd[m]);
        Vec          sum_c = vec_set1(0), sum_g = sum_c, sum_gc = sum_c;
        int64_t      d = 0;
        for (; d + W <= D; d += W) {
            const Vec c = vec_load(x + d) - mean, g = vec_load(dy + d) * vec_load(a->gain + d);
            sum_c  = sum_c + c;
            sum_g  = sum_g + g;
            sum_gc = vec_fma(g, c, sum_gc);
        }
        if (d < D) {
            const Vec c = vec_load_part(x + d, D - d, mean) - mean, g = vec_part(dy + d, D - d) * vec_part(a->gain + d, D - d);
            sum_c  = sum_c + c;
            sum_g  = sum_g + g;
            sum_gc = vec_fma(g, c, sum_gc);
        }
        const float off     = vec_sum(sum_c) / (float)D;
        const float mean_g  = vec_sum(sum_g) / (float)D;
        const float mean_gh = (vec_sum(sum_gc) / (float)D - off * mean_g) * a->inv_sd[m];
        const Vec   shift   = vec_set1(-off * a->inv_sd[m]), mean_g_v = vec_set1(mean_g), mean_gh_v = vec_set1(mean_gh);
        for (d = 0; d < D; d += W) {
            const int64_t n = D - d < W ? D - d : W;
            Vec           x_v, dy_v, gain;
            if (n == W) { x_v = vec_load(x + d);    dy_v = vec_load(dy + d);    gain = vec_load(a->gain + d); }
            else        { x_v = vec_part(x + d, n); dy_v = vec_part(dy + d, n); gain = vec_part(a->gain + d, n); }
            const Vec h = vec_fma(x_v - mean, inv_sd, shift);
            if (dx != NULL) {
                const Vec grad = inv_sd * (vec_fnma(h, mean_gh_v, dy_v * gain) - mean_g_v);
                if (n == W) put(dx + d, grad, a->dx_assign);
                else        put_part(dx + d, n, grad, a->dx_assign);
            }
            if (a->dgain != NULL) {
                if (n == W) vec_store(a->dgain + d, vec_fma(dy_v, h, vec_load(a->dgain + d)));
                else        vec_store_part(a->dgain + d, n, vec_fma(dy_v, h, vec_part(a->dgain + d, n)));
            }
            if (a->dbias != NULL) {
                if (n == W) vec_store(a->dbias + d, vec_load(a->dbias + d) + dy_v);
                else        vec_store_part(a->dbias + d, n, vec_part(a->dbias + d, n) + dy_v);
            }
        }
    }
}

static void scale(int64_t n, float alpha, const float *x, float *y) {
    const Vec alpha_v = vec_set1(alpha);
    int64_t   i       = 0;
    for (; i + W <= n; i += W) vec_store(y + i, alpha_v * vec_load(x + i));
    if (i < n) vec_store_part(y + i, n - i, alpha_v * vec_part(x + i, n - i));
}

static void softmax_rows(int64_t M, int64_t N, const float *x, float *y) {
    const Vec lowest = vec_set1(-INFINITY);
    for (int64_t m = 0; m < M; m++, x += N, y += N) {
        Vec     max = lowest;
        int64_t i   = 0;
        for (; i + W <= N; i += W) max = vec_max(max, vec_load(x + i));
        if (i < N) max = vec_max(max, vec_load_part(x + i, N - i, lowest));
        const Vec max_v = vec_set1(vec_highest(max));
        Vec       total = vec_set1(0);
        for (i = 0; i + W <= N; i += W) {
            const Vec e = vec_exp(vec_load(x + i) - max_v);
            vec_store(y + i, e);
            total = total + e;
        }
        if (i < N) {
            const Vec e = vec_exp(vec_load_part(x + i, N - i, lowest) - max_v);
            vec_store_part(y + i, N - i, e);
            total = total + vec_load_part(y + i, N - i, vec_set1(0));
        }
        scale(N, 1.0f / vec_sum(total), y, y);
    }
}

static void softmax_rows_backward(int64_t M, int64_t N, const float *y, const float *dy, float *dx) {
    for (int64_t m = 0; m < M; m++, y += N, dy += N, dx += N) {
        Vec     dot = vec_set1(0);
        int64_t i   = 0;
        for (; i + W <= N; i += W) dot = vec_fma(vec_load(y + i), vec_load(dy + i), dot);
        if (i < N) dot = vec_fma(vec_part(y + i, N - i), vec_part(dy + i, N - i), dot);
        dot = vec_set1(vec_sum(dot));
        for (i = 0; i + W <= N; i += W)
            vec_store(dx + i, vec_fma(vec_load(y + i), vec_load(dy + i) - dot, vec_load(dx + i)));
        if (i < N)
            vec_store_part(dx + i, N - i,
                           vec_fma(vec_part(y + i, N - i), vec_part(dy + i, N - i) - dot, vec_part(dx + i, N - i)));
    }
}

static void add(int64_t n, const float *a, const float *b, float *y) {
    int64_t i = 0;
    for (; i + W <= n; i += W) vec_store(y + i, vec_load(a + i) + vec_load(b + i));
    if (i < n) vec_store_part(y + i, n - i, vec_part(a + i, n - i) + vec_part(b + i, n - i));
}

static void axpy(int64_t n, float alpha, const float *x, float *y) {
    const Vec alpha_v = vec_set1(alpha);
    int64_t   i       = 0;
    for (; i + W <= n; i += W) vec_store(y + i, vec_fma(alpha_v, vec_load(x + i), vec_load(y + i)));
    if (i < n) vec_store_part(y + i, n - i, vec_fma(alpha_v, vec_part(x + i, n - i), vec_part(y + i, n - i)));
}

/* Blocks of rows are summed apart and then added: the error grows with BLOCK + M/BLOCK instead of M. */
static void column_sums(int64_t M, int64_t N, const float *x, int64_t ld, float *sums) {
    enum { BLOCK = 64 };
    int64_t n = 0;
    for (; n + 4 * W <= N; n += 4 * W)
        for (int64_t first = 0; first < M; first += BLOCK) {
            const int64_t end = first + BLOCK < M ? first + BLOCK : M;
            Vec           s0 = vec_set1(0), s1 = s0, s2 = s0, s3 = s0;
            for (int64_t m = first; m < end; m++) {
                const float *row = x + m * ld + n;
                s0 = s0 + vec_load(row);
                s1 = s1 + vec_load(row + W);
                s2 = s2 + vec_load(row + 2 * W);
                s3 = s3 + vec_load(row + 3 * W);
            }
            vec_store(sums + n,         vec_load(sums + n) + s0);
            vec_store(sums + n + W,     vec_load(sums + n + W) + s1);
            vec_store(sums + n + 2 * W, vec_load(sums + n + 2 * W) + s2);
            vec_store(sums + n + 3 * W, vec_load(sums + n + 3 * W) + s3);
        }
    for (; n < N; n += W)
        for (int64_t first = 0; first < M; first += BLOCK) {
            const int64_t end = first + BLOCK < M ? first + BLOCK : M, width = N - n < W ? N - n : W;
            Vec           s = vec_set1(0);
            for (int64_t m = first; m < end; m++) s = s + vec_part(x + m * ld + n, width);
            vec_store_part(sums + n, width, vec_part(sums + n, width) + s);
        }
}

static float dot(int64_t n, const float *x, const float *y) {
    Vec     sum = vec_set1(0);
    int64_t i   = 0;
    for (; i + W <= n; i += W) sum = vec_fma(vec_load(x + i), vec_load(y + i), sum);
    if (i < n) sum = vec_fma(vec_part(x + i, n - i), vec_part(y + i, n - i), sum);
    return vec_sum(sum);
}

/* In double, since squares of floats leave float's range; sixteen sums, so that the compiler keeps them in vectors. */
static double sum_squares(int64_t n, const float *x) {
    double  s[16] = {0}, total = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) s[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < n; i++) s[0] += (double)x[i] * (double)x[i];
    for (int j = 0; j < 16; j++) total += s[j];
    return total;
}

typedef struct AdamwFactors { Vec grad_scale, beta1, rest1, beta2, rest2, inv_bias2, eps, decay, step; } AdamwFactors;

static inline Vec adamw_step(const AdamwFactors *f, Vec p, Vec grad, Vec *m, Vec *v) {
    const Vec g = grad * f->grad_scale;
    *m = vec_fma(f->rest1, g, f->beta1 * *m);
    *v = vec_fma(f->rest2 * g, g, f->beta2 * *v);
    return vec_fnma(f->step, *m / (vec_sqrt(*v * f->inv_bias2) + f->eps), p * f->decay);
}

static void adamw(const AdamwArgs *a) {
    const AdamwFactors f = {
        .grad_scale = vec_set1((float)a->grad_scale),
        .beta1      = vec_set1((float)a->beta1),
        .rest1      = vec_set1((float)(1.0 - a->beta1)),
        .beta2      = vec_set1((float)a->beta2),
        .rest2      = vec_set1((float)(1.0 - a->beta2)),
        .inv_bias2  = vec_set1((float)(1.0 / a->bias2)),
        .eps        = vec_set1((float)a->eps),
        .decay      = vec_set1((float)(1.0 - a->lr * a->weight_decay)),
        .step       = vec_set1((float)(a->lr / a->bias1)),
    };
    int64_t i = 0;
    for (; i + W <= a->n; i += W) {
        Vec m = vec_load(a->m + i), v = vec_load(a->v + i);
        vec_store(a->p + i, adamw_step(&f, vec_load(a->p + i), vec_load(a->grad + i), &m, &v));
        vec_store(a->m + i, m);
        vec_store(a->v + i, v);
    }
    if (i < a->n) {
        const int64_t rest = a->n - i;
        Vec           m = vec_part(a->m + i, rest), v = vec_part(a->v + i, rest);
        vec_store_part(a->p + i, rest, adamw_step(&f, vec_part(a->p + i, rest), vec_part(a->grad + i, rest), &m, &v));
        vec_store_part(a->m + i, rest, m);
        vec_store_part(a->v + i, rest, v);
    }
}

extern const SimdRows SIMD_RECORD;
const SimdRows SIMD_RECORD = {
    .name                  = SIMD_NAME,
    .exp                   = exp_,
    .gelu                  = gelu,
    .gelu_backward         = gelu_backward,
    .bias_gelu_row         = bias_gelu_row,
    .layer_norm            = layer_norm,
    .layer_norm_backward   = layer_norm_backward,
    .softmax_rows          = softmax_rows,
    .softmax_rows_backward = softmax_rows_backward,
    .add                   = add,
    .axpy                  = axpy,
    .scale                 = scale,
    .column_sums           = column_sums,
    .dot                   = dot,
    .sum_squares           = sum_squares,
    .adamw                 = adamw,
};
