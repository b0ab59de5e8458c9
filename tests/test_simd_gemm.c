/* Every variant of the packed products that this CPU runs, against sums in double; plus the vectors' exp. */
#include "engine/simd/variants.h"
#include "engine/simd/vector_math.h"
#include "tests/guarded.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int64_t padded(const SimdGemm *v, int64_t N) { return (N + v->nr - 1) / v->nr * v->nr; }

/* One product: sizes, and how far apart rows lie beyond what they need. */
typedef struct Case { int64_t M, N, K, a_gap, b_gap, c_gap; bool trans_a, trans_b; float beta; } Case;

static const float canary = 12345.678f;

/* The first element of C that is off by more than rounding explains, or a canary that was written over; NULL: all is well.
 * A chain of K multiply-adds, at most two roundings each, and the sum with beta C: |error| <= (2 K + 2) 2^-24 sum |a b|,
 * up to second order; each block of K adds one more rounding, hence the 4. */
static const char *wrong(const Case *t, const float *a, int64_t lda, const float *b, int64_t ldb, const float *before,
                         const float *after, int64_t ldc, float break_by) {
    static char text[160];
    for (int64_t m = 0; m < t->M; m++)
        for (int64_t n = 0; n < ldc; n++) {
            const int64_t at = m * ldc + n;
            if (n >= t->N) {
                if (m + 1 < t->M && after[at] != canary) {
                    snprintf(text, sizeof text, "wrote past row %ld", (long)m);
                    return text;
                }
                continue;
            }
            double want = t->beta == 0.0f ? 0.0 : (double)before[at], size = fabs(want);
            for (int64_t k = 0; k < t->K; k++) {
                const double product = (double)(t->trans_a ? a[k * lda + m] : a[m * lda + k]) *
                                       (double)(t->trans_b ? b[n * ldb + k] : b[k * ldb + n]);
                want += product;
                size += fabs(product);
            }
            const double got = (double)(after[at] + break_by);
            if (!(fabs(got - want) <= (2.0 * (double)t->K + 4.0) * 0x1p-24 * size)) {
                snprintf(text, sizeof text, "(%ld,%ld) is %.9g, not %.9g", (long)m, (long)n, got, want);
                return text;
            }
        }
    return NULL;
}

static void check_case(const SimdVariant *v, Case t) {
    const int64_t lda = (t.trans_a ? t.M : t.K) + t.a_gap, ldb = (t.trans_b ? t.K : t.N) + t.b_gap, ldc = t.N + t.c_gap;
    const int64_t rows_a = t.trans_a ? t.K : t.M, rows_b = t.trans_b ? t.N : t.K;
    /* the last row has no gap: it ends where memory ends */
    Guarded a = guarded_floats(rows_a == 0 ? 0 : rows_a * lda - t.a_gap), b = guarded_floats(rows_b == 0 ? 0 : rows_b * ldb - t.b_gap);
    Guarded c = guarded_floats(t.M == 0 ? 0 : t.M * ldc - t.c_gap), packed = guarded_floats(padded(&v->gemm, t.N) * t.K);
    float  *before = malloc((size_t)(t.M * ldc + 1) * sizeof *before);
    assert_non_null(before);
    for (int64_t m = 0; m < t.M; m++)
        for (int64_t n = t.N; n < ldc && m + 1 < t.M; n++) c.data[m * ldc + n] = canary;
    for (int64_t m = 0; m < t.M; m++)
        for (int64_t n = 0; n < t.N; n++) {
            if (t.beta == 0.0f) c.data[m * ldc + n] = NAN;      /* must not be read */
            before[m * ldc + n] = c.data[m * ldc + n];
        }
    v->gemm.pack_b(t.K, t.N, b.data, ldb, t.trans_b, packed.data);
    (t.trans_a ? v->multiply_transposed : v->gemm.multiply)(t.M, t.N, t.K, a.data, lda, packed.data, t.beta, c.data, ldc);
    const char *what = wrong(&t, a.data, lda, b.data, ldb, before, c.data, ldc, 0.0f);
    if (what != NULL)
        fail_msg("%s: M %ld N %ld K %ld lda %ld ldb %ld ldc %ld trans %d %d beta %g: %s", v->gemm.name, (long)t.M, (long)t.N,
                 (long)t.K, (long)lda, (long)ldb, (long)ldc, t.trans_a, t.trans_b, (double)t.beta, what);
    if (t.M > 0 && t.N > 0 && t.K > 0 && wrong(&t, a.data, lda, b.data, ldb, before, c.data, ldc, 0.1f * (float)t.K) == NULL)
        fail_msg("the check does not notice an error of a tenth per multiply-add");
    guarded_free(&a), guarded_free(&b), guarded_free(&c), guarded_free(&packed);
    free(before);
}

static void products_match_sums_in_double_at_every_edge_of_the_tiles(void **state) {
    (void)state;
    static const int64_t Ms[] = {0, 1, 2, 3, 5, 6, 7, 11, 13, 14, 15, 27, 28, 29, 43}, Ns[] = {0, 1, 7, 8, 9, 16, 17, 31, 32, 33, 53},
                         Ks[] = {0, 1, 2, 7, 8, 9, 31, 64};
    int n_variants = 0, n_cases = 0;
    for (const SimdVariant *v; (v = simd_variant_of(n_variants)) != NULL; n_variants++)
        for (size_t m = 0; m < sizeof Ms / sizeof *Ms; m++)
            for (size_t n = 0; n < sizeof Ns / sizeof *Ns; n++)
                for (size_t k = 0; k < sizeof Ks / sizeof *Ks; k++, n_cases++) {
                    const int     i = n_cases;      /* the flags walk through all combinations */
                    const int64_t gap = i % 3 == 0 ? 0 : i % 5 + 1;
                    check_case(v, (Case){Ms[m], Ns[n], Ks[k], gap, i % 4, i % 7, i & 1, i >> 1 & 1, (float)(i >> 2 & 1)});
                    check_case(v, (Case){Ms[m], Ns[n], Ks[k], 0, 0, gap, ~i & 1, i >> 2 & 1, (float)(i >> 1 & 1)});
                }
    printf("%d variants, %d products each way\n", n_variants, n_cases);
    assert_true(n_variants >= 1);
}

/* Blocks of K (384) and of N (192), rows whose distance collides in L1 (4096 and 6144 bytes), several row tiles. */
static void products_match_sums_in_double_across_blocks(void **state) {
    (void)state;
    static const Case cases[] = {
        {29, 33, 383, 0, 0, 0, false, true, 0},   {29, 33, 384, 0, 0, 3, true, false, 1},  {15, 65, 385, 1, 2, 0, false, false, 1},
        {15, 17, 769, 0, 1, 0, true, true, 0},    {14, 193, 50, 0, 0, 0, false, true, 1},  {31, 225, 400, 0, 0, 0, true, false, 0},
        {43, 40, 1000, 24, 0, 0, false, true, 0}, {43, 40, 1024, 0, 0, 0, false, true, 0}, {30, 33, 1500, 36, 0, 0, false, false, 1},
        {197, 197, 64, 0, 0, 11, false, true, 0}, {101, 10, 192, 0, 0, 0, false, true, 0}, {64, 97, 500, 960, 0, 0, true, false, 1},
    };
    for (int i = 0; simd_variant_of(i) != NULL; i++)
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) check_case(simd_variant_of(i), cases[c]);
}

static void bits_of_a_row_do_not_depend_on_how_many_rows_there_are(void **state) {
    (void)state;
    enum { M = 61, N = 70, K = 500 };
    for (int i = 0; simd_variant_of(i) != NULL; i++) {
        const SimdGemm *v = &simd_variant_of(i)->gemm;
        Guarded a = guarded_floats(M * K), b = guarded_floats(K * N), packed = guarded_floats(padded(v, N) * K);
        Guarded all = guarded_floats(M * N), some = guarded_floats(M * N);
        v->pack_b(K, N, b.data, N, false, packed.data);
        v->multiply(M, N, K, a.data, K, packed.data, 0.0f, all.data, N);
        for (int64_t m = 1; m <= M; m += m < 20 ? 1 : 7) {
            v->multiply(m, N, K, a.data + (M - m) * K, K, packed.data, 0.0f, some.data, N);
            assert_memory_equal(some.data, all.data + (M - m) * N, (size_t)(m * N) * sizeof(float));
        }
        guarded_free(&a), guarded_free(&b), guarded_free(&packed), guarded_free(&all), guarded_free(&some);
    }
}

static void panels_packed_one_by_one_equal_all_at_once(void **state) {
    (void)state;
    enum { N = 75, K = 37 };
    for (int i = 0; simd_variant_of(i) != NULL; i++)
        for (int trans = 0; trans < 2; trans++) {
            const SimdVariant *v = simd_variant_of(i);
            const int64_t      n = padded(&v->gemm, N) * K, n_panels = n / K / v->gemm.nr;
            Guarded b = guarded_floats(N * K), whole = guarded_floats(n), parts = guarded_floats(n);
            v->gemm.pack_b(K, N, b.data, trans ? K : N, trans != 0, whole.data);
            for (int64_t p = n_panels - 1; p >= 0; p--) v->pack_panels(K, N, b.data, trans ? K : N, trans != 0, p, p + 1, parts.data);
            assert_memory_equal(whole.data, parts.data, (size_t)n * sizeof(float));
            for (int64_t k = 0; k < K; k++)      /* the padding holds zeros */
                for (int64_t c = N - (n_panels - 1) * v->gemm.nr; c < v->gemm.nr; c++)
                    assert_true(whole.data[((n_panels - 1) * K + k) * v->gemm.nr + c] == 0.0f);
            guarded_free(&b), guarded_free(&whole), guarded_free(&parts);
        }
}

static void a_variant_is_named_once_and_the_one_in_use_is_among_them(void **state) {
    (void)state;
    bool found = false;
    for (int i = 0; simd_gemm_variant(i) != NULL; i++) {
        found |= simd_gemm_variant(i) == simd_gemm();
        for (int j = 0; j < i; j++) assert_string_not_equal(simd_gemm_variant(i)->name, simd_gemm_variant(j)->name);
    }
    assert_true(found);
}

/* The file is compiled for the base instruction set, so this is vec_exp without FMA; attention tests reach the others. */
static void exp_of_vectors_is_within_two_units_in_the_last_place(void **state) {
    (void)state;
    double worst = 0;
    for (uint32_t bits = 0; bits < 0xfffff000u; bits += 4099) {
        float x[VEC_WIDTH], y[VEC_WIDTH];
        for (int i = 0; i < VEC_WIDTH; i++) {
            const uint32_t b = bits + (uint32_t)i;
            memcpy(&x[i], &b, sizeof b);
        }
        vec_store(y, vec_exp(vec_load(x)));
        for (int i = 0; i < VEC_WIDTH; i++) {
            const double want = exp((double)x[i]);
            if (isnan(x[i])) assert_true(isnan(y[i]));
            else if (x[i] > 88.73f) assert_true(isinf(y[i]) && y[i] > 0);
            else if (x[i] < -87.3f) assert_true(fabs((double)y[i] - want) <= 0x1p-149);
            else if (x[i] <= 88.72f) worst = fmax(worst, fabs((double)y[i] - want) / ldexp(1.0, ilogb(want) - 23));
        }
    }
    printf("exp: worst error %.3f ulp\n", worst);
    assert_true(worst > 0.5 && worst <= 1.02);      /* half a unit cannot be beaten: less would mean nothing was compared */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_sums_in_double_at_every_edge_of_the_tiles),
        cmocka_unit_test(products_match_sums_in_double_across_blocks),
        cmocka_unit_test(bits_of_a_row_do_not_depend_on_how_many_rows_there_are),
        cmocka_unit_test(panels_packed_one_by_one_equal_all_at_once),
        cmocka_unit_test(a_variant_is_named_once_and_the_one_in_use_is_among_them),
        cmocka_unit_test(exp_of_vectors_is_within_two_units_in_the_last_place),
    };
    return cmocka_run_group_tests_name("simd_gemm", tests, NULL, NULL);
}
