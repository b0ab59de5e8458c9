/* Attention under a policy (PolicyAttentionArgs) of one sequence and head, for the instruction set of the file that includes this
 * after attention_body.h; the same blocks and packed operands as attention there.
 *
 * G is the policy of the sequence; while row i is worked on, G_i is 1. */

/* s (N) holds products; becomes A + share, A = exp(scale s - maximum) G. Returns sum A. */
static float policy_row(int64_t N, float *s, float scale, const float *G, float share, float *maximum) {
    const Vec minus_infinity = vec_set1(-INFINITY), zero = vec_set1(0.0f), factor = vec_set1(scale), part = vec_set1(share);
    Vec       high = minus_infinity;
    for (int64_t j = 0; j < N; j += VEC_WIDTH) {
        Vec t = vec_load(s + j) * factor;
        if (N - j < VEC_WIDTH) t = vec_first(t, N - j, minus_infinity);
        vec_store(s + j, t);
        high = vec_max(t, high);
    }
    *maximum = vec_highest(high);
    const Vec m = vec_set1(*maximum);
    Vec       sum = zero;
    for (int64_t j = 0; j < N; j += VEC_WIDTH) {
        const Vec A = vec_exp(vec_load(s + j) - m) * vec_load(G + j);
        vec_store(s + j, A + part);
        sum += A;
    }
    return vec_sum(sum);
}

/* The policy of a sequence into G, zeros up to a whole vector. */
static void load_policy(const PolicyAttentionArgs *p, int64_t first, int64_t n, float *G) {
    for (int64_t j = 0; j < n; j += VEC_WIDTH)
        vec_store(G + j, vec_load_part(p->policy + first + j, n - j < VEC_WIDTH ? n - j : VEC_WIDTH, vec_set1(0.0f)));
}

static void policy_attention(const PolicyAttentionArgs *p, int sequence, int head) {
    const AttentionArgs *a = &p->a;
    const Head    t = find_head(a, sequence, head);
    const int64_t N = t.Nk, lds = (N + VEC_WIDTH - 1) / VEC_WIDTH * VEC_WIDTH;
    const int64_t n_k = panel_floats(a->E, N), n_v = panel_floats(N, a->Ev);
    float *const  K = scratch_floats(SCRATCH_ATTENTION, (size_t)(n_k + n_v + (QUERY_BLOCK + 1) * lds));
    if (K == NULL || N == 0) return;
    float *const V = K + n_k, *const G = V + n_v, *const S = G + lds;
    pack_b(a->E, N, t.k, a->k_ld, true, K);
    pack_b(N, a->Ev, t.v, a->v_ld, false, V);
    load_policy(p, t.k_row, N, G);
    for (int64_t i0 = 0; i0 < N; i0 += QUERY_BLOCK) {
        const int64_t rows = N - i0 < QUERY_BLOCK ? N - i0 : QUERY_BLOCK;
        float        *out = a->out + t.to_out + i0 * t.out_ld, sum[QUERY_BLOCK];
        multiply(rows, N, a->E, t.q + i0 * a->q_ld, a->q_ld, K, 0.0f, S, lds);
        for (int64_t i = 0; i < rows; i++) {
            const float own = G[i0 + i];
            float       maximum;
            G[i0 + i] = 1.0f;
            sum[i]    = policy_row(N, S + i * lds, a->scale, G, p->eps / (float)N, &maximum) + p->eps;
            G[i0 + i] = own;
            if (p->maximum != NULL) p->maximum[(t.q_row + i0 + i) * a->H + head] = maximum;
            if (p->sum != NULL)     p->sum[(t.q_row + i0 + i) * a->H + head] = sum[i];
        }
        multiply(rows, a->Ev, N, S, lds, V, 0.0f, out, t.out_ld);
        for (int64_t i = 0; i < rows; i++) scale_row(a->Ev, 1.0f / sum[i], out + i * t.out_ld);
    }
}

/* One row of the backward pass: `own` is its place, best the key that has the maximum. */
typedef struct PolicyRow { int64_t N, own; float scale, maximum, inverse /* 1/sum */, r, share; const float *G; float *dpolicy; } PolicyRow;

static void policy_backward_row(const PolicyRow *w, float *s, float *dp) {
    const Vec zero = vec_set1(0.0f), factor = vec_set1(w->scale), m = vec_set1(w->maximum), inverse = vec_set1(w->inverse), r = vec_set1(w->r),
              share = vec_set1(w->share);
    Vec       all = zero;
    int64_t   best = 0;
    for (int64_t j = 1; j < w->N; j++)
        if (s[j] * w->scale > s[best] * w->scale) best = j;
    const float kept = w->dpolicy != NULL ? w->dpolicy[w->own] : 0;      /* nothing flows to a row's own key */
    for (int64_t j = 0; j < w->N; j += VEC_WIDTH) {
        const int64_t n = w->N - j < VEC_WIDTH ? w->N - j : VEC_WIDTH;
        const Vec     e = vec_first(vec_exp(vec_load(s + j) * factor - m), n, zero), A = e * vec_load(w->G + j);
        const Vec     dA = vec_first((vec_load(dp + j) - r) * inverse, n, zero), ds = dA * A;
        if (w->dpolicy != NULL) vec_store_part(w->dpolicy + j, n, vec_load_part(w->dpolicy + j, n, zero) + dA * e);
        all += ds;
        vec_store(s + j, (A + share) * inverse);
        vec_store(dp + j, ds * factor);
    }
    dp[best] -= vec_sum(all) * w->scale;
    if (w->dpolicy != NULL) w->dpolicy[w->own] = kept;
}

static void policy_attention_backward(const PolicyAttentionArgs *p, int sequence, int head) {
    const AttentionArgs *a = &p->a;
    const Head    t = find_head(a, sequence, head);
    const int64_t N = t.Nk, lds = (N + VEC_WIDTH - 1) / VEC_WIDTH * VEC_WIDTH;
    const int64_t n_kt = panel_floats(a->E, N), n_vt = panel_floats(a->Ev, N), n_k = panel_floats(N, a->E);
    const int64_t n_q = panel_floats(QUERY_BLOCK, a->E), n_do = panel_floats(QUERY_BLOCK, a->Ev), n_s = QUERY_BLOCK * lds;
    float *const  Kt = scratch_floats(SCRATCH_ATTENTION, (size_t)(n_kt + n_vt + n_k + n_q + n_do + 2 * n_s + lds));
    if (Kt == NULL || N == 0) return;
    float *const Vt = Kt + n_kt, *const K = Vt + n_vt, *const Q = K + n_k, *const dO = Q + n_q, *const S = dO + n_do, *const dP = S + n_s,
          *const G = dP + n_s;
    pack_b(a->E, N, t.k, a->k_ld, true, Kt);
    pack_b(a->Ev, N, t.v, a->v_ld, true, Vt);
    pack_b(N, a->E, t.k, a->k_ld, false, K);
    load_policy(p, t.k_row, N, G);
    for (int64_t i0 = 0; i0 < N; i0 += QUERY_BLOCK) {
        const int64_t rows = N - i0 < QUERY_BLOCK ? N - i0 : QUERY_BLOCK;
        const float  *q = t.q + i0 * a->q_ld, *dout = a->dout + t.to_out + i0 * t.out_ld, *out = a->out + t.to_out + i0 * t.out_ld;
        multiply(rows, N, a->E, q, a->q_ld, Kt, 0.0f, S, lds);
        multiply(rows, N, a->Ev, dout, t.out_ld, Vt, 0.0f, dP, lds);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t at = (t.q_row + i0 + i) * a->H + head;
            const float   own = G[i0 + i];
            G[i0 + i] = 1.0f;
            policy_backward_row(&(PolicyRow){N, i0 + i, a->scale, p->maximum[at], 1.0f / p->sum[at],
                                             dot(a->Ev, dout + i * t.out_ld, out + i * t.out_ld), p->eps / (float)N, G,
                                             p->dpolicy == NULL ? NULL : p->dpolicy + t.k_row}, S + i * lds, dP + i * lds);
            G[i0 + i] = own;
        }
        multiply(rows, a->E, N, dP, lds, K, 1.0f, a->dq + t.to_q + i0 * a->q_ld, a->q_ld);
        pack_b(rows, a->E, q, a->q_ld, false, Q);
        pack_b(rows, a->Ev, dout, t.out_ld, false, dO);
        multiply_transposed(N, a->E, rows, dP, lds, Q, 1.0f, a->dk + t.to_k, a->k_ld);
        multiply_transposed(N, a->Ev, rows, S, lds, dO, 1.0f, a->dv + t.to_v, a->v_ld);
    }
}
