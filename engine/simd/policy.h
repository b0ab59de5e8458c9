/* Attention under a policy, forward and backward, over all OpenMP threads; see policy_body.h for the method. */
#ifndef ENGINE_SIMD_POLICY_H
#define ENGINE_SIMD_POLICY_H

#include "engine/simd/variants.h"

#ifndef REAL_DOUBLE

void simd_policy_attention(const SimdVariant *variant, const PolicyAttentionArgs *p);
void simd_policy_attention_backward(const SimdVariant *variant, const PolicyAttentionArgs *p);

#endif
#endif
