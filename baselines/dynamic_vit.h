/* Settings and weights of a DynamicViT, shared by its forward pass (dynamic_vit.c) and its closed-form cost (dynamic_vit_counts.c). */
#ifndef BASELINES_DYNAMIC_VIT_H
#define BASELINES_DYNAMIC_VIT_H

#include "baselines/vit.h"

/* One a stage; weights are those of the official names in_conv.0, in_conv.1, out_conv.0, .2, .4. */
typedef struct KeepPredictor {
    Tensor *norm_w, *norm_b;             /* (D) */
    Tensor *in_w, *in_b;                 /* (D,D) (D) */
    Tensor *out0_w, *out0_b;             /* (D/2,D) (D/2) */
    Tensor *out2_w, *out2_b;             /* (D/4,D/2) (D/4) */
    Tensor *out4_w, *out4_b;             /* (2,D/4) (2): keep, drop */
} KeepPredictor;

#define KEEP_PREDICTOR_EPS 1e-5          /* its norm's; the backbone's is 1e-6 */

typedef struct DynamicVit {
    int           img_size, patch_size, in_chans, embed_dim, depth, num_heads, num_classes;
    double        mlp_ratio, ratio_weight, policy_eps;
    IntList       pruning_loc;           /* blocks before which tokens are dropped */
    RealList      token_ratio;           /* share of all patches that is left after each stage */
    int           n_patches, mlp_width;  /* derived: N, F */
    int           kept[FIELD_LIST_MAX];  /* derived: trunc(N token_ratio) */
    Tensor       *cls_token, *pos_embed; /* (1,1,D) (1,1+N,D) */
    Tensor       *patch_w, *patch_b;     /* (D,C,P,P) (D) */
    VitBlock      block[VIT_MAX_DEPTH];
    Tensor       *norm_w, *norm_b, *head_w, *head_b;
    KeepPredictor predictor[FIELD_LIST_MAX];
} DynamicVit;

/* ModelKind.count (dynamic_vit_counts.c has the formula): route->active[1 + k] tokens after stage k, else 1 + kept[k]; route->training:
 * all stay. */
void dynamic_vit_count(const void *self, const RouteCounts *route, ModelCounts *out);

#endif
