/* Attention under a policy: how sequences and heads are shared among threads. */
#include "engine/simd/policy.h"

#ifndef REAL_DOUBLE

void simd_policy_attention(const SimdVariant *variant, const PolicyAttentionArgs *p) {
    const int64_t tasks = (int64_t)p->a.n_sequences * p->a.H;
#pragma omp parallel for schedule(dynamic) if (tasks > 1)
    for (int64_t task = 0; task < tasks; task++) variant->policy_attention(p, (int)(task / p->a.H), (int)(task % p->a.H));
}

/* All heads of a sequence on one thread, in order: they add to the same dpolicy. */
void simd_policy_attention_backward(const SimdVariant *variant, const PolicyAttentionArgs *p) {
#pragma omp parallel for schedule(dynamic) if (p->a.n_sequences > 1)
    for (int s = 0; s < p->a.n_sequences; s++)
        for (int h = 0; h < p->a.H; h++) variant->policy_attention_backward(p, s, h);
}

#endif
