/* Ceilings: the loops compute what they say, and every ceiling has a number or a reason. No speed is judged. */
#include "engine/simd/peak.h"
#include "harness/measure/peaks.h"
#include "harness/sysfile.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_loops_compute_what_they_say(void **state) {
    (void)state;
    enum { N = 1280 };
    static float a[N], b[N], c[N];
    float        keep = NAN;
    const SimdPeak *peak = simd_peak();
    for (int i = 0; i < N; i++) {
        b[i] = (float)i;
        c[i] = (float)(2 * i + 1);
    }
    assert_true(peak->read(b, N) >= 0);                      /* one lane of the sum */
    double whole = 0;
    for (int from = 0; from < N; from += 128) {              /* every element is read: a change of any one shows in some lane */
        const float before = peak->read(b + from, 128);
        for (int i = 0; i < 128; i++) {
            b[from + i] += 4096;
            whole += peak->read(b + from, 128) != before;
            b[from + i] -= 4096;
        }
    }
    const int lanes = peak->flops_per_round / 24;            /* twelve multiply-adds a round, each on so many lanes */
    assert_int_equal((int)whole, N / lanes);
    peak->triad(a, b, c, N);
    for (int i = 0; i < N; i++) assert_true(a[i] == b[i] + 3 * c[i]);
    peak->multiply_add(1000000, &keep);
    assert_true(keep > 11.9 && keep < 12.6);                 /* twelve chains that stay near 1 .. 1.04: never subnormal, never infinite */
}

static void every_ceiling_has_a_number_or_a_reason(void **state) {
    (void)state;
    static Machine m;
    Peaks   p;
    Error   err = {0};
    json_t *json = NULL;
    char   *no_env[] = {NULL};
    omp_set_num_threads(2);
    machine_read(&m, "tests/golden/machine/empty", no_env, NULL);       /* no caches told, no features */
    m.memory_available_bytes = (FactCount){.value = 64 << 20};
    assert_true(peaks_measure(&p, &m, 1, 0.001, &err));
    assert_true(p.flops_per_s > 0 && p.memory_bytes_per_s > 0 && p.triad_bytes_per_s > 0);
    assert_true(isnan(p.l1_bytes_per_s) && isnan(p.l2_bytes_per_s) && isnan(p.l3_bytes_per_s));
    assert_int_equal(p.threads, 2);
    assert_int_equal(p.memory_array_bytes, 16 << 20);        /* a quarter of what is free, however large the cache */
    assert_false(p.of_cpu);                                  /* a CPU that does not tell its features: nothing is claimed */
    assert_true(peaks_to_json(&p, &json, &err));
    assert_true(json_is_null(json_object_get(json, "l2_read_bytes_per_s")));
    assert_string_equal(json_string_value(json_object_get(json, "l2_read_bytes_per_s_reason")), "not_supported");
    assert_true(json_number_value(json_object_get(json, "fma_peak_flops_2x_per_s")) == p.flops_per_s);
    json_decref(json);
}

static void caches_that_are_told_are_measured(void **state) {
    (void)state;
    static Machine m;
    Peaks   p;
    Error   err = {0};
    char   *no_env[] = {NULL};
    omp_set_num_threads(1);
    machine_read(&m, "tests/golden/machine/intel_metal", no_env, NULL);
    m.memory_available_bytes = (FactCount){.value = 64 << 20};
    assert_true(m.n_caches >= 3);
    assert_true(peaks_measure(&p, &m, 1, 0.001, &err));
    assert_true(p.l1_bytes_per_s > 0 && p.l2_bytes_per_s > 0 && p.l3_bytes_per_s > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loops_compute_what_they_say),
        cmocka_unit_test(every_ceiling_has_a_number_or_a_reason),
        cmocka_unit_test(caches_that_are_told_are_measured),
    };
    return cmocka_run_group_tests_name("peaks", tests, NULL, NULL);
}
