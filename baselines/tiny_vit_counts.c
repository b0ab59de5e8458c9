/* Closed-form cost of one image through a TinyViT, from its settings alone; no op runs here. T: cells of all windows, padded ones too.
 *   stem     27/2 C0 (S/2)^2 + 9/2 C0^2 (S/4)^2             MBConv   H W (8 C^2 + 36 C)
 *   merging  H W Ci Co + H W / 4 (Co^2 + 9 Co)              head     C classes
 *   block    4 T C^2 + 2 windows side^4 C + 8 H W C^2 + 9 H W C           (at ratios of 4) */
#include "baselines/tiny_vit.h"

static void count_norm(ModelCounts *c, int64_t elements) {
    c->layer_norm_elements += elements;
    c->elementwise         += 5 * elements;
}

static void count_linear(ModelCounts *c, int64_t rows, int64_t in, int64_t out, bool gelu) {
    c->macs        += rows * in * out;
    c->activations += rows * out;
    c->elementwise += rows * out * (gelu ? 2 : 1);
}

static void count_block(ModelCounts *c, const TinyVit *m, int s, MapShape map) {
    const int64_t C = m->embed_dims.value[s], side = m->window_sizes.value[s], n = tiny_windows(m, s), pixels = map.height * map.width,
                  T = n * n * side * side, pairs = n * n * side * side * side * side, H = m->num_heads.value[s];
    count_norm(c, T * C);
    count_linear(c, T, C, 3 * C, false);
    c->macs           += 2 * pairs * C;
    c->macs_attention += 2 * pairs * C;
    c->activations    += pairs * H + T * C;
    c->elementwise    += 2 * pairs * H;
    count_linear(c, T, C, C, false);
    conv_bn_count(c, &map, CONV_DEPTHWISE, 1, C, C, false);
    count_norm(c, pixels * C);
    count_linear(c, pixels, C, tiny_mlp_width(m, s), true);
    count_linear(c, pixels, tiny_mlp_width(m, s), C, false);
    c->elementwise += 2 * pixels * C;                                        /* two residuals */
}

void tiny_vit_count(const void *self, const RouteCounts *route, ModelCounts *c) {
    (void)route;                                                             /* every pixel takes every block */
    const TinyVit *m = self;
    const int64_t  C0 = m->embed_dims.value[0], E = tiny_expanded(m), last = m->embed_dims.value[TINY_STAGES - 1];
    MapShape       map = {1, m->img_size, m->img_size};
    *c = (ModelCounts){0};
    conv_bn_count(c, &map, CONV_FULL, 2, m->in_chans, C0 / 2, true);
    conv_bn_count(c, &map, CONV_FULL, 2, C0 / 2, C0, false);
    for (int i = 0; i < m->depths.value[0]; i++) {
        conv_bn_count(c, &map, CONV_POINT, 1, C0, E, true);
        conv_bn_count(c, &map, CONV_DEPTHWISE, 1, E, E, true);
        conv_bn_count(c, &map, CONV_POINT, 1, E, C0, false);
        c->elementwise += 2 * map.height * map.width * C0;                   /* residual, GELU */
    }
    for (int s = 1; s < TINY_STAGES; s++) {
        const int64_t in = m->embed_dims.value[s - 1], out = m->embed_dims.value[s];
        conv_bn_count(c, &map, CONV_POINT, 1, in, out, true);
        conv_bn_count(c, &map, CONV_DEPTHWISE, 2, out, out, true);
        conv_bn_count(c, &map, CONV_POINT, 1, out, out, false);
        for (int i = 0; i < m->depths.value[s]; i++) count_block(c, m, s, map);
    }
    c->elementwise += map.height * map.width * last;                         /* mean */
    count_norm(c, last);
    count_linear(c, 1, last, m->num_classes, false);
}
