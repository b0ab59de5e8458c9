/* Closed-form cost of a pre-norm block: no op runs here, so that executed counts have an independent twin. */
#include "models/vit_parts.h"

void vit_block_count(ModelCounts *c, int64_t t, int64_t D, int64_t F, int64_t n_heads) {
    const int64_t products = 4 * t * D * D + 2 * t * D * F, attention = 2 * t * t * D;
    c->macs                += products + attention;
    c->macs_attention      += attention;
    c->layer_norm_elements += 2 * t * D;
    c->activations         += t * (3 * D + D + D + F + D) + n_heads * t * t;   /* qkv, P v, proj, fc1, fc2; scores */
    /* two norms at 5 an element; biases of qkv, proj, fc1, fc2; softmax at 2 a score; GELU; two residuals */
    c->elementwise         += 10 * t * D + t * (3 * D + D + F + D) + 2 * n_heads * t * t + t * F + 2 * t * D;
}
