/* Loops of peak.h for x86 with AVX-512. */
#define SIMD_NAME   "avx512"
#define SIMD_RECORD simd_peak_avx512
#include "engine/simd/peak_body.h"
