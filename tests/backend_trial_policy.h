/* Trials of the kernels of policies: attention whose keys weigh as decided, pooled halves. Included by test_backends.c alone. */
#ifndef TESTS_BACKEND_TRIAL_POLICY_H
#define TESTS_BACKEND_TRIAL_POLICY_H

#include "tests/backend_trial.h"

typedef struct PolicyShape { int n; int64_t H, E, Ev; const int32_t *offset; double eps; } PolicyShape;
static const int32_t policy_ragged[] = {0, 5, 5, 6, 23, 50}, policy_long[] = {0, 130}, policy_few[] = {0, 3};
static const PolicyShape policy_shapes[] = {{5, 3, 16, 16, policy_ragged, 1e-6}, {5, 2, 7, 5, policy_ragged, 0.1}, {1, 2, 32, 48, policy_long, 1e-6},
                                            {1, 1, 64, 64, policy_long, 0}, {1, 1, 1030, 2060, policy_few, 1e-6}};
enum { N_POLICY_SHAPES = sizeof policy_shapes / sizeof *policy_shapes };

/* Decisions, some of them partial; at least one of each kind. */
static Real *policy_of(Trial *t, int64_t M) {
    Real *p = reals(t, M);
    for (int64_t i = 0; i < M; i++) p[i] = i % 3 == 0 ? 1 : i % 3 == 1 ? 0 : (Real)(0.5 + (double)p[i] / 8);
    return p;
}

static PolicyAttentionArgs policy_problem(Trial *t, const PolicyShape *s, int64_t *ld) {
    const int64_t M = s->offset[s->n];
    *ld = s->H * (2 * s->E + s->Ev) + 3;
    Real *qkv = reals(t, M * *ld);
    for (int64_t i = 0; i < M * *ld; i++) qkv[i] /= 2;           /* |q|, |k|, |v| <= 1.5: scores of moderate size */
    return (PolicyAttentionArgs){
        .a = {.n_sequences = s->n, .H = (int)s->H, .E = (int)s->E, .Ev = (int)s->Ev, .q_offset = s->offset, .k_offset = s->offset,
              .scale = (Real)(1 / sqrt((double)s->E)), .q = qkv, .k = qkv + s->H * s->E, .v = qkv + 2 * s->H * s->E, .q_ld = *ld, .k_ld = *ld,
              .v_ld = *ld, .q_head = s->E, .k_head = s->E, .v_head = s->Ev},
        .policy = policy_of(t, M), .eps = (Real)s->eps};
}

/* A score errs by (E+4) eps of its magnitudes, which are at most E (1.5)^2 scale, and twice that in a weight e; a row's own key has
 * the weight 1 exp(s_ii - m), so that sums are at least exp(-2 max |s|). An output is a mean of v by weights that err so. */
static double policy_error(const PolicyShape *s, int64_t N) {
    const double s_abs = 2.25 * sqrt((double)s->E);
    return 2 * ((double)s->E + 4) * eps * s_abs + ((double)N + 12) * eps;
}

static void trial_policy_attention(Trial *t) {
    for (int i = 0; i < N_POLICY_SHAPES; i++, release(t)) {
        const PolicyShape  *s = &policy_shapes[i];
        int64_t             ld;
        const int64_t       M = s->offset[s->n];
        PolicyAttentionArgs p = policy_problem(t, s, &ld);
        const Output        out = output(t, M * s->H * s->Ev), maximum = output(t, M * s->H), sum = output(t, M * s->H);
        EACH_RUN(t, be) {
            p.a.out   = out.of[run];
            p.maximum = maximum.of[run];
            p.sum     = sum.of[run];
            be->policy_attention(&p);
        }
        const double error = policy_error(s, M);
        compare_simple(t, "out", M * s->H * s->Ev, out, 0, 2 * error * 1.5);
        compare_simple(t, "maximum", M * s->H, maximum, 2 * eps, error);
        compare_simple(t, "sum", M * s->H, sum, 2 * error, 2 * error);
    }
}

/* dA = (g - r) / S errs by g's (Ev+4) eps of its magnitudes A = |dout| |v| Ev and by S's error, magnified by 1/S, S >= S_min. */
static void trial_policy_attention_backward(Trial *t) {
    for (int i = 0; i < N_POLICY_SHAPES * 2; i++, release(t)) {
        const PolicyShape  *s = &policy_shapes[i / 2];
        int64_t             ld;
        const int64_t       M = s->offset[s->n];
        PolicyAttentionArgs p = policy_problem(t, s, &ld);
        const Real         *dout = reals(t, M * s->H * s->Ev);
        const Output        dqkv = output(t, M * ld), dpolicy = output(t, M);
        p.a.out   = reals(t, M * s->H * s->Ev);
        p.maximum = reals(t, M * s->H);
        p.sum     = reals(t, M * s->H);
        p.a.dout  = dout;
        t->run[0]->policy_attention(&p);
        EACH_RUN(t, be) {
            p.a.dq    = dqkv.of[run];
            p.a.dk    = dqkv.of[run] + s->H * s->E;
            p.a.dv    = dqkv.of[run] + 2 * s->H * s->E;
            p.dpolicy = i % 2 ? NULL : dpolicy.of[run];
            be->policy_attention_backward(&p);
        }
        double S_min = INFINITY, g_max = 0;
        for (int64_t k = 0; k < M * s->H; k++) {
            double g = 0;
            for (int64_t e = 0; e < s->Ev; e++) g += 2 * 1.5 * fabs((double)dout[k * s->Ev + e]);
            S_min = fmin(S_min, (double)p.sum[k]);
            g_max = fmax(g_max, g);
        }
        const double error = policy_error(s, M) + ((double)s->Ev + 4) * eps, dA = error * g_max / S_min, rows = (double)(M < 130 ? 27 : M);
        compare_simple(t, "dqkv", M * ld, dqkv, 2 * eps, sqrt(rows) * 1.5 * (dA + error * 3 / fmin(1, S_min)) + 8 * eps);
        compare_simple(t, "dpolicy", M, dpolicy, 2 * eps, (double)s->H * sqrt(rows) * dA + 8 * eps);
    }
}

static const int32_t pool_offset[] = {0, 1, 1, 30, 150};

/* Means of at most 120 terms in float; a policy's sum is at least 1/4 of its rows, but for image 0, which has none. */
static void trial_pool_half(Trial *t) {
    for (int i = 0; i < 6; i++, release(t)) {
        const int64_t D = (int64_t[]){2, 34, 96}[i / 2], M = 150;
        const Real   *x = reals(t, M * D);
        Real         *policy = policy_of(t, M);
        const Output  y = output(t, M * D);
        policy[0] = 0;
        EACH_RUN(t, be) be->pool_half(&(PoolHalfArgs){.n_sequences = 4, .D = D, .offset = pool_offset, .x = x, .policy = i % 2 ? policy : NULL,
                                                      .y = y.of[run]});
        compare_simple(t, "y", M * D, y, 2 * eps, 4 * 124 * eps * 3);
    }
}

static void trial_pool_half_backward(Trial *t) {
    for (int i = 0; i < 6; i++, release(t)) {
        const int64_t D = (int64_t[]){2, 34, 96}[i / 2], M = 150;
        const Real   *x = reals(t, M * D), *dy = reals(t, M * D);
        Real         *policy = policy_of(t, M), *y = reals(t, M * D);
        const Output  dx = output(t, M * D), dpolicy = output(t, M);
        PoolHalfArgs  a = {.n_sequences = 4, .D = D, .offset = pool_offset, .x = x, .policy = i % 2 ? policy : NULL, .y = y, .dy = dy};
        policy[0] = 0;
        t->run[0]->pool_half(&a);
        EACH_RUN(t, be) {
            a.dx      = i == 2 ? NULL : dx.of[run];
            a.dpolicy = i % 2 ? dpolicy.of[run] : NULL;
            be->pool_half_backward(&a);
        }
        /* G / sum p <= 4 3; products with x - mean <= 6 in D/2 terms */
        compare_simple(t, "dx", M * D, dx, 2 * eps, 8 * 12 * eps);
        compare_simple(t, "dpolicy", M, dpolicy, 2 * eps, ((double)D / 2 + 4) * eps * 12 * 6);
    }
}

#endif
