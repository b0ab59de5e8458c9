/* Closed-form cost of one image through a ViT, from its settings alone; no op runs here.
 *   macs = N C P^2 D  +  L (4 n D^2 + 2 n D F + 2 n^2 D)  +  heads D classes,   n = N + prefix tokens */
#include "baselines/vit.h"

void vit_count(const void *self, const RouteCounts *route, ModelCounts *out) {
    (void)route;                                                 /* every token takes every block */
    const Vit    *m = self;
    const int64_t N = m->n_patches, n = N + m->n_prefix, D = m->embed_dim, C = m->num_classes;
    *out = (ModelCounts){
        .macs                = N * m->in_chans * m->patch_size * m->patch_size * D + m->n_prefix * D * C,
        .layer_norm_elements = n * D,
        .activations         = N * D + m->n_prefix * C,
        /* patch bias, positions, norm, head bias; the mean of two heads */
        .elementwise         = N * D + n * D + 5 * n * D + m->n_prefix * C + (m->distilled ? 2 * C : 0),
    };
    for (int i = 0; i < m->depth; i++) vit_block_count(out, n, D, m->mlp_width, m->num_heads);
}
