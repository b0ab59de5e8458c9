/* Settings and weights of a TinyViT, shared by its forward pass (tiny_vit.c) and its closed-form cost (tiny_vit_counts.c). */
#ifndef BASELINES_TINY_VIT_H
#define BASELINES_TINY_VIT_H

#include "models/conv_parts.h"

enum { TINY_STAGES = 4, TINY_MAX_DEPTH = 64 };

/* Cells of a window up to which its bias is kept: above, it is many times the weights, and made anew costs no more than to read it. */
enum { TINY_KEPT_CELLS = 256 };

#define TINY_NORM_EPS 1e-5              /* of its layer norms, as official and timm have it */

typedef struct TinyMbConv { ConvBn conv1, conv2, conv3; } TinyMbConv;      /* 1x1 C -> eC, depthwise, 1x1 eC -> C */

typedef struct TinyMerge { ConvBn conv1, conv2, conv3; } TinyMerge;        /* 1x1 Ci -> Co, depthwise with stride 2, 1x1 Co -> Co */

typedef struct TinyBlock {
    Tensor *norm_w, *norm_b;             /* (C), attention's own norm */
    Tensor *qkv_w, *qkv_b;               /* (3C,C) (3C): head by head q, k, v */
    Tensor *proj_w, *proj_b;             /* (C,C) (C) */
    Tensor *bias_table;                  /* (heads, side^2) */
    Tensor *bias;                        /* (heads, side^2, side^2) made of it for inference, derived; NULL where it would be large */
    uint64_t bias_from;                  /* version of the table that bias is made of */
    ConvBn  local_conv;                  /* depthwise */
    Tensor *mlp_norm_w, *mlp_norm_b;     /* (C) */
    Tensor *fc1_w, *fc1_b, *fc2_w, *fc2_b;   /* (F,C) (F) (C,F) (C) */
} TinyBlock;

typedef struct TinyVit {
    int        img_size, in_chans, num_classes;
    IntList    embed_dims, depths, num_heads, window_sizes;                /* of four stages; heads and window of the first are unused */
    double     mlp_ratio, mbconv_expand_ratio;
    int        side[TINY_STAGES];                                          /* derived: of a stage's map */
    int        n_blocks;                                                   /* of all stages */
    ConvBn     conv1, conv2;                                               /* patch embedding */
    TinyMbConv mbconv[TINY_MAX_DEPTH];
    TinyMerge  merge[TINY_STAGES];                                         /* [s]: before stage s; [0] unused */
    TinyBlock  block[TINY_STAGES][TINY_MAX_DEPTH];                         /* [0] unused */
    Tensor    *norm_w, *norm_b, *head_w, *head_b;
} TinyVit;

/* Hidden width of stage s's MLP, and of MBConv's middle. */
static inline int tiny_mlp_width(const TinyVit *m, int s) { return (int)(m->embed_dims.value[s] * m->mlp_ratio + 1e-6); }
static inline int tiny_expanded(const TinyVit *m)         { return (int)(m->embed_dims.value[0] * m->mbconv_expand_ratio + 1e-6); }

/* Windows along a side: padding at the right and at the bottom fills the last ones. */
static inline int tiny_windows(const TinyVit *m, int s) {
    const int w = m->window_sizes.value[s];
    return (m->side[s] + w - 1) / w;
}

/* ModelKind.count (tiny_vit_counts.c has the formulas); every pixel takes every block, so the route says nothing. */
void tiny_vit_count(const void *self, const RouteCounts *route, ModelCounts *out);

#endif
