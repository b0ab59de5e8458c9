/* Chooses the row loops for this CPU: those of the set that simd_gemm() runs, so that products and rows go together. */
#ifndef REAL_DOUBLE

#include "engine/simd/rows.h"

#include "engine/error.h"
#include "engine/simd/gemm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const SimdRows simd_rows_generic;
#ifndef MORBENCH_GENERIC
extern const SimdRows simd_rows_avx2, simd_rows_avx512;
#endif

static const SimdRows *const compiled[] = {
#ifndef MORBENCH_GENERIC
    &simd_rows_avx512, &simd_rows_avx2,
#endif
    &simd_rows_generic,
};

static const SimdRows *find(const char *name) {
    for (size_t i = 0; i < sizeof compiled / sizeof *compiled; i++)
        if (strcmp(compiled[i]->name, name) == 0) return compiled[i];
    CHECK(false, "products have a set '%s' that rows lack", name);
}

const SimdRows *simd_rows_variant(int i) {
    const SimdGemm *gemm = i < 0 ? NULL : simd_gemm_variant(i);
    return gemm == NULL ? NULL : find(gemm->name);
}

const SimdRows *simd_rows(void) {
    static const SimdRows *chosen;             /* the same whoever computes it first */
    const SimdRows        *rows = __atomic_load_n(&chosen, __ATOMIC_ACQUIRE);
    if (rows == NULL) {
        rows = find(simd_gemm()->name);
        __atomic_store_n(&chosen, rows, __ATOMIC_RELEASE);
        const char *wanted = getenv("MORBENCH_SIMD");
        if (wanted != NULL && strcmp(wanted, "generic") != 0 && strcmp(wanted, "avx2") != 0 && strcmp(wanted, "avx512") != 0)
            fprintf(stderr, "morbench: warning: MORBENCH_SIMD=%s is none of generic, avx2, avx512: ignored\n", wanted);
    }
    return rows;
}

#endif
