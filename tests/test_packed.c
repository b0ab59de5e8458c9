/* The backend `packed`: products with every epilogue against the reference, threads, cuts of K, and the kept copies. */
#include "engine/backends/packed.h"
#include "engine/scratch.h"
#include "tests/guarded.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const Backend *packed(void)    { return backend_find("packed"); }
static const Backend *reference(void) { return backend_find("reference"); }

/* Products of numbers in [-1, 1): an element sums K of them, bias and residual included K + 4 numbers. Every addition rounds
 * a partial sum that is about sqrt(K) / 3: with errors of either sign that makes some K 2^-24. Measured: 1.4 (K + 4) 2^-24. */
static double tolerance(int64_t K) { return 4.0 * (double)(K + 4) * 0x1p-24; }

static double distance(const float *x, const float *y, int64_t n) {
    double far = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = fabs((double)x[i] - (double)y[i]);
        far = isnan(d) ? INFINITY : fmax(far, d);
    }
    return far;
}

typedef enum Residual { NO_RESIDUAL, OTHER, C_ITSELF } Residual;
typedef struct Case { int64_t M, N, K; bool trans_a, trans_b, parameter, bias, keep, gelu; Residual residual; float beta; } Case;

static void check_case(Case t) {
    Guarded a = guarded_floats(t.M * t.K), b = guarded_floats(t.K * t.N), bias = guarded_floats(t.N), rest = guarded_floats(t.M * t.N);
    Guarded c = guarded_floats(t.M * t.N), want = guarded_floats(t.M * t.N), pre = guarded_floats(t.M * t.N),
            want_pre = guarded_floats(t.M * t.N);
    memcpy(want.data, c.data, (size_t)(t.M * t.N) * sizeof(float));
    memcpy(want_pre.data, pre.data, (size_t)(t.M * t.N) * sizeof(float));
    const Tensor parameter = {.data = b.data, .version = 1};
    Gemm         g = {.M = t.M, .N = t.N, .K = t.K, .trans_a = t.trans_a, .trans_b = t.trans_b, .a = a.data, .b = b.data,
                      .lda = t.trans_a ? t.M : t.K, .ldb = t.trans_b ? t.K : t.N, .beta = t.beta, .c = c.data, .ldc = t.N,
                      .bias = t.bias ? bias.data : NULL, .pre_activation = t.keep ? pre.data : NULL,
                      .activation = t.gelu ? ACTIVATION_GELU : ACTIVATION_NONE,
                      .residual = t.residual == OTHER ? rest.data : t.residual == C_ITSELF ? c.data : NULL,
                      .parameter = t.parameter ? &parameter : NULL};
    packed()->gemm(&g);
    packed_forget();
    g.c = want.data;
    g.parameter = NULL;
    if (t.residual == C_ITSELF) g.residual = want.data;
    if (t.keep) g.pre_activation = want_pre.data;
    reference()->gemm(&g);
    const double far = fmax(distance(c.data, want.data, t.M * t.N), distance(pre.data, want_pre.data, t.M * t.N));
    if (far > tolerance(t.K))
        fail_msg("M %ld N %ld K %ld trans %d %d parameter %d bias %d keep %d gelu %d residual %d beta %g: off by %g", (long)t.M,
                 (long)t.N, (long)t.K, t.trans_a, t.trans_b, t.parameter, t.bias, t.keep, t.gelu, (int)t.residual,
                 (double)t.beta, far);
    if (t.M * t.N > 0) {
        want.data[t.M * t.N - 1] += 0.01f;
        assert_true(distance(c.data, want.data, t.M * t.N) > tolerance(t.K));      /* an error of a hundredth is noticed */
    }
    Guarded *all[] = {&a, &b, &bias, &rest, &c, &want, &pre, &want_pre};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
}

static void products_with_every_epilogue_match_the_reference(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{1, 10, 24}, {13, 33, 40}, {50, 96, 48}, {115, 200, 20}, {3, 7, 0}, {0, 5, 5}, {70, 40, 800}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int bits = 0; bits < 64; bits++)
            for (int residual = 0; residual < 3; residual++)
                check_case((Case){sizes[s][0], sizes[s][1], sizes[s][2], bits & 1, bits >> 1 & 1, bits >> 2 & 1, bits >> 3 & 1,
                                  bits >> 4 & 1, bits >> 5 & 1, (Residual)residual, (float)((bits ^ bits >> 2) & 1)});
    assert_false(scratch_failed());
}

/* Rows, columns, and for the last sizes K are shared out. */
static void every_thread_count_gives_the_reference_and_repeats_its_bits(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{50, 96, 192}, {2, 200, 300}, {197, 64, 70}, {20, 12, 9000}, {12, 30, 6200}};
    const int            before = omp_get_max_threads();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int64_t M = sizes[s][0], N = sizes[s][1], K = sizes[s][2];
        Guarded a = guarded_floats(M * K), b = guarded_floats(K * N), c = guarded_floats(M * N), again = guarded_floats(M * N),
                want = guarded_floats(M * N), bias = guarded_floats(N);
        Gemm    g = {.M = M, .N = N, .K = K, .trans_a = true, .a = a.data, .lda = M, .b = b.data, .ldb = N, .beta = 1,
                     .c = want.data, .ldc = N, .bias = s % 2 == 0 ? bias.data : NULL};
        memcpy(c.data, want.data, (size_t)(M * N) * sizeof(float));
        float *start = malloc((size_t)(M * N) * sizeof *start);
        assert_non_null(start);
        memcpy(start, want.data, (size_t)(M * N) * sizeof *start);
        reference()->gemm(&g);
        for (int threads = 1; threads <= 6; threads += threads < 3 ? 1 : 3) {
            omp_set_num_threads(threads);
            Guarded *to[] = {&c, &again};
            for (int i = 0; i < 2; i++) {
                memcpy(to[i]->data, start, (size_t)(M * N) * sizeof *start);
                g.c = to[i]->data;
                packed()->gemm(&g);
            }
            assert_memory_equal(c.data, again.data, (size_t)(M * N) * sizeof(float));
            assert_true(distance(c.data, want.data, M * N) <= tolerance(K));
        }
        free(start);
        Guarded *all[] = {&a, &b, &c, &again, &want, &bias};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) guarded_free(all[i]);
    }
    omp_set_num_threads(before);
}

static void copies_follow_the_version_and_are_counted(void **state) {
    (void)state;
    enum { M = 5, N = 40, K = 30 };
    Guarded a = guarded_floats(M * K), b = guarded_floats(N * K), c = guarded_floats(M * N), want = guarded_floats(M * N);
    Tensor  w = {.data = b.data, .version = 7};
    Gemm    g = {.M = M, .N = N, .K = K, .trans_b = true, .a = a.data, .lda = K, .b = b.data, .ldb = K, .c = c.data, .ldc = N,
                 .parameter = &w};
    packed_forget();
    assert_int_equal(packed_bytes(), 0);
    packed()->gemm(&g);
    const int64_t one = packed_bytes();
    assert_true(one >= (int64_t)(N * K * sizeof(float)));
    packed()->gemm(&g);
    assert_int_equal(packed_bytes(), one);

    b.data[0] += 10;                     /* without a new version the old copy is used: that is the contract */
    memcpy(want.data, c.data, sizeof(float) * M * N);
    packed()->gemm(&g);
    assert_memory_equal(c.data, want.data, sizeof(float) * M * N);
    w.version++;
    packed()->gemm(&g);
    assert_memory_not_equal(c.data, want.data, sizeof(float) * M * N);
    g.c = want.data;
    reference()->gemm(&g);
    assert_true(distance(c.data, want.data, M * N) <= 12 * tolerance(K));      /* one factor is ten times as large */
    assert_int_equal(packed_bytes(), one);

    Gemm back = {.M = M, .N = K, .K = N, .a = c.data, .lda = N, .b = b.data, .ldb = K, .c = a.data, .ldc = K, .parameter = &w};
    packed()->gemm(&back);
    assert_true(packed_bytes() > one);   /* the other side of the same weight is a copy of its own */
    packed_forget();
    assert_int_equal(packed_bytes(), 0);
    guarded_free(&a), guarded_free(&b), guarded_free(&c), guarded_free(&want);
}

static void hundreds_of_parameters_keep_their_own_copies(void **state) {
    (void)state;
    enum { N_PARAMETERS = 300, N = 3, K = 4 };
    Tensor *w = calloc(N_PARAMETERS, sizeof *w);
    assert_non_null(w);
    Guarded b = guarded_floats(N_PARAMETERS * N * K), a = guarded_floats(K);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < N_PARAMETERS; i++) {
            float c[N], want[N];
            w[i].data = b.data + i * N * K;
            Gemm g = {.M = 1, .N = N, .K = K, .trans_b = true, .a = a.data, .lda = K, .b = w[i].data, .ldb = K, .c = c, .ldc = N,
                      .parameter = &w[i]};
            packed()->gemm(&g);
            g.c = want;
            reference()->gemm(&g);
            assert_true(distance(c, want, N) <= tolerance(K));
        }
    packed_forget();
    guarded_free(&a), guarded_free(&b);
    free(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_with_every_epilogue_match_the_reference),
        cmocka_unit_test(every_thread_count_gives_the_reference_and_repeats_its_bits),
        cmocka_unit_test(copies_follow_the_version_and_are_counted),
        cmocka_unit_test(hundreds_of_parameters_keep_their_own_copies),
    };
    return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
