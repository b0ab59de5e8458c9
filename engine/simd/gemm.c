/* Which variants this CPU and operating system run, best first, and which one is in use. */
#include "engine/simd/gemm.h"

#include "engine/simd/variants.h"

#ifndef REAL_DOUBLE

#include <stdlib.h>
#include <string.h>

static bool always(void) { return true; }
#ifndef MORBENCH_GENERIC
/* __builtin_cpu_supports asks XGETBV too: false when the operating system does not save the registers. */
static bool has_avx2(void)   { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

static const struct { const SimdVariant *variant; bool (*runs)(void); } candidates[] = {
#ifndef MORBENCH_GENERIC
    {&simd_variant_avx512, has_avx512},
    {&simd_variant_avx2, has_avx2},
#endif
    {&simd_variant_generic, always},
};
enum { N_CANDIDATES = sizeof candidates / sizeof candidates[0] };

const SimdVariant *simd_variant_of(int i) {
    for (int c = 0; c < N_CANDIDATES; c++)
        if (candidates[c].runs() && i-- == 0) return candidates[c].variant;
    return NULL;
}

/* A name that this CPU does not run is ignored: the variable lowers, never raises. */
const SimdVariant *simd_variant(void) {
    static const SimdVariant *chosen;      /* the same whoever computes it first */
    const SimdVariant        *found = __atomic_load_n(&chosen, __ATOMIC_RELAXED);
    if (found != NULL) return found;
    const char *wanted = getenv("MORBENCH_SIMD");
    found = simd_variant_of(0);
    for (int i = 0; wanted != NULL && simd_variant_of(i) != NULL; i++)
        if (strcmp(simd_variant_of(i)->gemm.name, wanted) == 0) found = simd_variant_of(i);
    __atomic_store_n(&chosen, found, __ATOMIC_RELAXED);
    return found;
}

const SimdGemm *simd_gemm(void) { return &simd_variant()->gemm; }

const SimdGemm *simd_gemm_variant(int i) {
    const SimdVariant *v = simd_variant_of(i);
    return v == NULL ? NULL : &v->gemm;
}

#endif
