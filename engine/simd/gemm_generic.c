/* Products and attention for any CPU, through the compiler's 4-lane vectors: tiles of 8 x 8 where there are 32 registers
 * (64-bit Arm and others), else of 6 x 8. */
#ifndef REAL_DOUBLE
#if defined(__x86_64__) || defined(__i386__)
enum { MR = 6 };
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#else
enum { MR = 8 };
#define EACH_ROW(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7)
#endif
#include "engine/simd/gemm_body.h"
#include "engine/simd/attention_body.h"
#include "engine/simd/policy_body.h"

const SimdVariant simd_variant_generic = SIMD_VARIANT("generic");
#endif
