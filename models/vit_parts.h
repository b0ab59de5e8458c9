/* The parts that Vision Transformers share: pre-norm block, token rows, position embedding and its resampling. */
#ifndef MODELS_VIT_PARTS_H
#define MODELS_VIT_PARTS_H

#include "models/model.h"

/* Weights of one pre-norm block, timm's names: norm1, attn.qkv, attn.proj, norm2, mlp.fc1, mlp.fc2. */
typedef struct VitBlock {
    Tensor *norm1_w, *norm1_b;       /* (D) (D) */
    Tensor *qkv_w, *qkv_b;           /* (3D,D) (3D): all of q, all of k, all of v */
    Tensor *proj_w, *proj_b;         /* (D,D) (D) */
    Tensor *norm2_w, *norm2_b;       /* (D) (D) */
    Tensor *fc1_w, *fc1_b;           /* (F,D) (F) */
    Tensor *fc2_w, *fc2_b;           /* (D,F) (D) */
} VitBlock;

#define VIT_NORM_EPS 1e-6            /* timm, DeiT */

/* Declare "<prefix><name>.weight" and ".bias": a norm's gain and bias (D); a product's (out,in) and (out); the classifier's. */
void vit_norm_params(Params *params, Tensor **w, Tensor **b, int D, int depth, const char *prefix, const char *name);
void vit_linear_params(Params *params, Tensor **w, Tensor **b, int out, int in, int depth, const char *prefix, const char *name);
void vit_classifier_params(Params *params, Tensor **w, Tensor **b, int classes, int D, int depth, const char *name);

/* Declares "<prefix>norm1.weight" ... ; depth for layer-wise learning rates. */
void vit_block_params(VitBlock *block, Params *params, int D, int F, int depth, const char *prefix);

/* Dosovitskiy et al. 2021, eqs. 2-3.   z (M,D) -> (M,D), packed; layer addresses random draws; drop_path is its rate.
 * While the tape does not record, z is overwritten.  Opens the scopes "attn" and "mlp". trace_name: "blocks.3" gives traces blocks.3.attn and blocks.3.mlp; NULL none. */
Tensor *vit_block(Tape *tape, const VitBlock *w, Tensor *z, const TokenRows *rows, int n_heads, int layer, double drop_path,
                  const char *trace_name);

/* The same under a policy (M,1): attention of engine/ops/policy_attention.c. */
Tensor *vit_block_under_policy(Tape *tape, const VitBlock *w, Tensor *z, const TokenRows *rows, int n_heads, int layer, double drop_path,
                               Tensor *policy, double eps);

/* Rate of block i of n: from 0 at the first linearly to the step's at the last, as timm's linspace(0, rate, n). */
double vit_drop_path(const Tape *tape, int i, int n);

/* Settings of an image cut into patches. heads 0 becomes embed_dim/64 from a width of 192 up, else embed_dim/32. Sets the numbers of
 * patches and of hidden units; false names the setting that cannot be. */
bool vit_check_sizes(int img_size, int patch_size, int embed_dim, double mlp_ratio, int *num_heads, int *n_patches, int *mlp_width, Error *err);

/* Equal-length rows of B images: n_prefix tokens (patch index -1, -2, ...) and then n_patches. In the tape's arena;
 * NULL when it failed. image_id (B) is borrowed. */
const TokenRows *vit_rows(Tape *tape, int B, int n_prefix, int n_patches, const int64_t *image_id);

/* Rows b -> first token of image b plus `which`, as an index for op_gather_rows. */
const int32_t *vit_token_index(Tape *tape, const TokenRows *rows, int which);

/* timm's resampling of a position embedding: prefix rows kept, the square grid of the rest resized from `from` to `to`
 * cells a side, bicubic (a = -0.5), antialiased, half-pixel centres, weights renormalised at the edges. */
void vit_resample_positions(int n_prefix, int from, int to, int D, const float *in, Real *out);

/* ModelKind.adapt of the position embedding (1, n_prefix + n^2, D): another square grid is resampled, nothing else can be. */
bool vit_adapt_positions(const Tensor *pos_embed, int n_prefix, const Param *p, int n_dims, const int64_t dim[], const float *data, Real *out);

/* to = factor times the tensor `name` of a trained model, or added to it; of a whole block, "blocks.<layer>.norm1.weight" ... .
 * False: there is none, or it has another shape. */
bool vit_take(Tensor *to, const Model *source, double factor, bool add, const char *name, Error *err);
bool vit_take_block(VitBlock *block, const Model *source, int layer, double factor, bool add, Error *err);

/* The analytic twin of vit_block, for t tokens: adds to *counts. */
void vit_block_count(ModelCounts *counts, int64_t t, int64_t D, int64_t F, int64_t n_heads);

#endif
