/* Attention of every variant this CPU runs, forward and backward, against the reference's sums in double. */
#include "engine/scratch.h"
#include "engine/simd/attention.h"
#include "tests/guarded.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_SEQUENCES = 12 };

/* Lengths of sequences, heads, widths; interleaved: head h's q, k and v lie side by side, else all q, then all k, then v. */
typedef struct Case {
    int  n_sequences, Nq[MAX_SEQUENCES], Nk[MAX_SEQUENCES], H, E, Ev;
    bool bias, assign, interleaved;
} Case;

static const Case cases[] = {
    {1, {1}, {1}, 1, 4, 4, false, true, false},
    {1, {50}, {50}, 3, 64, 64, false, true, false},
    {1, {197}, {197}, 2, 64, 64, false, false, false},
    {6, {0, 1, 17, 2, 33, 0}, {0, 1, 17, 2, 33, 0}, 3, 16, 16, false, true, false},
    {6, {0, 5, 17, 2, 33, 3}, {3, 9, 1, 40, 13, 0}, 2, 24, 24, false, true, false},
    {3, {5, 0, 113}, {9, 4, 31}, 2, 7, 13, false, false, false},
    {4, {49, 49, 49, 49}, {49, 49, 49, 49}, 5, 32, 32, true, true, true},
    {3, {10, 10, 10}, {23, 23, 23}, 3, 16, 48, true, false, true},
    {1, {230}, {71}, 1, 32, 32, true, false, false},
};
enum { N_CASES = sizeof cases / sizeof *cases };

typedef struct Problem {
    AttentionArgs a;
    int32_t       q_offset[MAX_SEQUENCES + 1], k_offset[MAX_SEQUENCES + 1];
    Guarded       q, kv, bias, out, lse, dout, dq, dkv, dbias;
    int64_t       n_q, n_kv, n_out, n_lse, n_bias;
} Problem;

static void problem_create(Problem *p, const Case *t) {
    memset(p, 0, sizeof *p);
    for (int s = 0; s < t->n_sequences; s++) {
        p->q_offset[s + 1] = p->q_offset[s] + t->Nq[s];
        p->k_offset[s + 1] = p->k_offset[s] + t->Nk[s];
    }
    const int64_t Mq = p->q_offset[t->n_sequences], Mk = p->k_offset[t->n_sequences], one = t->E + t->Ev;
    p->n_q    = Mq * t->H * t->E;
    p->n_kv   = Mk * t->H * one;
    p->n_out  = Mq * t->H * t->Ev;
    p->n_lse  = Mq * t->H;
    p->n_bias = (int64_t)t->H * t->Nq[0] * t->Nk[0];
    p->q      = guarded_floats(p->n_q),   p->dq    = guarded_floats(p->n_q);
    p->kv     = guarded_floats(p->n_kv),  p->dkv   = guarded_floats(p->n_kv);
    p->out    = guarded_floats(p->n_out), p->dout  = guarded_floats(p->n_out);
    p->bias   = guarded_floats(p->n_bias), p->dbias = guarded_floats(p->n_bias);
    p->lse    = guarded_floats(p->n_lse);
    const int64_t v_from = t->interleaved ? t->E : (int64_t)t->H * t->E;
    p->a = (AttentionArgs){
        .n_sequences = t->n_sequences, .H = t->H, .E = t->E, .Ev = t->Ev, .q_offset = p->q_offset, .k_offset = p->k_offset,
        .scale = 1.0f / sqrtf((float)t->E), .q = p->q.data, .k = p->kv.data, .v = p->kv.data + v_from,
        .q_ld = t->H * t->E, .k_ld = t->H * one, .v_ld = t->H * one, .q_head = t->E,
        .k_head = t->interleaved ? one : t->E, .v_head = t->interleaved ? one : t->Ev, .bias = t->bias ? p->bias.data : NULL,
        .out = p->out.data, .lse = p->lse.data, .dout = p->dout.data, .dq = p->dq.data, .dk = p->dkv.data,
        .dv = p->dkv.data + v_from, .assign = t->assign, .dbias = t->bias ? p->dbias.data : NULL};
}

static void problem_free(Problem *p) {
    Guarded *all[] = {&p->q, &p->kv, &p->bias, &p->out, &p->lse, &p->dout, &p->dq, &p->dkv, &p->dbias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
}

static float *copy_of(const float *x, int64_t n) {
    float *y = malloc((size_t)n * sizeof *y + 1);
    assert_non_null(y);
    memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

/* Largest |x - y|; infinities must agree; a NaN counts as infinitely far. */
static double distance(const float *x, const float *y, int64_t n) {
    double far = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = isinf(y[i]) && x[i] == y[i] ? 0.0 : fabs((double)x[i] - (double)y[i]);
        far = isnan(d) ? INFINITY : fmax(far, d);
    }
    return far;
}

/* All inputs lie in [-1, 1). A score is off by about sqrt(E) roundings of numbers below 4, so a weight by some 2^-20
 * relative, and so are means of v; gradients sum up to 230 such terms. Measured: 5e-7 forward, 1e-6 backward. */
static const double forward_tolerance = 2e-6, backward_tolerance = 5e-6;

static void both_ways_match_the_reference(void **state) {
    (void)state;
    const Backend *reference = backend_find("reference");
    double         worst_forward = 0, worst_backward = 0;
    int            n_variants = 0;
    for (const SimdVariant *v; (v = simd_variant_of(n_variants)) != NULL; n_variants++)
        for (int c = 0; c < N_CASES; c++) {
            Problem p;
            problem_create(&p, &cases[c]);
            float *dq = copy_of(p.dq.data, p.n_q), *dkv = copy_of(p.dkv.data, p.n_kv), *dbias = copy_of(p.dbias.data, p.n_bias);
            reference->attention(&p.a);
            reference->attention_backward(&p.a);
            float *want_out = copy_of(p.out.data, p.n_out), *want_lse = copy_of(p.lse.data, p.n_lse);
            float *want_dq = copy_of(p.dq.data, p.n_q), *want_dkv = copy_of(p.dkv.data, p.n_kv),
                  *want_dbias = copy_of(p.dbias.data, p.n_bias);

            for (int64_t i = 0; i < p.n_out; i++) p.out.data[i] = NAN;
            for (int64_t i = 0; i < p.n_lse; i++) p.lse.data[i] = NAN;
            memcpy(p.dq.data, dq, (size_t)p.n_q * sizeof *dq);
            memcpy(p.dkv.data, dkv, (size_t)p.n_kv * sizeof *dkv);
            memcpy(p.dbias.data, dbias, (size_t)p.n_bias * sizeof *dbias);
            simd_attention(v, &p.a);
            simd_attention_backward(v, &p.a);
            const double forward = fmax(distance(p.out.data, want_out, p.n_out), distance(p.lse.data, want_lse, p.n_lse));
            const double backward = fmax(distance(p.dq.data, want_dq, p.n_q), fmax(distance(p.dkv.data, want_dkv, p.n_kv),
                                                                                  distance(p.dbias.data, want_dbias, p.n_bias)));
            if (forward > forward_tolerance || backward > backward_tolerance)
                fail_msg("%s, case %d: off by %g forward, %g backward", v->gemm.name, c, forward, backward);
            worst_forward  = fmax(worst_forward, forward);
            worst_backward = fmax(worst_backward, backward);

            /* the comparison notices an error: another scale */
            p.a.scale *= 1.01f;
            if (cases[c].Nk[0] > 8) {
                simd_attention(v, &p.a);
                assert_true(distance(p.lse.data, want_lse, p.n_lse) > forward_tolerance);
            }
            free(dq), free(dkv), free(dbias), free(want_out), free(want_lse), free(want_dq), free(want_dkv), free(want_dbias);
            problem_free(&p);
        }
    assert_false(scratch_failed());
    printf("%d variants, %d cases; off by %.2g forward, %.2g backward\n", n_variants, N_CASES, worst_forward, worst_backward);
    assert_true(n_variants >= 1);
}

static void only_what_is_wanted_is_written(void **state) {
    (void)state;
    for (int i = 0; simd_variant_of(i) != NULL; i++) {
        Problem p;
        problem_create(&p, &cases[6]);
        float *dq = copy_of(p.dq.data, p.n_q), *dbias = copy_of(p.dbias.data, p.n_bias), *lse = copy_of(p.lse.data, p.n_lse);
        p.a.lse = NULL;
        simd_attention(simd_variant_of(i), &p.a);
        assert_memory_equal(p.lse.data, lse, (size_t)p.n_lse * sizeof *lse);
        p.a.lse = p.lse.data;
        simd_attention(simd_variant_of(i), &p.a);
        p.a.dq = p.a.dk = p.a.dv = NULL;
        simd_attention_backward(simd_variant_of(i), &p.a);
        assert_memory_equal(p.dq.data, dq, (size_t)p.n_q * sizeof *dq);
        assert_true(distance(p.dbias.data, dbias, p.n_bias) > 0);
        free(dq), free(dbias), free(lse);
        problem_free(&p);
    }
}

/* exp(1000) overflows; softmax does not care. */
static void large_scores_do_not_overflow(void **state) {
    (void)state;
    const Case t = {1, {20}, {20}, 1, 16, 16, true, true, false};
    for (int i = 0; simd_variant_of(i) != NULL; i++) {
        Problem p;
        problem_create(&p, &t);
        for (int64_t j = 0; j < p.n_bias; j++) p.bias.data[j] = j % 2 == 0 ? 1000.0f : -1000.0f;
        backend_find("reference")->attention(&p.a);
        float *want = copy_of(p.out.data, p.n_out);
        simd_attention(simd_variant_of(i), &p.a);
        /* a score of 1000 keeps 2^-14 of its fraction: that much in each weight */
        assert_true(distance(p.out.data, want, p.n_out) < 2e-4);
        for (int64_t j = 0; j < p.n_bias; j++) p.bias.data[j] = -INFINITY;      /* no key is allowed: not a number, no crash */
        simd_attention(simd_variant_of(i), &p.a);
        assert_true(isnan(p.out.data[0]));
        free(want);
        problem_free(&p);
    }
}

static void bits_are_those_of_one_thread(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    for (int c = 1; c < N_CASES; c++) {
        Problem p;
        problem_create(&p, &cases[c]);
        float *dq = copy_of(p.dq.data, p.n_q), *dkv = copy_of(p.dkv.data, p.n_kv);
        float *first_out = NULL, *first_dq = NULL, *first_dkv = NULL;
        for (int threads = 1; threads <= 5; threads++) {
            omp_set_num_threads(threads);
            memcpy(p.dq.data, dq, (size_t)p.n_q * sizeof *dq);
            memcpy(p.dkv.data, dkv, (size_t)p.n_kv * sizeof *dkv);
            simd_attention(simd_variant(), &p.a);
            simd_attention_backward(simd_variant(), &p.a);
            if (threads == 1) {
                first_out = copy_of(p.out.data, p.n_out);
                first_dq  = copy_of(p.dq.data, p.n_q);
                first_dkv = copy_of(p.dkv.data, p.n_kv);
            }
            assert_memory_equal(p.out.data, first_out, (size_t)p.n_out * sizeof *first_out);
            assert_memory_equal(p.dq.data, first_dq, (size_t)p.n_q * sizeof *first_dq);
            assert_memory_equal(p.dkv.data, first_dkv, (size_t)p.n_kv * sizeof *first_dkv);
        }
        free(dq), free(dkv), free(first_out), free(first_dq), free(first_dkv);
        problem_free(&p);
    }
    omp_set_num_threads(before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_match_the_reference),
        cmocka_unit_test(only_what_is_wanted_is_written),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(bits_are_those_of_one_thread),
    };
    return cmocka_run_group_tests_name("simd_attention", tests, NULL, NULL);
}
