/* Settings and weights of a ViT, shared by its forward pass (vit.c) and its closed-form cost (vit_counts.c). */
#ifndef BASELINES_VIT_H
#define BASELINES_VIT_H

#include "models/vit_parts.h"

enum { VIT_MAX_DEPTH = 256 };

typedef struct Vit {
    int      img_size, patch_size, in_chans, embed_dim, depth, num_heads, num_classes;
    double   mlp_ratio;
    bool     distilled;
    int      n_patches, n_prefix, mlp_width;                     /* derived: N, 1 or 2, F */
    Tensor  *cls_token, *dist_token;                             /* (1,1,D) */
    Tensor  *pos_embed;                                          /* (1,prefix+N,D) */
    Tensor  *patch_w, *patch_b;                                  /* (D,C,P,P) (D) */
    VitBlock block[VIT_MAX_DEPTH];
    Tensor  *norm_w, *norm_b, *head_w, *head_b, *head_dist_w, *head_dist_b;
} Vit;

/* ModelKind.count (vit_counts.c has the formula); every token takes every block, so the route says nothing. */
void vit_count(const void *self, const RouteCounts *route, ModelCounts *out);

#endif
