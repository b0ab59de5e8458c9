/* Row loops for x86 with AVX2 and FMA. */
#ifndef REAL_DOUBLE

#define SIMD_NAME   "avx2"
#define SIMD_RECORD simd_rows_avx2
#include "engine/simd/rows_body.h"

#endif
