/* Products and attention with AVX2 and FMA: tiles of 6 x 16, in 12 of the 16 registers. */
#ifndef REAL_DOUBLE
enum { MR = 6 };
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#include "engine/simd/gemm_body.h"
#include "engine/simd/attention_body.h"
#include "engine/simd/policy_body.h"

const SimdVariant simd_variant_avx2 = SIMD_VARIANT("avx2");
#endif
