/* Chooses the peak loops for this CPU: of the same set as products and rows. */
#include "engine/simd/peak.h"

#include "engine/error.h"
#include "engine/simd/gemm.h"

#include <string.h>

extern const SimdPeak simd_peak_generic;
#ifndef MORBENCH_GENERIC
extern const SimdPeak simd_peak_avx2, simd_peak_avx512;
#endif

const SimdPeak *simd_peak(void) {
#if !defined(MORBENCH_GENERIC) && !defined(REAL_DOUBLE)
    static const SimdPeak *const compiled[] = {&simd_peak_avx512, &simd_peak_avx2};
    for (size_t i = 0; i < sizeof compiled / sizeof *compiled; i++)
        if (strcmp(compiled[i]->name, simd_gemm()->name) == 0) return compiled[i];
#endif
    return &simd_peak_generic;
}
