/* Closed-form cost of one image through a DynamicViT, from its settings, or from the tokens that were active, alone; no op runs here.
 *   macs = N C P^2 D + blocks of n_s tokens each + predictors (13/8 D^2 + D/2) (n_s - 1) + D classes
 * n_0 = N + 1, n_s = 1 + kept tokens after stage s; in training all stay and are masked. */
#include "baselines/dynamic_vit.h"

static void count_predictor(ModelCounts *c, int64_t N, int64_t D) {
    const int64_t macs = N * (D * D + D / 2 * D + D / 4 * (D / 2) + 2 * (D / 4));
    c->macs                += macs;
    c->macs_router         += macs;
    c->layer_norm_elements += N * D;
    c->activations         += N * (D + D / 2 + D / 4 + 2);
    /* norm; bias and GELU of three products, bias of the last; the mean of the second halves */
    c->elementwise         += 5 * N * D + N * (2 * (D + D / 2 + D / 4) + 2) + N * D / 2;
}

void dynamic_vit_count(const void *self, const RouteCounts *route, ModelCounts *c) {
    const DynamicVit *m = self;
    const int64_t     N = m->n_patches, D = m->embed_dim, C = m->num_classes;
    int64_t           n = N + 1;
    int               stage = 0;
    *c = (ModelCounts){
        .macs        = N * m->in_chans * m->patch_size * m->patch_size * D + D * C,
        .activations = N * D + C,
        .elementwise = N * D + n * D + C,                        /* patch bias, positions, head bias */
    };
    for (int i = 0; i < m->depth; i++) {
        if (stage < m->pruning_loc.n && m->pruning_loc.value[stage] == i) {
            count_predictor(c, n - 1, D);
            stage++;
            if (!route->training) n = route->n_steps > stage ? route->active[stage] : 1 + m->kept[stage - 1];
        }
        vit_block_count(c, n, D, m->mlp_width, m->num_heads);
    }
    c->layer_norm_elements += n * D;
    c->elementwise         += 5 * n * D;
}
