/* Attention of one sequence and head, for the instruction set of the file that includes this after gemm_body.h.
 *
 * Forward, by blocks of query rows: S = Q K^T; P = exp(scale S + bias - row maximum); out = P V / row sum;
 * lse = maximum + log sum. Backward recomputes P = exp(scale S + bias - lse), then with D_i = dout_i . out_i
 *   dS = P (dout V^T - D);  dQ = scale dS K;  dK = scale dS^T Q;  dV = P^T dout;  dbias += dS.
 * K and V are packed once per call. Only a block of S exists at a time: at most QUERY_BLOCK rows. */
#include "engine/scratch.h"

enum { QUERY_BLOCK = (112 / MR) * MR };

static int64_t panel_floats(int64_t K, int64_t N) { return (N + NR - 1) / NR * NR * K; }

/* One sequence and head of AttentionArgs. */
typedef struct Head {
    int64_t      Nq, Nk, out_ld, q_row, k_row;
    const float *q, *k, *v, *bias;
    int64_t      to_q, to_k, to_v, to_out;        /* element offsets, for the gradients alike */
} Head;

static Head find_head(const AttentionArgs *a, int s, int h) {
    Head head = {.q_row = a->q_offset[s], .k_row = a->k_offset[s], .out_ld = (int64_t)a->H * a->Ev};
    head.Nq     = a->q_offset[s + 1] - head.q_row;
    head.Nk     = a->k_offset[s + 1] - head.k_row;
    head.to_q   = head.q_row * a->q_ld + h * a->q_head;
    head.to_k   = head.k_row * a->k_ld + h * a->k_head;
    head.to_v   = head.k_row * a->v_ld + h * a->v_head;
    head.to_out = head.q_row * head.out_ld + (int64_t)h * a->Ev;
    head.q      = a->q + head.to_q;
    head.k      = a->k + head.to_k;
    head.v      = a->v + head.to_v;
    head.bias   = a->bias == NULL ? NULL : a->bias + h * head.Nq * head.Nk;
    return head;
}

/* The head that the same thread most likely takes next: its inputs are prefetched while this one is computed, since rows of
 * one head are short runs far apart, which the hardware does not foresee. Nq = Nk = 0 after the last. */
static Head find_next_head(const AttentionArgs *a, int s, int h) {
    if (h + 1 < a->H)           return find_head(a, s, h + 1);
    if (s + 1 < a->n_sequences) return find_head(a, s + 1, 0);
    return (Head){0};
}

/* Rows n i / of .. n (i + 1) / of - 1 of (n, width) */
INLINE void prefetch_share(const float *x, int64_t ld, int64_t n, int64_t width, int64_t i, int64_t of) {
    for (int64_t row = n * i / of; row < n * (i + 1) / of; row++)
        for (int64_t e = 0; e < width; e += 16) __builtin_prefetch(x + row * ld + e, 0, 2);
}

/* s (N) holds products; becomes exp(scale s + bias - maximum), zeros up to a whole vector. Returns the sum. */
static float exp_row(int64_t N, float *s, float scale, const float *bias, float *maximum) {
    const Vec minus_infinity = vec_set1(-INFINITY), zero = vec_set1(0.0f), factor = vec_set1(scale);
    Vec       high = minus_infinity;
    for (int64_t j = 0; j < N; j += VEC_WIDTH) {
        const int64_t n = N - j;
        Vec           t = vec_load(s + j) * factor;
        if (n >= VEC_WIDTH) {
            if (bias != NULL) t += vec_load(bias + j);
        } else {
            if (bias != NULL) t += vec_load_part(bias + j, n, zero);
            t = vec_first(t, n, minus_infinity);
        }
        vec_store(s + j, t);
        high = vec_max(t, high);
    }
    *maximum = vec_highest(high);
    const Vec m = vec_set1(*maximum);
    Vec       sum = zero;
    for (int64_t j = 0; j < N; j += VEC_WIDTH) {
        const Vec p = vec_exp(vec_load(s + j) - m);
        vec_store(s + j, p);
        sum += p;
    }
    return vec_sum(sum);
}

static void scale_row(int64_t n, float factor, float *x) {
    const Vec f = vec_set1(factor);
    int64_t   i = 0;
    for (; i + VEC_WIDTH <= n; i += VEC_WIDTH) vec_store(x + i, vec_load(x + i) * f);
    for (; i < n; i++) x[i] *= factor;
}

static void attention(const AttentionArgs *a, int sequence, int head, int64_t first, int64_t end) {
    const Head    t = find_head(a, sequence, head), next = find_next_head(a, sequence, head);
    const int64_t lds = (t.Nk + VEC_WIDTH - 1) / VEC_WIDTH * VEC_WIDTH;
    const int64_t n_k = panel_floats(a->E, t.Nk), n_v = panel_floats(t.Nk, a->Ev), n_s = QUERY_BLOCK * lds;
    float *const  K = scratch_floats(SCRATCH_ATTENTION, (size_t)(n_k + n_v + n_s));
    if (K == NULL) return;
    float *const  V = K + n_k, *const S = V + n_v;
    pack_b(a->E, t.Nk, t.k, a->k_ld, true, K);
    pack_b(t.Nk, a->Ev, t.v, a->v_ld, false, V);

    for (int64_t i0 = first; i0 < end; i0 += QUERY_BLOCK) {
        const int64_t rows = end - i0 < QUERY_BLOCK ? end - i0 : QUERY_BLOCK;
        float        *out = a->out + t.to_out + i0 * t.out_ld;
        float         sum[QUERY_BLOCK];
        multiply(rows, t.Nk, a->E, t.q + i0 * a->q_ld, a->q_ld, K, 0.0f, S, lds);
        for (int64_t i = 0; i < rows; i++) {
            float maximum;
            sum[i] = exp_row(t.Nk, S + i * lds, a->scale, t.bias == NULL ? NULL : t.bias + (i0 + i) * t.Nk, &maximum);
            if (a->lse != NULL) a->lse[(t.q_row + i0 + i) * a->H + head] = maximum + logf(sum[i]);
            prefetch_share(next.q, a->q_ld, next.Nq, a->E, i0 + i, t.Nq);
            prefetch_share(next.k, a->k_ld, next.Nk, a->E, i0 + i, t.Nq);
            prefetch_share(next.v, a->v_ld, next.Nk, a->Ev, i0 + i, t.Nq);
        }
        multiply(rows, a->Ev, t.Nk, S, lds, V, 0.0f, out, t.out_ld);
        for (int64_t i = 0; t.Nk > 0 && i < rows; i++) scale_row(a->Ev, 1.0f / sum[i], out + i * t.out_ld);
    }
}

/* Row i of a block: products s and dp (N) become P and scale dS. */
static void backward_row(int64_t N, float *s, float *dp, float scale, const float *bias, float lse, float D, float *dbias) {
    const Vec zero = vec_set1(0.0f), factor = vec_set1(scale), minus_lse = vec_set1(-lse), d = vec_set1(D);
    for (int64_t j = 0; j < N; j += VEC_WIDTH) {
        const int64_t n = N - j < VEC_WIDTH ? N - j : VEC_WIDTH;
        Vec           x = vec_fma(vec_load(s + j), factor, minus_lse);
        if (bias != NULL) x += vec_load_part(bias + j, n, zero);
        const Vec p = vec_exp(x), ds = p * (vec_load(dp + j) - d);
        if (dbias != NULL) vec_store_part(dbias + j, n, vec_load_part(dbias + j, n, zero) + ds);
        vec_store(s + j, p);
        vec_store(dp + j, ds * factor);
    }
}

static float dot(int64_t n, const float *x, const float *y) {
    Vec     sum = vec_set1(0.0f);
    int64_t i = 0;
    for (; i + VEC_WIDTH <= n; i += VEC_WIDTH) sum = vec_fma(vec_load(x + i), vec_load(y + i), sum);
    float s = vec_sum(sum);
    for (; i < n; i++) s += x[i] * y[i];
    return s;
}

static void attention_backward(const AttentionArgs *a, int sequence, int head, float *dbias) {
    const Head    t = find_head(a, sequence, head), next = find_next_head(a, sequence, head);
    const bool    wanted = a->dq != NULL;
    const int64_t lds = (t.Nk + VEC_WIDTH - 1) / VEC_WIDTH * VEC_WIDTH;
    const int64_t n_kt = panel_floats(a->E, t.Nk), n_vt = panel_floats(a->Ev, t.Nk), n_k = panel_floats(t.Nk, a->E);
    const int64_t n_q = panel_floats(QUERY_BLOCK, a->E), n_do = panel_floats(QUERY_BLOCK, a->Ev), n_s = QUERY_BLOCK * lds;
    float *const  Kt = scratch_floats(SCRATCH_ATTENTION, (size_t)(n_kt + n_vt + n_k + n_q + n_do + 2 * n_s));
    if (Kt == NULL) return;
    float *const Vt = Kt + n_kt, *const K = Vt + n_vt, *const Q = K + n_k, *const dO = Q + n_q, *const S = dO + n_do,
          *const dP = S + n_s;
    float *dk = wanted ? a->dk + t.to_k : NULL, *dv = wanted ? a->dv + t.to_v : NULL;
    pack_b(a->E, t.Nk, t.k, a->k_ld, true, Kt);
    pack_b(a->Ev, t.Nk, t.v, a->v_ld, true, Vt);
    if (wanted) pack_b(t.Nk, a->E, t.k, a->k_ld, false, K);

    float keep = a->assign ? 0.0f : 1.0f;                  /* factor of what dk, dv hold: the first block assigns */
    for (int64_t i0 = 0; i0 < t.Nq; i0 += QUERY_BLOCK) {
        const int64_t rows = t.Nq - i0 < QUERY_BLOCK ? t.Nq - i0 : QUERY_BLOCK;
        const float  *q = t.q + i0 * a->q_ld, *dout = a->dout + t.to_out + i0 * t.out_ld,
                     *out = a->out + t.to_out + i0 * t.out_ld;
        multiply(rows, t.Nk, a->E, q, a->q_ld, Kt, 0.0f, S, lds);
        multiply(rows, t.Nk, a->Ev, dout, t.out_ld, Vt, 0.0f, dP, lds);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t in_table = (head * t.Nq + i0 + i) * t.Nk;
            backward_row(t.Nk, S + i * lds, dP + i * lds, a->scale, a->bias == NULL ? NULL : a->bias + in_table,
                         a->lse[(t.q_row + i0 + i) * a->H + head], dot(a->Ev, dout + i * t.out_ld, out + i * t.out_ld),
                         dbias == NULL ? NULL : dbias + in_table);
            prefetch_share(next.q, a->q_ld, next.Nq, a->E, i0 + i, t.Nq);
            prefetch_share(next.k, a->k_ld, next.Nk, a->E, i0 + i, t.Nq);
            prefetch_share(next.v, a->v_ld, next.Nk, a->Ev, i0 + i, t.Nq);
            prefetch_share(a->dout + next.to_out, t.out_ld, next.Nq, a->Ev, i0 + i, t.Nq);
            prefetch_share(a->out + next.to_out, t.out_ld, next.Nq, a->Ev, i0 + i, t.Nq);
            if (wanted) {
                prefetch_share(a->dq + next.to_q, a->q_ld, next.Nq, a->E, i0 + i, t.Nq);
                prefetch_share(a->dk + next.to_k, a->k_ld, next.Nk, a->E, i0 + i, t.Nq);
                prefetch_share(a->dv + next.to_v, a->v_ld, next.Nk, a->Ev, i0 + i, t.Nq);
            }
        }
        if (!wanted) continue;
        multiply(rows, a->E, t.Nk, dP, lds, K, a->assign ? 0.0f : 1.0f, a->dq + t.to_q + i0 * a->q_ld, a->q_ld);
        pack_b(rows, a->E, q, a->q_ld, false, Q);
        pack_b(rows, a->Ev, dout, t.out_ld, false, dO);
        multiply_transposed(t.Nk, a->E, rows, dP, lds, Q, keep, dk, a->k_ld);
        multiply_transposed(t.Nk, a->Ev, rows, S, lds, dO, keep, dv, a->v_ld);
        keep = 1.0f;
    }
    if (wanted && t.Nq == 0 && a->assign) {
        multiply(t.Nk, a->E, 0, NULL, 0, K, 0.0f, dk, a->k_ld);
        multiply(t.Nk, a->Ev, 0, NULL, 0, K, 0.0f, dv, a->v_ld);
    }
}

#define SIMD_VARIANT(name)                                                                                              \
    {.gemm = {name, MR, NR, pack_b, multiply}, .multiply_transposed = multiply_transposed, .max_k = KC,                \
     .pack_a = pack_a, .multiply_tiles = multiply_tiles, .pack_panels = pack_panels, .attention = attention,           \
     .attention_backward = attention_backward, .policy_attention = policy_attention,                                   \
     .policy_attention_backward = policy_attention_backward}
