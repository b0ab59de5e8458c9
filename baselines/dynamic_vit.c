/* DynamicViT (Rao et al. 2021) on DeiT: predictors score the tokens at some blocks, and the lowest leave.
 *
 *   ViT's blocks; before block pruning_loc[k] predictor k reads the patch tokens that are left:
 *     norm, D -> D, GELU; second half of the channels averaged over the image; D -> D/2 -> D/4 -> 2 (keep, drop)
 *   Inference: the trunc(N token_ratio[k]) highest scores stay, the lower patch on ties; the sequence is then the class token
 *   and these in the order of their places. Ranked by the margin keep - drop, which orders as log P(keep) does but is not
 *   rounded to 0 where many are sure.
 *   Training: all tokens stay. Keep or drop is drawn by Gumbel noise, dropped ones are keys to nobody but themselves (policy
 *   attention), and mean_image (mean_j d_j - token_ratio[k])^2 keeps the shares: loss part ratio_loss, the sum over stages,
 *   weighted ratio_weight / stages. Distillation is the trainer's: ModelOutput.tokens are the kept patches after the last norm.
 *
 * Given noise (RouteGiven) is (stages,B,N,2): what is added to keep and drop of each patch; given depth decides who stays.
 * `depth` of a token: the blocks it went through: pruning_loc[k] if dropped at stage k, else all; the class token all.
 *
 * Departures: the original orders what stays by its scores, which changes sums in their last places alone; a stage that would drop all tokens of an image keeps the likeliest (the original divides 0 by 0 then); a score
 * that is not a number ranks last; mean squared distances of tokens are left to the trainer. */
#include "baselines/dynamic_vit.h"

#include "engine/clock.h"
#include "engine/rng.h"
#include "models/select.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const Field fields[] = {
    INT_FIELD (DynamicVit, img_size,    1, 4096,  224, "S, side of the square image in pixels; a multiple of patch_size"),
    INT_FIELD (DynamicVit, patch_size,  1, 512,   16,  "P, side of a patch"),
    INT_FIELD (DynamicVit, in_chans,    1, 64,    3,   "C, channels of the image"),
    INT_FIELD (DynamicVit, embed_dim,   4, 16384, 384, "D, width of a token; a multiple of 4"),
    INT_FIELD (DynamicVit, depth,       1, VIT_MAX_DEPTH, 12, "L, number of blocks"),
    INT_FIELD (DynamicVit, num_heads,   0, 256,   6,   "H, divides embed_dim; 0: embed_dim/64 from 192 up, else embed_dim/32"),
    REAL_FIELD(DynamicVit, mlp_ratio,   0.01, 64, 4,   "F/D, hidden width of the MLP in units of embed_dim"),
    INT_FIELD (DynamicVit, num_classes, 1, 1000000, 1000, "classes"),
    {.key = "pruning_loc", .type = FIELD_INTS, .offset = offsetof(DynamicVit, pruning_loc), .min = 0, .max = VIT_MAX_DEPTH - 1,
     .help = "blocks before which tokens are dropped, counted from 0, increasing; default depth/4, depth/2, 3 depth/4"},
    {.key = "token_ratio", .type = FIELD_REALS, .offset = offsetof(DynamicVit, token_ratio), .min = 0, .max = 1,
     .help = "share of all patches that is left after each stage, not increasing; default 0.7, 0.7^2, ..."},
    REAL_FIELD(DynamicVit, ratio_weight, 0, 1000,  2,    "training: weight of the shares' squared error, averaged over stages"),
    REAL_FIELD(DynamicVit, policy_eps,   0, 1,     1e-6, "training: eps of the masked softmax"),
    FIELDS_END,
};

/* pow(rho, s) in double, as the original computes it: 0.7^2 is not 0.49, and trunc(100 x) tells them apart. */
#define RATIO_9 "[0.9,0.81,0.7290000000000001]"
#define RATIO_8 "[0.8,0.6400000000000001,0.5120000000000001]"
#define RATIO_7 "[0.7,0.48999999999999994,0.3429999999999999]"
#define RATIO_6 "[0.6,0.36,0.21599999999999997]"
#define RATIO_5 "[0.5,0.25,0.125]"

#define OF_TINY  "embed_dim=192 num_heads=3"
#define OF_SMALL "embed_dim=384 num_heads=6"
#define OF_BASE  "embed_dim=768 num_heads=12"
#define DEIT(size, sizes, rho, ratio) \
    {"dynamicvit_deit_" size "_0." rho, "img_size=224 patch_size=16 in_chans=3 depth=12 num_classes=1000 pruning_loc=[3,6,9] " sizes " token_ratio=" ratio, NULL}
#define DEITS(size, sizes) \
    DEIT(size, sizes, "5", RATIO_5), DEIT(size, sizes, "6", RATIO_6), DEIT(size, sizes, "7", RATIO_7), DEIT(size, sizes, "8", RATIO_8), \
    DEIT(size, sizes, "9", RATIO_9)
#define SMALL(rho, ratio, examples_28, examples_32) \
    {"dynamicvit_d{embed_dim}_l{depth}_p{patch_size}_0." rho "_28", "img_size=28 in_chans=1 num_classes=10 num_heads=0 ratio_weight=10 token_ratio=" ratio, examples_28}, \
    {"dynamicvit_d{embed_dim}_l{depth}_p{patch_size}_0." rho "_32", "img_size=32 in_chans=3 num_classes=10 num_heads=0 ratio_weight=10 token_ratio=" ratio, examples_32}

static const Preset presets[] = {
    DEITS("tiny", OF_TINY), DEITS("small", OF_SMALL), DEITS("base", OF_BASE),
    SMALL("5", RATIO_5, "dynamicvit_d96_l6_p4_0.5_28", "dynamicvit_d192_l12_p4_0.5_32"),
    SMALL("6", RATIO_6, "dynamicvit_d96_l6_p4_0.6_28", "dynamicvit_d192_l12_p4_0.6_32"),
    SMALL("7", RATIO_7, "dynamicvit_d96_l6_p4_0.7_28 dynamicvit_d192_l6_p4_0.7_28", "dynamicvit_d192_l12_p4_0.7_32"),
    SMALL("8", RATIO_8, "dynamicvit_d96_l6_p4_0.8_28", "dynamicvit_d192_l12_p4_0.8_32"),
    SMALL("9", RATIO_9, "dynamicvit_d96_l6_p4_0.9_28", "dynamicvit_d192_l12_p4_0.9_32"),
    {NULL, NULL, NULL},
};

/* ---- settings ---- */

static bool prepare_stages(DynamicVit *m, Error *err) {
    const int L = m->depth;
    char      field[48];
    if (m->pruning_loc.n == 0) m->pruning_loc = (IntList){3, {L / 4, L / 2, 3 * L / 4}};
    if (m->token_ratio.n == 0) {
        m->token_ratio.n = m->pruning_loc.n;
        for (int k = 0; k < m->token_ratio.n; k++) m->token_ratio.value[k] = pow(0.7, k + 1);
    }
    if (m->token_ratio.n != m->pruning_loc.n)
        return FAIL(err, "/model/token_ratio", "must have as many entries as pruning_loc, %d, got %d", m->pruning_loc.n, m->token_ratio.n);
    for (int k = 0; k < m->pruning_loc.n; k++) {
        const int at = m->pruning_loc.value[k];
        snprintf(field, sizeof field, "/model/pruning_loc/%d", k);
        if (at >= L) return FAIL(err, field, "must be below depth %d, got %d", L, at);
        if (k > 0 && at <= m->pruning_loc.value[k - 1])
            return FAIL(err, field, "must be above the entry before it, %d, got %d", m->pruning_loc.value[k - 1], at);
        snprintf(field, sizeof field, "/model/token_ratio/%d", k);
        m->kept[k] = (int)(m->n_patches * m->token_ratio.value[k]);
        if (m->kept[k] < 1) return FAIL(err, field, "keeps none of %d patches: %g", m->n_patches, m->token_ratio.value[k]);
        if (k > 0 && m->kept[k] > m->kept[k - 1])
            return FAIL(err, field, "must not be above the entry before it, %g, got %g", m->token_ratio.value[k - 1], m->token_ratio.value[k]);
    }
    return true;
}

static bool prepare(void *self, Error *err) {
    DynamicVit *m = self;
    if (m->embed_dim % 4 != 0) return FAIL(err, "/model/embed_dim", "must be a multiple of 4 for the predictors, got %d", m->embed_dim);
    return vit_check_sizes(m->img_size, m->patch_size, m->embed_dim, m->mlp_ratio, &m->num_heads, &m->n_patches, &m->mlp_width, err) && prepare_stages(m, err);
}

/* ---- weights ---- */

static void each_param(void *self, Params *p) {
    DynamicVit *m = self;
    const int   D = m->embed_dim, P = m->patch_size, last = m->depth + 1;
    char        name[48];
    param_add(p, &m->cls_token, (ParamSpec){INIT_NORMAL_1E6, PARAM_PLAIN, 0, 0}, 3, (int64_t[]){1, 1, D}, "cls_token");
    param_add(p, &m->pos_embed, (ParamSpec){INIT_NORMAL_002, PARAM_PLAIN, 0, 0}, 3, (int64_t[]){1, 1 + m->n_patches, D}, "pos_embed");
    param_add(p, &m->patch_w, (ParamSpec){INIT_CONV_DEFAULT, PARAM_DECAYED, 0, 0}, 4, (int64_t[]){D, m->in_chans, P, P}, "patch_embed.proj.weight");
    param_add(p, &m->patch_b, (ParamSpec){INIT_CONV_DEFAULT, PARAM_PLAIN, 0, m->in_chans * P * P}, 1, (int64_t[]){D}, "patch_embed.proj.bias");
    for (int i = 0; i < m->depth; i++) {
        snprintf(name, sizeof name, "blocks.%d.", i);
        vit_block_params(&m->block[i], p, D, m->mlp_width, i + 1, name);
    }
    vit_norm_params(p, &m->norm_w, &m->norm_b, D, last, "", "norm");
    vit_classifier_params(p, &m->head_w, &m->head_b, m->num_classes, D, last, "head");
    for (int k = 0; k < m->pruning_loc.n; k++) {
        KeepPredictor *w = &m->predictor[k];
        snprintf(name, sizeof name, "score_predictor.%d.", k);
        vit_norm_params  (p, &w->norm_w, &w->norm_b, D, last, name, "in_conv.0");
        vit_linear_params(p, &w->in_w, &w->in_b, D, D, last, name, "in_conv.1");
        vit_linear_params(p, &w->out0_w, &w->out0_b, D / 2, D, last, name, "out_conv.0");
        vit_linear_params(p, &w->out2_w, &w->out2_b, D / 4, D / 2, last, name, "out_conv.2");
        vit_linear_params(p, &w->out4_w, &w->out4_b, 2, D / 4, last, name, "out_conv.4");
    }
}

/* ---- who stays ---- */

/* keep, drop of every row (M,2) before softmax. policy (M,1): the decisions before, NULL: all kept. */
static Tensor *predict(Tape *t, const KeepPredictor *w, Tensor *x, Tensor *policy, const TokenRows *rows) {
    x = op_layer_norm(t, x, w->norm_w, w->norm_b, KEEP_PREDICTOR_EPS);
    x = op_linear(t, x, w->in_w, w->in_b, ACTIVATION_GELU, NULL);
    x = op_pool_half(t, x, policy, rows);
    x = op_linear(t, x, w->out0_w, w->out0_b, ACTIVATION_GELU, NULL);
    x = op_linear(t, x, w->out2_w, w->out2_b, ACTIVATION_GELU, NULL);
    return op_linear(t, x, w->out4_w, w->out4_b, ACTIVATION_NONE, NULL);
}

/* Memory of rows yet to be counted, at most M of B images. */
typedef struct OpenRows { TokenRows rows; int32_t *offset, *patch; } OpenRows;

static OpenRows *open_rows(Tape *t, int B, int64_t M, const int64_t *image_id) {
    OpenRows *r = tape_alloc(t, sizeof *r);
    int32_t  *offset = tape_alloc(t, (size_t)(B + 1) * sizeof *offset), *patch = tape_alloc(t, (size_t)(M + 1) * sizeof *patch);
    if (r == NULL || offset == NULL || patch == NULL) return NULL;
    offset[0] = 0;
    *r = (OpenRows){.rows = {.n_images = B, .offset = offset, .patch = patch, .image_id = image_id}, .offset = offset, .patch = patch};
    return r;
}

/* The state of a forward pass between blocks. */
typedef struct Pass {
    DynamicVit       *m;
    const ModelInput *in;
    int               B, n_stages;
    Tensor           *z;                 /* (M,D) */
    const TokenRows  *rows;              /* class token first */
    int32_t          *depth, *active;    /* (B,1+N), (B,1+stages) */
    Tensor           *policy;            /* training: (B (1+N),1) */
    Tensor           *decision;          /* training: (B N,1) */
    const TokenRows  *patches;           /* training: rows without the class token */
    const int32_t    *patch_index;       /* training: rows of z that are patches */
    Tensor           *ratio_loss;        /* training: sum over stages */
} Pass;

/* keep, drop of the patches, which are rows index[0..n-1] of z, (n,2). policy: the decisions before, NULL: all kept. */
static Tensor *score(Tape *t, const Pass *p, int k, const int32_t *index, int64_t n, Tensor *policy, const TokenRows *patches) {
    scope_open(t, "gather", -1);
    Tensor *x = scope_close(t, op_gather_rows(t, p->z, index, n));
    scope_open(t, "predictor", -1);
    return scope_close(t, predict(t, &p->m->predictor[k], x, policy, patches));
}

/* What a choice among the patches of an image works on. */
typedef struct Choice { Real *margin; int32_t *at, *order; uint8_t *chosen; } Choice;

static bool open_choice(Tape *t, Choice *c, int64_t n) {
    *c = (Choice){tape_alloc(t, (size_t)(n + 1) * sizeof *c->margin), tape_alloc(t, (size_t)(n + 1) * sizeof *c->at),
                  tape_alloc(t, (size_t)(n + 1) * sizeof *c->order), tape_alloc(t, (size_t)(n + 1))};
    return !tape_failed(t);
}

/* Marks the patches of image b that stay at stage k. logits are of the patches alone. */
static void choose(const Pass *p, int k, int b, const Real *logits, const Choice *c) {
    const int first = p->rows->offset[b] + 1, n = p->rows->offset[b + 1] - first, skipped = b + 1;
    if (p->in->given != NULL && p->in->given->depth != NULL) {
        const int32_t *given = p->in->given->depth + (int64_t)b * (1 + p->m->n_patches);
        for (int i = 0; i < n; i++) c->chosen[i] = given[1 + p->rows->patch[first + i]] > p->m->pruning_loc.value[k];
        return;
    }
    for (int i = 0; i < n; i++) {
        c->at[i]     = i;
        c->margin[i] = logits[2 * (first + i - skipped)] - logits[2 * (first + i - skipped) + 1];
    }
    select_best(n, c->margin, c->at, p->m->kept[k], c->chosen, c->order);
}

/* Places of the chosen rows in their image, class token 0 included, when every image keeps as many. */
static void trace_selected(Tape *t, const Pass *p, const OpenRows *next, const int32_t *index, int k) {
    const int64_t M = next->offset[p->B], each = M / p->B;
    if (!tape_tracing(t) || M % p->B != 0) return;
    Tensor *x = tensor_matrix(t, p->B, each);
    for (int b = 0; !tape_failed(t) && b < p->B; b++)
        for (int64_t i = next->offset[b]; i < next->offset[b + 1]; i++) x->data[i] = (Real)(index[i] - p->rows->offset[b]);
    tape_trace(t, x, "selected.%d", k);
}

/* Rows of z that go on after stage k, ascending, packed into next; kept: their places in z. */
static void keep_rows(Tape *t, Pass *p, int k, const Tensor *logits, OpenRows *next, int32_t *kept) {
    const uint64_t began = clock_now_ns();
    Choice         c;
    if (!open_choice(t, &c, p->m->n_patches)) return;
    for (int b = 0; b < p->B; b++) {
        const int32_t first = p->rows->offset[b];
        int32_t      *depth = p->depth + (int64_t)b * (1 + p->m->n_patches) + 1, n = next->offset[b];
        choose(p, k, b, logits->data, &c);
        for (int32_t i = first; i < p->rows->offset[b + 1]; i++) {
            const bool stays = i == first || c.chosen[i - first - 1];
            if (i > first) depth[p->rows->patch[i]] = stays ? p->m->depth : p->m->pruning_loc.value[k];
            if (!stays) continue;
            next->patch[n] = p->rows->patch[i];
            kept[n++]      = i;
        }
        next->offset[b + 1] = n;
        p->active[b * (1 + p->n_stages) + k + 1] = n - next->offset[b];
    }
    tape_count_time(t, "select", began);
    trace_selected(t, p, next, kept, k);
}

/* Inference, stage k: the chosen rows move on, packed. */
static void drop_rows(Tape *t, Pass *p, int k) {
    const int64_t M = token_rows_count(p->rows);
    OpenRows     *next = open_rows(t, p->B, M, p->in->image_id);     /* outlives the scope */
    scope_open(t, "score_predictor", k);
    OpenRows *patches = open_rows(t, p->B, M, p->in->image_id);
    int32_t  *index = tape_alloc(t, (size_t)(M + 1) * sizeof *index), *kept = tape_alloc(t, (size_t)(M + 1) * sizeof *kept), n = 0;
    for (int b = 0; !tape_failed(t) && b < p->B; b++) {
        for (int32_t i = p->rows->offset[b] + 1; i < p->rows->offset[b + 1]; i++) {
            patches->patch[n] = p->rows->patch[i];
            index[n++]        = i;
        }
        patches->offset[b + 1] = n;
    }
    if (!tape_failed(t)) {
        const Tensor *logits = score(t, p, k, index, n, NULL, &patches->rows);
        scope_open(t, "select", -1);
        if (!tape_failed(t)) keep_rows(t, p, k, logits, next, kept);
        scope_close_many(t, NULL, 0);
    }
    if (!tape_failed(t)) {
        scope_open(t, "gather", -1);
        p->z    = scope_close(t, op_gather_rows(t, p->z, kept, next->offset[p->B]));
        p->rows = &next->rows;
    }
    p->z = scope_close(t, p->z);
}

/* Noise of stage k, (B N,2): as given, or Gumbel draws, addressed by step, image, stage, patch and side. */
static const Real *noise_of(Tape *t, const Pass *p, int k) {
    const int64_t n = (int64_t)p->B * p->m->n_patches;
    if (p->in->given != NULL && p->in->given->noise != NULL) return p->in->given->noise + 2 * n * k;
    Real *noise = tape_alloc(t, (size_t)(2 * n + 1) * sizeof *noise);
    const RngStream stream = rng_stream(tape_step(t).seed, "router");
    const TapeStep  step   = tape_step(t);
    if (noise == NULL) return NULL;
#pragma omp parallel for schedule(static) if (n > 4096)
    for (int64_t i = 0; i < 2 * n; i++)
        noise[i] = (Real)rng_gumbel(stream, (RngKey){.step = step.step, .image = p->in->image_id[i / 2 / p->m->n_patches], .layer = k,
                                                     .patch = (int32_t)(i / 2 % p->m->n_patches), .channel = i % 2});
    return noise;
}

/* A tensor (n,1) of ones that wants no gradient. */
static Tensor *ones(Tape *t, int64_t n) {
    Tensor *x = tensor_matrix(t, n, 1);
    for (int64_t i = 0; !tape_failed(t) && i < n; i++) x->data[i] = 1;
    return x;
}

/* Training, stage k: decisions of all patches; dropped ones stay as rows. */
static void decide(Tape *t, Pass *p, int k) {
    const int64_t N = p->m->n_patches, n = p->B * N;
    const bool    given = p->in->given != NULL && p->in->given->depth != NULL;
    scope_open(t, "score_predictor", k);
    Tensor *logits = given ? NULL : score(t, p, k, p->patch_index, n, p->decision, p->patches);
    scope_open(t, "select", -1);
    if (given) {
        p->decision = ones(t, n);
        for (int64_t i = 0; !tape_failed(t) && i < n; i++)
            p->decision->data[i] = p->in->given->depth[i / N * (1 + N) + 1 + i % N] > p->m->pruning_loc.value[k];
    } else {
        p->decision = op_gumbel_keep(t, logits, p->decision, noise_of(t, p, k), p->patches, true);
    }
    scope_close_many(t, (Tensor **[]){&p->decision}, 1);
    scope_open(t, "predictor", -1);
    Tensor *ratio = op_squared_error(t, op_mean_pool(t, p->decision, p->patches, 0), p->m->token_ratio.value[k]);
    p->ratio_loss = p->ratio_loss == NULL ? ratio : op_add(t, p->ratio_loss, ratio);
    scope_close_many(t, (Tensor **[]){&p->ratio_loss}, 1);
    scope_open(t, "select", -1);
    p->policy = op_concat_tokens(t, ones(t, 1), p->decision, p->B);
    for (int64_t i = 0; !tape_failed(t) && i < n; i++) {
        int32_t *depth = &p->depth[i / N * (1 + N) + 1 + i % N];
        if (p->decision->data[i] == 0 && *depth > p->m->pruning_loc.value[k]) *depth = p->m->pruning_loc.value[k];
    }
    p->policy = scope_close(t, p->policy);
    scope_close_many(t, (Tensor **[]){&p->ratio_loss, &p->policy, &p->decision}, 3);
}

/* ---- forward ---- */

static bool begin(Tape *t, Pass *p, bool training) {
    const int64_t N = p->m->n_patches;
    p->rows   = vit_rows(t, p->B, 1, (int)N, p->in->image_id);
    p->depth  = tape_alloc(t, (size_t)(p->B * (1 + N)) * sizeof *p->depth);
    p->active = tape_alloc(t, (size_t)(p->B * (1 + p->n_stages)) * sizeof *p->active);
    if (p->rows == NULL || p->depth == NULL || p->active == NULL) return false;
    for (int64_t i = 0; i < p->B * (1 + N); i++) p->depth[i] = p->m->depth;
    for (int b = 0; b < p->B; b++) p->active[b * (1 + p->n_stages)] = (int32_t)(1 + N);
    if (!training) return true;
    int32_t *index = tape_alloc(t, (size_t)(p->B * N) * sizeof *index);
    p->patches     = vit_rows(t, p->B, 0, (int)N, p->in->image_id);
    p->patch_index = index;
    p->decision    = ones(t, p->B * N);
    p->policy      = ones(t, p->B * (1 + N));
    if (index == NULL || p->patches == NULL || tape_failed(t)) return false;
    for (int64_t i = 0; i < p->B * N; i++) index[i] = (int32_t)(i / N * (1 + N) + 1 + i % N);
    return true;
}

/* The patches that are left, after the last norm z, with the places they came from. */
static void put_tokens(Tape *t, const Pass *p, Tensor *z, OpenRows *left, ModelOutput *out) {
    const int64_t M = token_rows_count(p->rows), N = p->m->n_patches;
    int32_t      *index = tape_alloc(t, (size_t)(M + 1) * sizeof *index), n = 0;
    if (left == NULL || index == NULL) return;
    for (int b = 0; b < p->B; b++) {
        for (int32_t i = p->rows->offset[b] + 1; i < p->rows->offset[b + 1]; i++) {
            if (p->depth[b * (1 + N) + 1 + p->rows->patch[i]] < p->m->depth) continue;
            left->patch[n] = p->rows->patch[i];
            index[n++]     = i;
        }
        left->offset[b + 1] = n;
    }
    out->tokens = op_gather_rows(t, z, index, n);
    out->rows   = &left->rows;
}

static void forward(void *self, Tape *t, const ModelInput *in, ModelOutput *out) {
    DynamicVit *m        = self;
    const bool  training = tape_step(t).training;
    Pass        p        = {.m = m, .in = in, .B = (int)in->images->dim[0], .n_stages = m->pruning_loc.n};
    *out = (ModelOutput){.n_tokens = 1 + m->n_patches, .n_prefix = 1, .max_depth = m->depth, .n_steps = training ? 0 : 1 + p.n_stages};
    if (!begin(t, &p, training)) {                       /* out of memory: the tape is marked, the shapes still hold */
        out->logits = tensor_matrix(t, p.B, m->num_classes);
        return;
    }
    out->depth  = p.depth;
    out->active = training ? NULL : p.active;

    scope_open(t, "patch_embed", -1);
    p.z = op_concat_tokens(t, m->cls_token, op_patch_embed(t, in->images, m->patch_w, m->patch_b), p.B);
    p.z = scope_close(t, op_add_tiled(t, p.z, m->pos_embed));
    for (int i = 0, k = 0; i < m->depth; i++) {
        if (k < p.n_stages && m->pruning_loc.value[k] == i) {
            if (training) decide(t, &p, k);
            else          drop_rows(t, &p, k);
            k++;
        }
        char name[32];
        snprintf(name, sizeof name, "blocks.%d", i);
        scope_open(t, "blocks", i);
        p.z = scope_close(t, training ? vit_block_under_policy(t, &m->block[i], p.z, p.rows, m->num_heads, i, vit_drop_path(t, i, m->depth), p.policy, m->policy_eps)
                                      : vit_block(t, &m->block[i], p.z, p.rows, m->num_heads, i, 0, name));
        tape_trace(t, p.z, "%s", name);
    }
    OpenRows *left = in->want_tokens ? open_rows(t, p.B, token_rows_count(p.rows), in->image_id) : NULL;      /* outlives the scope */
    scope_open(t, "head", -1);
    Tensor *z = op_layer_norm(t, p.z, m->norm_w, m->norm_b, VIT_NORM_EPS);
    if (in->want_tokens) put_tokens(t, &p, z, left, out);
    const int32_t *first = vit_token_index(t, p.rows, 0);
    out->logits = op_linear(t, op_gather_rows(t, z, first, p.B), m->head_w, m->head_b, ACTIVATION_NONE, NULL);
    if (training && p.ratio_loss != NULL) {
        const double weight = m->ratio_weight / p.n_stages;
        out->loss_part[out->n_loss_parts++] = (LossPart){"ratio_loss", p.ratio_loss, weight};
        out->auxiliary_loss = op_scale(t, p.ratio_loss, weight);
    }
    scope_close_many(t, (Tensor **[]){&out->logits, &out->tokens, &out->auxiliary_loss}, 3);
}

/* ---- the rest of a kind ---- */

static void image_shape(const void *self, int *channels, int *height, int *width, int *classes) {
    const DynamicVit *m = self;
    *channels = m->in_chans;
    *height   = *width = m->img_size;
    *classes  = m->num_classes;
}

static ModelTraits traits(const void *self) {
    (void)self;
    return (ModelTraits){.routed = true};
}

static bool adapt(const void *self, const Param *p, int n_dims, const int64_t dim[], const float *data, Real *out) {
    const DynamicVit *m = self;
    return vit_adapt_positions(m->pos_embed, 1, p, n_dims, dim, data, out);
}

/* Rule "backbone": everything but the predictors from a vit of the same sizes, as the authors start from a trained DeiT. */
static bool init_from(void *self, const Model *source, const char *rule, Error *err) {
    DynamicVit *m = self;
    if (strcmp(rule, "backbone") != 0) return FAIL(err, "", "unknown rule \"%.40s\"; known for dynamic_vit: backbone", rule);
    if (strcmp(source->kind->name, "vit") != 0) return FAIL(err, "", "rule backbone takes a vit, got a %s", source->kind->name);
    const Vit *v = source->self;
    if (v->distilled) return FAIL(err, "", "rule backbone takes a vit without a distillation token");
    if (v->depth != m->depth || v->num_heads != m->num_heads)
        return FAIL(err, "", "rule backbone takes a vit of depth %d and %d heads, got %d and %d", m->depth, m->num_heads, v->depth, v->num_heads);
    const struct { Tensor *to; const char *name; } whole[] = {
        {m->cls_token, "cls_token"}, {m->pos_embed, "pos_embed"}, {m->patch_w, "patch_embed.proj.weight"}, {m->patch_b, "patch_embed.proj.bias"},
        {m->norm_w, "norm.weight"}, {m->norm_b, "norm.bias"}, {m->head_w, "head.weight"}, {m->head_b, "head.bias"}};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!vit_take(whole[i].to, source, 1, false, whole[i].name, err)) return false;
    for (int i = 0; i < m->depth; i++)
        if (!vit_take_block(&m->block[i], source, i, 1, false, err)) return false;
    return true;
}

const ModelKind model_dynamic_vit = {
    .name = "dynamic_vit", .paper = "Rao et al. 2021, DynamicViT: Efficient Vision Transformers with Dynamic Token Sparsification",
    .fields = fields, .presets = presets, .size_bytes = sizeof(DynamicVit), .prepare = prepare, .each_param = each_param,
    .forward = forward, .count = dynamic_vit_count, .image_shape = image_shape, .traits = traits, .init_from = init_from, .adapt = adapt,
};
