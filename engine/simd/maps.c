/* Chooses the loops over maps for this CPU: those of the set that simd_gemm() runs. */
#ifndef REAL_DOUBLE

#include "engine/simd/maps.h"

#include "engine/error.h"
#include "engine/simd/gemm.h"

#include <string.h>

extern const SimdMaps simd_maps_generic;
#ifndef MORBENCH_GENERIC
extern const SimdMaps simd_maps_avx2, simd_maps_avx512;
#endif

static const SimdMaps *const compiled[] = {
#ifndef MORBENCH_GENERIC
    &simd_maps_avx512, &simd_maps_avx2,
#endif
    &simd_maps_generic,
};

static const SimdMaps *find(const char *name) {
    for (size_t i = 0; i < sizeof compiled / sizeof *compiled; i++)
        if (strcmp(compiled[i]->name, name) == 0) return compiled[i];
    CHECK(false, "products have a set '%s' that maps lack", name);
}

const SimdMaps *simd_maps_variant(int i) {
    const SimdGemm *gemm = i < 0 ? NULL : simd_gemm_variant(i);
    return gemm == NULL ? NULL : find(gemm->name);
}

const SimdMaps *simd_maps(void) {
    static const SimdMaps *chosen;             /* the same whoever computes it first */
    const SimdMaps        *maps = __atomic_load_n(&chosen, __ATOMIC_ACQUIRE);
    if (maps == NULL) {
        maps = find(simd_gemm()->name);
        __atomic_store_n(&chosen, maps, __ATOMIC_RELEASE);
    }
    return maps;
}

#endif
