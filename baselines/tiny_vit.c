/* TinyViT (Wu et al. 2022), in timm's form: convolutions first, attention in windows afterwards.
 *
 *   images (B,C,S,S) -> two convolutions of stride 2 -> stage 0: MBConv blocks -> stages 1..3: patch merging, then blocks of
 *   window attention, a depthwise convolution and an MLP -> mean of all pixels -> layer norm -> head -> logits (B,classes)
 *
 * A map is packed rows in NHWC. A window is a gather of rows in which index -1 makes a row of zeros; padding comes before the
 * norm and is not masked, so padded cells are keys like any other. Rows of head h of qkv are its q, k and v, one after the other.
 * Tensor names are timm's; the official ones load as well (known_as), where the merging belongs to the stage before it. */
#include "baselines/tiny_vit.h"
#include "models/vit_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LIST_FIELD(member, low, high, text) \
    {.key = #member, .type = FIELD_INTS, .offset = offsetof(TinyVit, member), .min = low, .max = high, .help = text}

static const Field fields[] = {
    INT_FIELD (TinyVit, img_size,    1, 4096, 224, "S, side of the square image in pixels"),
    INT_FIELD (TinyVit, in_chans,    1, 64,   3,   "channels of the image"),
    LIST_FIELD(embed_dims,           2, 16384,     "C of the four stages; one number d stands for d, 2d, 3d, 4d; default 64, 128, 160, 320"),
    LIST_FIELD(depths,               1, TINY_MAX_DEPTH, "blocks of the four stages; default 2, 2, 6, 2"),
    LIST_FIELD(num_heads,            1, 1024,      "heads of the four stages, dividing embed_dims; the first is unused; default embed_dims/32"),
    LIST_FIELD(window_sizes,         1, 256,       "side of a window in cells, of the four stages; the first is unused; default 7, 7, 14, 7, "
                                                   "or the whole map where it is smaller"),
    REAL_FIELD(TinyVit, mlp_ratio,           0.01, 64, 4, "hidden width of the MLP in units of the stage's width"),
    REAL_FIELD(TinyVit, mbconv_expand_ratio, 0.01, 64, 4, "middle width of MBConv in units of the first stage's width"),
    INT_FIELD (TinyVit, num_classes, 1, 1000000, 1000, "classes"),
    FIELDS_END,
};

#define OF_5M  "embed_dims=[64,128,160,320] num_heads=[2,4,5,10] num_classes=1000"
#define OF_11M "embed_dims=[64,128,256,448] num_heads=[2,4,8,14] num_classes=1000"
#define OF_21M "embed_dims=[96,192,384,576] num_heads=[3,6,12,18] num_classes=1000"

static const Preset presets[] = {
    {"tiny_vit_5m_224",  "img_size=224 window_sizes=[7,7,14,7] " OF_5M, NULL},
    {"tiny_vit_11m_224", "img_size=224 window_sizes=[7,7,14,7] " OF_11M, NULL},
    {"tiny_vit_21m_224", "img_size=224 window_sizes=[7,7,14,7] " OF_21M, NULL},
    {"tiny_vit_21m_384", "img_size=384 window_sizes=[12,12,24,12] " OF_21M, NULL},
    {"tiny_vit_21m_512", "img_size=512 window_sizes=[16,16,32,16] " OF_21M, NULL},
    {"tiny_vit_d{embed_dims}_28", "img_size=28 in_chans=1 num_classes=10", "tiny_vit_d32_28 tiny_vit_d64_28"},
    {"tiny_vit_d{embed_dims}_32", "img_size=32 in_chans=3 num_classes=10", "tiny_vit_d32_32 tiny_vit_d64_32"},
    {NULL, NULL, NULL},
};

/* ---- settings ---- */

static bool four(IntList *list, const char *key, const int fallback[TINY_STAGES], Error *err) {
    char field[48];
    if (list->n == 0) {
        list->n = TINY_STAGES;
        memcpy(list->value, fallback, TINY_STAGES * sizeof fallback[0]);
    }
    snprintf(field, sizeof field, "/model/%s", key);
    return list->n == TINY_STAGES || FAIL(err, field, "must have 4 entries, one a stage, got %d", list->n);
}

static bool check_stage(const TinyVit *m, int s, Error *err) {
    const int C = m->embed_dims.value[s], heads = m->num_heads.value[s];
    char      field[48];
    if (s == 0) {
        if (C % 2 != 0) return FAIL(err, "/model/embed_dims/0", "must be even, got %d", C);
        if (tiny_expanded(m) < 1) return FAIL(err, "/model/mbconv_expand_ratio", "gives a width of 0 at embed_dims %d", C);
        return true;
    }
    snprintf(field, sizeof field, "/model/num_heads/%d", s);
    if (C % heads != 0) return FAIL(err, field, "must divide embed_dims %d, got %d", C, heads);
    if (tiny_mlp_width(m, s) < 1) return FAIL(err, "/model/mlp_ratio", "gives an MLP of width 0 at embed_dims %d", C);
    return true;
}

static bool prepare(void *self, Error *err) {
    TinyVit  *m    = self;
    MapShape  map  = {1, m->img_size, m->img_size};
    const int base = m->embed_dims.n == 1 ? m->embed_dims.value[0] : 0;
    int       heads[TINY_STAGES], window[TINY_STAGES] = {7, 7, 14, 7};
    if (base > 16384 / 4) return FAIL(err, "/model/embed_dims", "one number is at most %d, got %d", 16384 / 4, base);
    if (base > 0) m->embed_dims = (IntList){TINY_STAGES, {base, 2 * base, 3 * base, 4 * base}};
    if (!four(&m->embed_dims, "embed_dims", (const int[]){64, 128, 160, 320}, err)) return false;
    map = map_after(map_after(map, 2), 2);
    for (int s = 0; s < TINY_STAGES; s++) {
        if (s > 0) map = map_after(map, 2);
        m->side[s] = (int)map.height;
        heads[s]   = m->embed_dims.value[s] % 32 == 0 ? m->embed_dims.value[s] / 32 : 1;
        if (window[s] > m->side[s]) window[s] = m->side[s];
    }
    if (!four(&m->depths, "depths", (const int[]){2, 2, 6, 2}, err) || !four(&m->num_heads, "num_heads", heads, err)
        || !four(&m->window_sizes, "window_sizes", window, err))
        return false;
    m->n_blocks = 0;
    for (int s = 0; s < TINY_STAGES; s++) {
        if (!check_stage(m, s, err)) return false;
        m->n_blocks += m->depths.value[s];
    }
    return true;
}

/* ---- weights ---- */

static void unit_params(ConvBn *u, Params *p, ConvForm form, int stride, int in, int out, Init gain, int depth, const char *prefix,
                        const char *name) {
    char whole[64];
    snprintf(whole, sizeof whole, "%s%s", prefix, name);
    conv_bn_params(u, p, form, stride, in, out, gain, depth, whole);
}

static void block_params(TinyBlock *w, const TinyVit *m, Params *p, int s, int depth, const char *prefix) {
    const int C = m->embed_dims.value[s], F = tiny_mlp_width(m, s), side = m->window_sizes.value[s], cells = side * side;
    param_add(p, &w->bias_table, (ParamSpec){INIT_ZERO, PARAM_PLAIN, depth, 0}, 2, (int64_t[]){m->num_heads.value[s], (int64_t)side * side},
              "%sattn.attention_biases", prefix);
    w->bias      = cells <= TINY_KEPT_CELLS ? param_derived(p, 3, (int64_t[]){m->num_heads.value[s], cells, cells}) : NULL;
    w->bias_from = 0;
    vit_norm_params  (p, &w->norm_w, &w->norm_b, C, depth, prefix, "attn.norm");
    vit_linear_params(p, &w->qkv_w, &w->qkv_b, 3 * C, C, depth, prefix, "attn.qkv");
    vit_linear_params(p, &w->proj_w, &w->proj_b, C, C, depth, prefix, "attn.proj");
    vit_norm_params  (p, &w->mlp_norm_w, &w->mlp_norm_b, C, depth, prefix, "mlp.norm");
    vit_linear_params(p, &w->fc1_w, &w->fc1_b, F, C, depth, prefix, "mlp.fc1");
    vit_linear_params(p, &w->fc2_w, &w->fc2_b, C, F, depth, prefix, "mlp.fc2");
    unit_params  (&w->local_conv, p, CONV_DEPTHWISE, 1, C, C, INIT_ONE, depth, prefix, "local_conv");
}

/* depth: 0 the patch embedding, i+1 block i of all stages, a merging that of the block before it, then the head. Layer-wise rates know
 * blocks alone: the patch embedding has the first one's, norm and head the last one's. */
static void each_param(void *self, Params *p) {
    TinyVit *m = self;
    const int C0 = m->embed_dims.value[0], E = tiny_expanded(m), last = m->embed_dims.value[TINY_STAGES - 1];
    int       depth = 0;
    char      prefix[48];
    conv_bn_params(&m->conv1, p, CONV_FULL, 2, m->in_chans, C0 / 2, INIT_ONE, 0, "patch_embed.conv1");
    conv_bn_params(&m->conv2, p, CONV_FULL, 2, C0 / 2, C0, INIT_ONE, 0, "patch_embed.conv2");
    const int stem = params_count(p);
    for (int s = 0; s < TINY_STAGES; s++) {
        if (s > 0) {
            const int in = m->embed_dims.value[s - 1], out = m->embed_dims.value[s];
            snprintf(prefix, sizeof prefix, "stages.%d.downsample.", s);
            unit_params(&m->merge[s].conv1, p, CONV_POINT, 1, in, out, INIT_ONE, depth, prefix, "conv1");
            unit_params(&m->merge[s].conv2, p, CONV_DEPTHWISE, 2, out, out, INIT_ONE, depth, prefix, "conv2");
            unit_params(&m->merge[s].conv3, p, CONV_POINT, 1, out, out, INIT_ONE, depth, prefix, "conv3");
        }
        for (int i = 0; i < m->depths.value[s]; i++) {
            snprintf(prefix, sizeof prefix, "stages.%d.blocks.%d.", s, i);
            depth++;
            if (s > 0) {
                block_params(&m->block[s][i], m, p, s, depth, prefix);
                continue;
            }
            unit_params(&m->mbconv[i].conv1, p, CONV_POINT, 1, C0, E, INIT_ONE, depth, prefix, "conv1");
            unit_params(&m->mbconv[i].conv2, p, CONV_DEPTHWISE, 1, E, E, INIT_ONE, depth, prefix, "conv2");
            unit_params(&m->mbconv[i].conv3, p, CONV_POINT, 1, E, C0, INIT_ZERO, depth, prefix, "conv3");
        }
    }
    const int head = params_count(p);
    vit_norm_params(p, &m->norm_w, &m->norm_b, last, depth + 1, "head.", "norm");
    vit_classifier_params(p, &m->head_w, &m->head_b, m->num_classes, last, depth + 1, "head.fc");
    for (int i = 0; i < params_count(p); i++)
        if (i < stem || i >= head) params_at(p, i)->rate_shift = i < stem ? 1 : -1;
}

/* The official name of timm's: "layers.0.downsample.conv1.c.weight" of "stages.1.downsample.conv1.conv.weight". */
static bool known_as(const char *name, char other[PARAM_NAME_MAX]) {
    static const char *const start[][2] = {{"patch_embed.conv1.", "patch_embed.seq.0."}, {"patch_embed.conv2.", "patch_embed.seq.2."},
                                           {"head.norm.", "norm_head."}, {"head.fc.", "head."}};
    char renamed[PARAM_NAME_MAX];
    int  stage, used = 0;
    if (sscanf(name, "stages.%d.downsample.%n", &stage, &used) == 1 && used > 0)
        snprintf(renamed, sizeof renamed, "layers.%d.downsample.%s", stage - 1, name + used);
    else if (sscanf(name, "stages.%d.%n", &stage, &used) == 1 && used > 0)
        snprintf(renamed, sizeof renamed, "layers.%d.%s", stage, name + used);
    else {
        size_t i = 0;
        while (i < sizeof start / sizeof *start && strncmp(name, start[i][0], strlen(start[i][0])) != 0) i++;
        if (i == sizeof start / sizeof *start) return false;
        snprintf(renamed, sizeof renamed, "%s%s", start[i][1], name + strlen(start[i][0]));
    }
    static const char timms[] = ".conv.weight";
    const size_t n = strlen(renamed), m = sizeof timms - 1;
    if (n > m && strcmp(renamed + n - m, timms) == 0) snprintf(renamed + n - m, sizeof renamed - (n - m), ".c.weight");
    snprintf(other, PARAM_NAME_MAX, "%s", renamed);
    return true;
}

/* ---- forward ---- */

/* For traces: a map as (B,C,H,W), or with channels_last (B,H,W,C). */
static void trace_map(Tape *t, const Tensor *x, MapShape map, bool channels_last, const char *name) {
    const int64_t C = x->dim[1], n = map.height * map.width;
    if (!tape_tracing(t) || tape_failed(t)) return;
    Tensor *y = tensor_new(t, 4, channels_last ? (int64_t[]){map.B, map.height, map.width, C} : (int64_t[]){map.B, C, map.height, map.width});
    for (int64_t b = 0; !tape_failed(t) && b < map.B; b++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t c = 0; c < C; c++) y->data[channels_last ? (b * n + i) * C + c : (b * C + c) * n + i] = x->data[(b * n + i) * C + c];
    tape_trace(t, y, "%s", name);
}

/* Section 3.1: 1x1, depthwise, 1x1, and the GELU after the sum. */
static Tensor *mbconv(Tape *t, TinyMbConv *w, Tensor *z, MapShape map, const TokenRows *images, int layer, double drop_path) {
    Tensor *x = conv_bn(t, &w->conv1, z, &map, ACTIVATION_GELU);
    x = conv_bn(t, &w->conv2, x, &map, ACTIVATION_GELU);
    return op_gelu(t, conv_bn_add(t, &w->conv3, x, map, z, images, layer, drop_path));
}

static Tensor *merge(Tape *t, TinyMerge *w, Tensor *x, MapShape *map) {
    x = conv_bn(t, &w->conv1, x, map, ACTIVATION_GELU);
    x = conv_bn(t, &w->conv2, x, map, ACTIVATION_GELU);
    return conv_bn(t, &w->conv3, x, map, ACTIVATION_NONE);
}

/* How a map is cut into windows; nothing to do where one window is the map. */
typedef struct Windows {
    int              side;               /* of a window */
    bool             whole;
    const TokenRows *rows;               /* of all windows, side^2 each */
    const int32_t   *to, *from;          /* row of the map in each cell, -1 on padding; cell of each row of the map */
} Windows;

static bool cut_windows(Tape *t, const TinyVit *m, int s, MapShape map, Windows *w) {
    const int side = m->window_sizes.value[s], a_side = tiny_windows(m, s), cells = side * side, S = m->side[s];
    *w = (Windows){.side = side, .whole = S == side, .rows = vit_rows(t, (int)map.B * a_side * a_side, 0, cells, NULL)};
    if (w->whole || w->rows == NULL) return w->rows != NULL;
    int32_t *to = tape_alloc(t, (size_t)token_rows_count(w->rows) * sizeof *to), *from = tape_alloc(t, (size_t)(map.B * S * S) * sizeof *from);
    if (to == NULL || from == NULL) return false;
    for (int32_t at = 0; at < token_rows_count(w->rows); at++) {
        const int window = at / cells, b = window / (a_side * a_side), y = window / a_side % a_side * side + at % cells / side,
                  x = window % a_side * side + at % side;
        to[at] = y < S && x < S ? (b * S + y) * S + x : -1;
        if (to[at] >= 0) from[to[at]] = at;
    }
    w->to   = to;
    w->from = from;
    return true;
}

/* The bias of every pair of cells (heads,n,n). At inference it is made once for each version of its table. */
static Tensor *bias_of(Tape *t, TinyBlock *w, int side) {
    if (w->bias == NULL || tape_recording(t) || tape_step(t).training) return op_window_bias(t, w->bias_table, side);
    if (w->bias_from != w->bias_table->version) tape_backend(t)->window_bias(w->bias_table->dim[0], side, w->bias_table->data, w->bias->data);
    w->bias_from = w->bias_table->version;
    return w->bias;
}

/* z + attention in windows, section 3.1; the norm comes after the padding. */
static Tensor *window_attention(Tape *t, TinyBlock *w, Tensor *z, const Windows *windows, int n_heads, const TokenRows *images, int layer,
                                double drop_path) {
    const int E = (int)z->dim[1] / n_heads;
    Tensor   *x = windows->whole ? z : op_gather_rows(t, z, windows->to, token_rows_count(windows->rows));
    x = op_layer_norm(t, x, w->norm_w, w->norm_b, TINY_NORM_EPS);
    x = op_linear(t, x, w->qkv_w, w->qkv_b, ACTIVATION_NONE, NULL);
    x = op_attention(t, (AttentionInput){.q = {x, 0, 3 * E}, .k = {x, E, 3 * E}, .v = {x, 2 * E, 3 * E}, .n_heads = n_heads, .qk_width = E,
                                         .v_width = E, .scale = 1 / sqrt((double)E), .query_rows = windows->rows, .key_rows = windows->rows,
                                         .bias = bias_of(t, w, windows->side)});
    if (windows->whole && !(tape_step(t).training && drop_path > 0)) return op_linear_onto(t, x, w->proj_w, w->proj_b, z);
    x = op_linear(t, x, w->proj_w, w->proj_b, ACTIVATION_NONE, NULL);
    if (!windows->whole) x = op_gather_rows(t, x, windows->from, z->dim[0]);
    return op_drop_path(t, z, x, images, drop_path, layer);
}

static Tensor *block(Tape *t, TinyBlock *w, Tensor *z, MapShape map, const Windows *windows, int n_heads, const TokenRows *images, int layer,
                     double drop_path) {
    scope_open(t, "attn", -1);
    z = scope_close(t, window_attention(t, w, z, windows, n_heads, images, 2 * layer, drop_path));
    scope_open(t, "local_conv", -1);
    z = scope_close(t, conv_bn(t, &w->local_conv, z, &map, ACTIVATION_NONE));
    scope_open(t, "mlp", -1);
    Tensor *x = op_layer_norm(t, z, w->mlp_norm_w, w->mlp_norm_b, TINY_NORM_EPS);
    x = op_linear(t, x, w->fc1_w, w->fc1_b, ACTIVATION_GELU, NULL);
    x = op_dropout(t, x, images, tape_step(t).dropout, layer);
    if (tape_step(t).training && drop_path > 0) {
        x = op_linear(t, x, w->fc2_w, w->fc2_b, ACTIVATION_NONE, NULL);
        return scope_close(t, op_drop_path(t, z, x, images, drop_path, 2 * layer + 1));
    }
    return scope_close(t, op_linear_onto(t, x, w->fc2_w, w->fc2_b, z));
}

/* Stage s: merging and blocks. *first counts blocks of all stages. */
static Tensor *stage(Tape *t, TinyVit *m, int s, Tensor *z, MapShape *map, const int64_t *image_id, int *first) {
    char name[48];
    scope_open(t, "stages", s);
    if (s > 0) {
        scope_open(t, "downsample", -1);
        z = scope_close(t, merge(t, &m->merge[s], z, map));
    }
    const TokenRows *images = vit_rows(t, (int)map->B, 0, (int)(map->height * map->width), image_id);
    Windows          windows = {0};
    const bool       ready = images != NULL && (s == 0 || cut_windows(t, m, s, *map, &windows));
    for (int i = 0; ready && i < m->depths.value[s]; i++, (*first)++) {
        const double rate = vit_drop_path(t, *first, m->n_blocks);
        scope_open(t, "blocks", i);
        z = scope_close(t, s == 0 ? mbconv(t, &m->mbconv[i], z, *map, images, 2 * *first, rate)
                                  : block(t, &m->block[s][i], z, *map, &windows, m->num_heads.value[s], images, *first, rate));
        snprintf(name, sizeof name, "stages.%d.blocks.%d", s, i);
        trace_map(t, z, *map, s > 0, name);
    }
    snprintf(name, sizeof name, "stages.%d", s);
    trace_map(t, z, *map, false, name);
    return scope_close(t, z);
}

static void forward(void *self, Tape *t, const ModelInput *in, ModelOutput *out) {
    TinyVit  *m   = self;
    const int B   = (int)in->images->dim[0];
    MapShape  map = {B, m->img_size, m->img_size};
    int       first = 0;
    *out = (ModelOutput){.n_tokens = m->side[TINY_STAGES - 1] * m->side[TINY_STAGES - 1], .max_depth = m->n_blocks};

    scope_open(t, "patch_embed", -1);
    Tensor *z = conv_bn(t, &m->conv1, in->images, &map, ACTIVATION_GELU);
    z = scope_close(t, conv_bn(t, &m->conv2, z, &map, ACTIVATION_NONE));
    trace_map(t, z, map, false, "patch_embed");
    for (int s = 0; s < TINY_STAGES; s++) z = stage(t, m, s, z, &map, in->image_id, &first);

    scope_open(t, "head", -1);
    const TokenRows *rows = vit_rows(t, B, 0, out->n_tokens, in->image_id);
    if (rows == NULL) {                                  /* out of memory: the tape is marked, the shapes still hold */
        out->logits = tensor_matrix(t, B, m->num_classes);
        return;
    }
    z = op_mean_pool(t, z, rows, 0);
    z = op_layer_norm(t, z, m->norm_w, m->norm_b, TINY_NORM_EPS);
    out->logits = scope_close(t, op_linear(t, z, m->head_w, m->head_b, ACTIVATION_NONE, NULL));
}

static void each_unit(TinyVit *m, void (*visit)(ConvBn *, int), int index) {
    visit(&m->conv1, index);
    visit(&m->conv2, index);
    for (int i = 0; i < m->depths.value[0]; i++) {
        visit(&m->mbconv[i].conv1, index);
        visit(&m->mbconv[i].conv2, index);
        visit(&m->mbconv[i].conv3, index);
    }
    for (int s = 1; s < TINY_STAGES; s++) {
        visit(&m->merge[s].conv1, index);
        visit(&m->merge[s].conv2, index);
        visit(&m->merge[s].conv3, index);
        for (int i = 0; i < m->depths.value[s]; i++) visit(&m->block[s][i].local_conv, index);
    }
}

static void after_pass(void *self, int index) { each_unit(self, conv_bn_after_pass, index); }

static void take(ConvBn *u, int index) {
    (void)index;
    conv_bn_after_step(u);
}

static void after_step(void *self) { each_unit(self, take, 0); }

static void image_shape(const void *self, int *channels, int *height, int *width, int *classes) {
    const TinyVit *m = self;
    *channels = m->in_chans;
    *height   = *width = m->img_size;
    *classes  = m->num_classes;
}

/* A bias table of another window is resampled, each head as an image of side x side; nothing else can be. */
static bool adapt(const void *self, const Param *p, int n_dims, const int64_t dim[], const float *data, Real *out) {
    const TinyVit *m = self;
    for (int s = 1; s < TINY_STAGES; s++)
        for (int i = 0; i < m->depths.value[s]; i++) {
            const int heads = m->num_heads.value[s], to = m->window_sizes.value[s];
            if (p->tensor != m->block[s][i].bias_table) continue;
            if (n_dims != 2 || dim[0] != heads) return false;
            const int from = (int)lround(sqrt((double)dim[1]));
            if ((int64_t)from * from != dim[1] || from < 1 || from > 512) return false;
            for (int h = 0; h < heads; h++) vit_resample_positions(0, from, to, 1, data + h * dim[1], out + (int64_t)h * to * to);
            return true;
        }
    return false;
}

const ModelKind model_tiny_vit = {
    .name = "tiny_vit", .paper = "Wu et al. 2022, TinyViT: Fast Pretraining Distillation for Small Vision Transformers",
    .fields = fields, .presets = presets, .size_bytes = sizeof(TinyVit), .prepare = prepare, .each_param = each_param,
    .forward = forward, .count = tiny_vit_count, .image_shape = image_shape, .after_pass = after_pass, .after_step = after_step, .adapt = adapt, .known_as = known_as,
};
