/* The reference's kernels of DynamicViT's training: attention under a policy, pooled halves (engine/kernels.h has the formulas). */
#ifndef ENGINE_BACKENDS_REFERENCE_POLICY_H
#define ENGINE_BACKENDS_REFERENCE_POLICY_H

#include "engine/kernels.h"

void reference_policy_attention(const PolicyAttentionArgs *p);
void reference_policy_attention_backward(const PolicyAttentionArgs *p);
void reference_pool_half(const PoolHalfArgs *a);
void reference_pool_half_backward(const PoolHalfArgs *a);

#endif
