/* Pre-norm block (Dosovitskiy et al. 2021, eqs. 2-3), packed token rows (M,D), position embeddings and their resampling
 * by bicubic weights (Keys 1981, a = -0.5) as timm does (vit_parts.h). */
#include "models/vit_parts.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

void vit_norm_params(Params *p, Tensor **w, Tensor **b, int D, int depth, const char *prefix, const char *name) {
    const int64_t dim[] = {D};
    param_add(p, w, (ParamSpec){INIT_ONE, PARAM_PLAIN, depth, 0}, 1, dim, "%s%s.weight", prefix, name);
    param_add(p, b, (ParamSpec){INIT_ZERO, PARAM_PLAIN, depth, 0}, 1, dim, "%s%s.bias", prefix, name);
}

void vit_linear_params(Params *p, Tensor **w, Tensor **b, int out, int in, int depth, const char *prefix, const char *name) {
    param_add(p, w, (ParamSpec){INIT_NORMAL_002, PARAM_DECAYED, depth, 0}, 2, (int64_t[]){out, in}, "%s%s.weight", prefix, name);
    param_add(p, b, (ParamSpec){INIT_ZERO, PARAM_PLAIN, depth, 0}, 1, (int64_t[]){out}, "%s%s.bias", prefix, name);
}

void vit_classifier_params(Params *p, Tensor **w, Tensor **b, int classes, int D, int depth, const char *name) {
    const int before = params_count(p);
    vit_linear_params(p, w, b, classes, D, depth, "", name);
    for (int i = before; i < params_count(p); i++) params_at(p, i)->classifier = true;
}

void vit_block_params(VitBlock *w, Params *p, int D, int F, int depth, const char *prefix) {
    vit_norm_params  (p, &w->norm1_w, &w->norm1_b, D, depth, prefix, "norm1");
    vit_linear_params(p, &w->qkv_w, &w->qkv_b, 3 * D, D, depth, prefix, "attn.qkv");
    vit_linear_params(p, &w->proj_w, &w->proj_b, D, D, depth, prefix, "attn.proj");
    vit_norm_params  (p, &w->norm2_w, &w->norm2_b, D, depth, prefix, "norm2");
    vit_linear_params(p, &w->fc1_w, &w->fc1_b, F, D, depth, prefix, "mlp.fc1");
    vit_linear_params(p, &w->fc2_w, &w->fc2_b, D, F, depth, prefix, "mlp.fc2");
}

/* z + W x + b: fused, unless the branch itself is wanted (trace) or dropped (drop path). */
static Tensor *add_branch(Tape *t, Tensor *z, Tensor *x, Tensor *w, Tensor *b, const TokenRows *rows, int layer, double drop_path,
                          const char *trace_name, const char *trace_part) {
    const bool traced = trace_name != NULL && tape_tracing(t);
    if (!traced && !(tape_step(t).training && drop_path > 0)) return op_linear_onto(t, x, w, b, z);
    Tensor *branch = op_linear(t, x, w, b, ACTIVATION_NONE, NULL);
    if (traced) tape_trace(t, branch, "%s.%s", trace_name, trace_part);
    return op_drop_path(t, z, branch, rows, drop_path, layer);
}

static Tensor *block(Tape *t, const VitBlock *w, Tensor *z, const TokenRows *rows, int n_heads, int layer, double drop_path,
                     const char *trace_name, Tensor *policy, double eps) {
    const double dropout = tape_step(t).dropout;
    scope_open(t, "attn", -1);
    Tensor *x = op_layer_norm(t, z, w->norm1_w, w->norm1_b, VIT_NORM_EPS);
    x = op_linear(t, x, w->qkv_w, w->qkv_b, ACTIVATION_NONE, NULL);
    x = policy == NULL ? op_attention(t, attention_qkv(x, n_heads, rows))
                       : op_policy_attention(t, attention_qkv(x, n_heads, rows), policy, eps);
    z = scope_close(t, add_branch(t, z, x, w->proj_w, w->proj_b, rows, 2 * layer, drop_path, trace_name, "attn"));       /* eq. 2 */

    scope_open(t, "mlp", -1);
    x = op_layer_norm(t, z, w->norm2_w, w->norm2_b, VIT_NORM_EPS);
    x = op_linear(t, x, w->fc1_w, w->fc1_b, ACTIVATION_GELU, NULL);
    x = op_dropout(t, x, rows, dropout, layer);
    return scope_close(t, add_branch(t, z, x, w->fc2_w, w->fc2_b, rows, 2 * layer + 1, drop_path, trace_name, "mlp"));   /* eq. 3 */
}

Tensor *vit_block(Tape *t, const VitBlock *w, Tensor *z, const TokenRows *rows, int n_heads, int layer, double drop_path,
                  const char *trace_name) {
    return block(t, w, z, rows, n_heads, layer, drop_path, trace_name, NULL, 0);
}

Tensor *vit_block_under_policy(Tape *t, const VitBlock *w, Tensor *z, const TokenRows *rows, int n_heads, int layer, double drop_path,
                               Tensor *policy, double eps) {
    return block(t, w, z, rows, n_heads, layer, drop_path, NULL, policy, eps);
}

double vit_drop_path(const Tape *t, int i, int n) { return n > 1 ? tape_step(t).drop_path * i / (n - 1) : 0; }

enum { PATCHES_MAX = 1 << 16 };

bool vit_check_sizes(int img_size, int patch_size, int embed_dim, double mlp_ratio, int *num_heads, int *n_patches, int *mlp_width, Error *err) {
    if (*num_heads == 0) {
        const int width = embed_dim >= 192 ? 64 : 32;
        if (embed_dim % width != 0) return FAIL(err, "/model/num_heads", "must be given: embed_dim %d is no multiple of %d", embed_dim, width);
        *num_heads = embed_dim / width;
    }
    if (img_size % patch_size != 0) return FAIL(err, "/model/patch_size", "must divide img_size %d, got %d", img_size, patch_size);
    if (embed_dim % *num_heads != 0) return FAIL(err, "/model/num_heads", "must divide embed_dim %d, got %d", embed_dim, *num_heads);
    const int side = img_size / patch_size;
    if (side * side > PATCHES_MAX)
        return FAIL(err, "/model/patch_size", "gives %d patches an image, at most %d are allowed", side * side, PATCHES_MAX);
    /* timm cuts the fraction off; a ratio that was computed as F/D (15.0/11) may fall short of F by a rounding */
    *mlp_width = (int)(embed_dim * mlp_ratio + 1e-6);
    if (*mlp_width < 1) return FAIL(err, "/model/mlp_ratio", "gives an MLP of width 0 at embed_dim %d", embed_dim);
    *n_patches = side * side;
    return true;
}

const TokenRows *vit_rows(Tape *tape, int B, int n_prefix, int n_patches, const int64_t *image_id) {
    const int  N      = n_prefix + n_patches;
    TokenRows *rows   = tape_alloc(tape, sizeof *rows);
    int32_t   *offset = tape_alloc(tape, (size_t)(B + 1) * sizeof *offset);
    const bool fits   = (int64_t)B * N <= INT32_MAX;      /* offsets are 32 bits; more rows are as out of memory */
    int32_t   *patch  = tape_alloc(tape, fits ? (size_t)B * (size_t)N * sizeof *patch : SIZE_MAX);
    if (rows == NULL || offset == NULL || patch == NULL) return NULL;
    for (int b = 0; b <= B; b++) offset[b] = b * N;
    for (int b = 0; b < B; b++)
        for (int i = 0; i < N; i++) patch[b * N + i] = i < n_prefix ? -1 - i : i - n_prefix;
    *rows = (TokenRows){.n_images = B, .offset = offset, .patch = patch, .image_id = image_id};
    return rows;
}

const int32_t *vit_token_index(Tape *tape, const TokenRows *rows, int which) {
    int32_t *index = tape_alloc(tape, (size_t)rows->n_images * sizeof *index);
    for (int b = 0; index != NULL && b < rows->n_images; b++) index[b] = rows->offset[b] + which;
    return index;
}

/* Keys' cubic convolution, a = -0.5 (what Pillow and torch's antialiased bicubic use). */
static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
    return 0;
}

/* Weights of the `from` inputs for output cell o of `to`. */
static void resample_weights(int o, int from, int to, double weight[]) {
    const double scale = (double)from / to, widen = scale > 1 ? scale : 1, centre = (o + 0.5) * scale, support = 2 * widen;
    const int    first = (int)fmax(0, trunc(centre - support + 0.5)), end = (int)fmin(from, trunc(centre + support + 0.5));
    double       sum   = 0;
    for (int i = 0; i < from; i++) {
        weight[i] = i >= first && i < end ? cubic((i - centre + 0.5) / widen) : 0;
        sum += weight[i];
    }
    for (int i = 0; i < from; i++) weight[i] /= sum;
}

enum { MAX_GRID = 512 };

void vit_resample_positions(int n_prefix, int from, int to, int D, const float *in, Real *out) {
    CHECK(from >= 1 && to >= 1 && from <= MAX_GRID && to <= MAX_GRID, "position grids of %d and %d cells a side", from, to);
    for (int64_t i = 0; i < (int64_t)n_prefix * D; i++) out[i] = (Real)in[i];
    const float *grid = in + (int64_t)n_prefix * D;
    for (int oy = 0; oy < to; oy++) {
        double wy[MAX_GRID];
        resample_weights(oy, from, to, wy);
        for (int ox = 0; ox < to; ox++) {
            double wx[MAX_GRID];
            resample_weights(ox, from, to, wx);
            Real *cell = out + ((int64_t)n_prefix + (int64_t)oy * to + ox) * D;
            for (int d = 0; d < D; d++) {
                double sum = 0;
                for (int y = 0; y < from; y++) {
                    double row = 0;
                    if (wy[y] == 0) continue;
                    for (int x = 0; x < from; x++)
                        if (wx[x] != 0) row += wx[x] * grid[((int64_t)y * from + x) * D + d];
                    sum += wy[y] * row;
                }
                cell[d] = (Real)sum;
            }
        }
    }
}

bool vit_adapt_positions(const Tensor *pos_embed, int n_prefix, const Param *p, int n_dims, const int64_t dim[], const float *data, Real *out) {
    const int D = (int)pos_embed->dim[2];
    if (p->tensor != pos_embed || n_dims != 3 || dim[0] != 1 || dim[2] != D) return false;
    const int64_t cells = dim[1] - n_prefix;
    const int     from = (int)lround(sqrt((double)cells)), to = (int)lround(sqrt((double)(pos_embed->dim[1] - n_prefix)));
    if (cells < 1 || (int64_t)from * from != cells || from > MAX_GRID || to > MAX_GRID) return false;
    vit_resample_positions(n_prefix, from, to, D, data, out);
    return true;
}
