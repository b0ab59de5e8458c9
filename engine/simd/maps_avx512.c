/* Loops over maps for x86 with AVX-512 F, BW, VL and DQ. */
#ifndef REAL_DOUBLE

#define SIMD_NAME   "avx512"
#define SIMD_RECORD simd_maps_avx512
#include "engine/simd/maps_body.h"

#endif
