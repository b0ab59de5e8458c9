/* Vision Transformer (Dosovitskiy et al. 2021) and DeiT with its distillation token (Touvron et al. 2021), in timm's form.
 *
 *   images (B,C,S,S) -> patches (B N,D) -> [class (, distillation)] + patches + positions (B n,D) -> L pre-norm blocks
 *   -> layer norm -> head on the class token -> logits (B,classes)
 *
 * Distilled, evaluation: the mean of both heads' logits. Tensor names are timm's.
 * Departures: dropout sits after the GELU only, at the rate of the training settings (0 in every published recipe). */
#include "baselines/vit.h"

#include <stdio.h>

enum { PATCHES_MAX = 65536 };

static const Field fields[] = {
    INT_FIELD (Vit, img_size,    1, 4096,  224, "S, side of the square image in pixels; a multiple of patch_size"),
    INT_FIELD (Vit, patch_size,  1, 512,   16,  "P, side of a patch"),
    INT_FIELD (Vit, in_chans,    1, 64,    3,   "C, channels of the image"),
    INT_FIELD (Vit, embed_dim,   1, 16384, 768, "D, width of a token"),
    INT_FIELD (Vit, depth,       1, VIT_MAX_DEPTH, 12, "L, number of blocks"),
    INT_FIELD (Vit, num_heads,   0, 256,   12,  "H, divides embed_dim; 0: embed_dim/64 from 192 up, else embed_dim/32"),
    REAL_FIELD(Vit, mlp_ratio,   0.01, 64, 4,   "F/D, hidden width of the MLP in units of embed_dim"),
    INT_FIELD (Vit, num_classes, 1, 1000000, 1000, "classes"),
    BOOL_FIELD(Vit, distilled,   false, "DeiT's distillation token and second head"),
    FIELDS_END,
};

#define TI  "patch_size=16 in_chans=3 embed_dim=192 depth=12 num_heads=3 num_classes=1000"
#define SM  "patch_size=16 in_chans=3 embed_dim=384 depth=12 num_heads=6 num_classes=1000"
#define BA  "patch_size=16 in_chans=3 embed_dim=768 depth=12 num_heads=12 num_classes=1000"
#define LA  "patch_size=16 in_chans=3 embed_dim=1024 depth=24 num_heads=16 num_classes=1000"

static const Preset presets[] = {
    {"vit_tiny_patch16_224",              "img_size=224 " TI, NULL},
    {"vit_small_patch16_224",             "img_size=224 " SM, NULL},
    {"vit_base_patch16_224",              "img_size=224 " BA, NULL},
    {"vit_large_patch16_224",             "img_size=224 " LA, NULL},
    {"vit_tiny_patch16_384",              "img_size=384 " TI, NULL},
    {"vit_small_patch16_384",             "img_size=384 " SM, NULL},
    {"vit_base_patch16_384",              "img_size=384 " BA, NULL},
    {"vit_large_patch16_384",             "img_size=384 " LA, NULL},
    {"deit_tiny_patch16_224",             "img_size=224 " TI, NULL},
    {"deit_small_patch16_224",            "img_size=224 " SM, NULL},
    {"deit_base_patch16_224",             "img_size=224 " BA, NULL},
    {"deit_base_patch16_384",             "img_size=384 " BA, NULL},
    {"deit_tiny_distilled_patch16_224",   "img_size=224 distilled=true " TI, NULL},
    {"deit_small_distilled_patch16_224",  "img_size=224 distilled=true " SM, NULL},
    {"deit_base_distilled_patch16_224",   "img_size=224 distilled=true " BA, NULL},
    {"deit_base_distilled_patch16_384",   "img_size=384 distilled=true " BA, NULL},
    {"vit_d{embed_dim}_l{depth}_p{patch_size}_28", "img_size=28 in_chans=1 num_classes=10 num_heads=0",
     "vit_d64_l6_p4_28 vit_d96_l6_p4_28 vit_d192_l6_p4_28"},
    {"vit_d{embed_dim}_l{depth}_p{patch_size}_32", "img_size=32 in_chans=3 num_classes=10 num_heads=0",
     "vit_d96_l6_p4_32 vit_d96_l12_p4_32 vit_d128_l12_p4_32 vit_d192_l12_p4_32"},
    {NULL, NULL, NULL},
};

static bool prepare(void *self, Error *err) {
    Vit *m = self;
    m->n_prefix = m->distilled ? 2 : 1;
    return vit_check_sizes(m->img_size, m->patch_size, m->embed_dim, m->mlp_ratio, &m->num_heads, &m->n_patches, &m->mlp_width, err);
}

static void each_param(void *self, Params *p) {
    Vit      *m = self;
    const int D = m->embed_dim, P = m->patch_size, C = m->num_classes, last = m->depth + 1;
    param_add(p, &m->cls_token, (ParamSpec){INIT_NORMAL_1E6, PARAM_PLAIN, 0, 0}, 3, (int64_t[]){1, 1, D}, "cls_token");
    if (m->distilled)
        param_add(p, &m->dist_token, (ParamSpec){INIT_NORMAL_002, PARAM_PLAIN, 0, 0}, 3, (int64_t[]){1, 1, D}, "dist_token");
    param_add(p, &m->pos_embed, (ParamSpec){INIT_NORMAL_002, PARAM_PLAIN, 0, 0}, 3, (int64_t[]){1, m->n_prefix + m->n_patches, D},
              "pos_embed");
    param_add(p, &m->patch_w, (ParamSpec){INIT_CONV_DEFAULT, PARAM_DECAYED, 0, 0}, 4, (int64_t[]){D, m->in_chans, P, P},
              "patch_embed.proj.weight");
    param_add(p, &m->patch_b, (ParamSpec){INIT_CONV_DEFAULT, PARAM_PLAIN, 0, m->in_chans * P * P}, 1, (int64_t[]){D},
              "patch_embed.proj.bias");
    for (int i = 0; i < m->depth; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "blocks.%d.", i);
        vit_block_params(&m->block[i], p, D, m->mlp_width, i + 1, prefix);
    }
    vit_norm_params(p, &m->norm_w, &m->norm_b, D, last, "", "norm");
    vit_classifier_params(p, &m->head_w, &m->head_b, C, D, last, "head");
    if (m->distilled) vit_classifier_params(p, &m->head_dist_w, &m->head_dist_b, C, D, last, "head_dist");
}

static Tensor *head(Tape *t, Tensor *z, const TokenRows *rows, int token, Tensor *w, Tensor *b) {
    const int32_t *index = vit_token_index(t, rows, token);
    return op_linear(t, op_gather_rows(t, z, index, rows->n_images), w, b, ACTIVATION_NONE, NULL);
}

static void forward(void *self, Tape *t, const ModelInput *in, ModelOutput *out) {
    Vit             *m    = self;
    const int        B    = (int)in->images->dim[0];
    const TokenRows *rows = vit_rows(t, B, m->n_prefix, m->n_patches, in->image_id);
    *out = (ModelOutput){.n_tokens = m->n_prefix + m->n_patches, .n_prefix = m->n_prefix, .max_depth = m->depth};

    scope_open(t, "patch_embed", -1);
    Tensor *z = op_patch_embed(t, in->images, m->patch_w, m->patch_b);                                  /* eq. 1 */
    tape_trace(t, z, "patch_embed");
    if (m->distilled) z = op_concat_tokens(t, m->dist_token, z, B);
    z = op_concat_tokens(t, m->cls_token, z, B);
    z = scope_close(t, op_add_tiled(t, z, m->pos_embed));
    if (rows == NULL) {                                  /* out of memory: the tape is marked, the shapes still hold */
        out->logits = tensor_matrix(t, B, m->num_classes);
        return;
    }
    for (int i = 0; i < m->depth; i++) {
        char name[32];
        snprintf(name, sizeof name, "blocks.%d", i);
        scope_open(t, "blocks", i);
        z = scope_close(t, vit_block(t, &m->block[i], z, rows, m->num_heads, i, vit_drop_path(t, i, m->depth), name));
        tape_trace(t, z, "%s", name);
    }
    scope_open(t, "head", -1);
    z = op_layer_norm(t, z, m->norm_w, m->norm_b, VIT_NORM_EPS);                                        /* eq. 4 */
    tape_trace(t, z, "norm");
    if (in->want_tokens) {
        out->tokens = z;
        out->rows   = rows;
    }
    out->logits = head(t, z, rows, 0, m->head_w, m->head_b);
    if (m->distilled) {
        out->logits_class = out->logits;
        out->logits_dist  = head(t, z, rows, 1, m->head_dist_w, m->head_dist_b);
        out->logits       = op_scale(t, op_add(t, out->logits_class, out->logits_dist), 0.5);
    }
    scope_close_many(t, (Tensor **[]){&out->logits, &out->logits_class, &out->logits_dist, &out->tokens}, 4);
}

static void image_shape(const void *self, int *channels, int *height, int *width, int *classes) {
    const Vit *m = self;
    *channels = m->in_chans;
    *height   = *width = m->img_size;
    *classes  = m->num_classes;
}

static bool adapt(const void *self, const Param *p, int n_dims, const int64_t dim[], const float *data, Real *out) {
    const Vit *m = self;
    return vit_adapt_positions(m->pos_embed, m->n_prefix, p, n_dims, dim, data, out);
}

const ModelKind model_vit = {
    .name = "vit", .paper = "Dosovitskiy et al. 2021, An Image is Worth 16x16 Words; Touvron et al. 2021, DeiT",
    .fields = fields, .presets = presets, .size_bytes = sizeof(Vit), .prepare = prepare, .each_param = each_param,
    .forward = forward, .count = vit_count, .image_shape = image_shape, .adapt = adapt,
};
