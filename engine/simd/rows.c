/* Chooses the row loops for this CPU. MORBENCH_SIMD=generic|avx2|avx512 in the environment asks for a lower set. */
#ifndef REAL_DOUBLE

#include "engine/simd/rows.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const SimdRows simd_rows_generic;

#if defined(__x86_64__) && !defined(MORBENCH_GENERIC)
extern const SimdRows simd_rows_avx2, simd_rows_avx512;

static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

const SimdRows *simd_rows_variant(int i) {
    const SimdRows *variants[3];          /* best first */
    int             n = 0;
#if defined(__x86_64__) && !defined(MORBENCH_GENERIC)
    if (has_avx512()) variants[n++] = &simd_rows_avx512;
    if (has_avx2())   variants[n++] = &simd_rows_avx2;
#endif
    variants[n++] = &simd_rows_generic;
    return i >= 0 && i < n ? variants[i] : NULL;
}

/* A set above what the CPU has, like an unknown name, changes nothing; the latter is said once. */
static const SimdRows *choose(void) {
    const char *wanted = getenv("MORBENCH_SIMD");
    if (wanted != NULL) {
        for (int i = 0; simd_rows_variant(i) != NULL; i++)
            if (strcmp(simd_rows_variant(i)->name, wanted) == 0) return simd_rows_variant(i);
        if (strcmp(wanted, "avx2") != 0 && strcmp(wanted, "avx512") != 0)
            fprintf(stderr, "morbench: warning: MORBENCH_SIMD=%s is none of generic, avx2, avx512; ignored\n", wanted);
    }
    return simd_rows_variant(0);
}

const SimdRows *simd_rows(void) {
    static _Atomic(const SimdRows *) chosen;
    const SimdRows *rows = atomic_load_explicit(&chosen, memory_order_acquire);
    if (rows == NULL) {
        rows = choose();
        atomic_store_explicit(&chosen, rows, memory_order_release);
    }
    return rows;
}

#endif
