/* Loops over maps for x86 with AVX2 and FMA. */
#ifndef REAL_DOUBLE

#define SIMD_NAME   "avx2"
#define SIMD_RECORD simd_maps_avx2
#include "engine/simd/maps_body.h"

#endif
