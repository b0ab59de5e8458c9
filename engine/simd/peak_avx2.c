/* Loops of peak.h for x86 with AVX2 and FMA. */
#define SIMD_NAME   "avx2"
#define SIMD_RECORD simd_peak_avx2
#include "engine/simd/peak_body.h"
