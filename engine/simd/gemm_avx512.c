/* Products and attention with AVX-512: tiles of 14 x 32, in 28 of the 32 registers. */
#ifndef REAL_DOUBLE
enum { MR = 14 };
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13)
#include "engine/simd/gemm_body.h"
#include "engine/simd/attention_body.h"
#include "engine/simd/policy_body.h"

const SimdVariant simd_variant_avx512 = SIMD_VARIANT("avx512");
#endif
