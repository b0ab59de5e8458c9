/* Attention on AttentionArgs, forward and backward, over all OpenMP threads; see attention_body.h for the method.
 *
 * Forward and, without dbias, backward give the same bits at every thread count: what is split is independent. With dbias
 * the bits are fixed at a fixed thread count. When memory for scratch runs out, outputs keep what they held and
 * scratch_failed() tells. */
#ifndef ENGINE_SIMD_ATTENTION_H
#define ENGINE_SIMD_ATTENTION_H

#include "engine/simd/variants.h"

#ifndef REAL_DOUBLE
void simd_attention(const SimdVariant *variant, const AttentionArgs *a);
void simd_attention_backward(const SimdVariant *variant, const AttentionArgs *a);
#endif

#endif
