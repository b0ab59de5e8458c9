/* ViT and DeiT: their sizes to the unit, their settings, and what must hold of any forward pass: each image on its own, patches in
 * any order with their positions, both heads of a distilled pair, drop path. (Answers of the official code: tests/test_parity.c.) */
#include "baselines/registry.h"
#include "baselines/vit.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static Model *built(const char *settings, Error *err) {
    Model *m = NULL;
    assert_true(model_new(&m, &model_vit, err));
    if (fields_set_from_text(model_vit.fields, m->self, settings, "/model", err) && model_build(m, err)) return m;
    model_destroy(m);
    return NULL;
}

/* Weights large enough that attention is far from uniform and every part matters. */
static Model *vit_of(const char *settings) {
    Error  err = {0};
    Model *m   = built(settings, &err);
    if (m == NULL) fail_msg("%s: %s %s", settings, err.field, err.message);
    params_init(m->params, 5);
    for (int i = 0; i < params_count(m->params); i++) {
        Tensor *t = params_at(m->params, i)->tensor;
        for (int64_t k = 0; k < tensor_count(t); k++) t->data[k] += (Real)(0.3 * sin(1.0 + 1.7 * (double)k + 3.1 * i));
    }
    params_touch(m->params);
    return m;
}

#define SMALL "img_size=12 patch_size=4 in_chans=2 embed_dim=16 depth=3 num_heads=2 num_classes=5 mlp_ratio=2"

static Tape *new_tape(const Backend *backend) {
    Tape *tape = NULL;
    Error err  = {0};
    assert_true(tape_create(&tape, backend, &err));
    return tape;
}

enum { IMAGE = 2 * 12 * 12, CLASSES = 5, MOST_IMAGES = 6 };

static void draw_images(float *images, int B) {
    for (int i = 0; i < B * IMAGE; i++) images[i] = (float)(sin(0.37 * i) + cos(0.011 * i * (i % 7)));
}

/* Logits (B,classes) of images (B,C,H,W) with ids. */
static void logits_of(const Model *m, Tape *tape, TapeStep step, bool recording, int B, const float *images, const int64_t *ids, Real *logits) {
    tape_begin(tape, recording, step);
    Tensor     *x = tensor_new(tape, 4, (int64_t[]){B, 2, 12, 12});
    ModelOutput y;
    for (int i = 0; i < B * IMAGE; i++) x->data[i] = images[i];
    m->kind->forward(m->self, tape, &(ModelInput){.images = x, .image_id = ids}, &y);
    assert_false(tape_failed(tape));
    assert_int_equal(tensor_count(y.logits), B * CLASSES);
    memcpy(logits, y.logits->data, (size_t)(B * CLASSES) * sizeof *logits);
}

static double largest_gap(const Real *a, const Real *b, int n) {
    double worst = 0;
    for (int i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
    }
    return worst;
}

static const int64_t ids[MOST_IMAGES] = {40, 11, 12, 13, 99, 15};

/* ---- sizes ---- */

/* By hand from the published sizes (1000 classes); timm's tables print these numbers rounded: params, products, the products of
 * attention among them, elements of layer norms, outputs of products (0: not given). */
static const struct Size { const char *name; int64_t params, macs, macs_attention, layer_norm_5, macs_fvcore, macs_fvcore_sdpa, activations; } sizes[] = {
    {"vit_tiny_patch16_224",             5717416,   1253683200,   178831872,   4728000,   1258411200,   1079579328,   5974636},
    {"deit_tiny_patch16_224",            5717416,   1253683200,   178831872,   4728000,   1258411200,   1079579328,   5974636},
    {"deit_tiny_distilled_patch16_224",  5910800,   1261003776,   180652032,   4752000,   1265755776,   1085103744,   0},
    {"vit_small_patch16_224",            22050664,  4598882304,   357663744,   9456000,   4608338304,   4250674560,   11948272},
    {"deit_small_patch16_224",           22050664,  4598882304,   357663744,   9456000,   4608338304,   4250674560,   11948272},
    {"deit_small_distilled_patch16_224", 22436432,  4624140288,   361304064,   9504000,   4633644288,   4272340224,   0},
    {"vit_base_patch16_224",             86567656,  17563828224,  715327488,   18912000,  17582740224,  16867412736,  23895544},
    {"deit_base_patch16_224",            86567656,  17563828224,  715327488,   18912000,  17582740224,  16867412736,  23895544},
    {"deit_base_distilled_patch16_224",  87338192,  17656811520,  722608128,   19008000,  17675819520,  16953211392,  0},
    {"vit_large_patch16_224",            304326632, 61554712576,  1907539968,  49423360,  61604135936,  59696595968,  0},
    {"vit_tiny_patch16_384",             5790376,   4682219520,   1534136832,  13848000,  4696067520,   3161930688,   0},
    {"vit_small_patch16_384",            22196584,  15490351104,  3068273664,  27696000,  15518047104,  12449773440,  0},
    {"vit_base_patch16_384",             86859496,  55484350464,  6136547328,  55392000,  55539742464,  49403195136,  0},
    {"deit_base_patch16_384",            86859496,  55484350464,  6136547328,  55392000,  55539742464,  49403195136,  0},
    {"deit_base_distilled_patch16_384",  87630032,  55591342080,  6157836288,  55488000,  55646830080,  49488993792,  0},
    {"vit_large_patch16_384",            304715752, 191066300416, 16364126208, 144757760, 191211058176, 174846931968, 0},
};

static void presets_have_the_published_sizes_to_the_unit(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct Size *s = &sizes[i];
        Model      *m   = NULL;
        Error       err = {0};
        ModelCounts c;
        assert_true(model_from_preset(&m, s->name, NULL, &err));
        m->kind->count(m->self, &(RouteCounts){0}, &c);
        const int64_t fvcore = c.macs + 5 * c.layer_norm_elements + 2 * c.batch_norm_elements;
        if (params_elements(m->params) != s->params || c.macs != s->macs || c.macs_attention != s->macs_attention || fvcore != s->macs_fvcore)
            fail_msg("%s: %lld parameters, %lld MACs, %lld of attention, %lld as fvcore counts", s->name, (long long)params_elements(m->params),
                     (long long)c.macs, (long long)c.macs_attention, (long long)fvcore);
        assert_true(5 * c.layer_norm_elements == s->layer_norm_5);
        assert_true(fvcore - c.macs_attention == s->macs_fvcore_sdpa);
        assert_true(s->activations == 0 || c.activations == s->activations);
        assert_int_equal(params_bytes(m->params), s->params * (int64_t)sizeof(Real));
        model_destroy(m);
    }
}

/* 152 tensors of twelve blocks, 296 of twenty-four, 155 with the distillation token and its head. */
static void tensors_are_timms_in_number_and_name(void **state) {
    (void)state;
    static const struct { const char *settings; int count; } cases[] = {
        {"embed_dim=12 num_heads=3 depth=12", 152}, {"embed_dim=12 num_heads=3 depth=24", 296}, {"embed_dim=12 num_heads=3 distilled=true", 155}};
    static const char *const names[] = {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "blocks.11.norm1.weight",
        "blocks.11.norm1.bias", "blocks.11.attn.qkv.weight", "blocks.11.attn.qkv.bias", "blocks.11.attn.proj.weight", "blocks.11.attn.proj.bias",
        "blocks.11.norm2.weight", "blocks.11.norm2.bias", "blocks.11.mlp.fc1.weight", "blocks.11.mlp.fc1.bias", "blocks.11.mlp.fc2.weight",
        "blocks.11.mlp.fc2.bias", "norm.weight", "norm.bias", "head.weight", "head.bias"};
    for (int i = 0; i < 3; i++) {
        Error  err = {0};
        Model *m   = built(cases[i].settings, &err);
        assert_non_null(m);
        assert_int_equal(params_count(m->params), cases[i].count);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) assert_non_null(params_find(m->params, names[k]));
        for (int distilled = 0; distilled < 3; distilled++)
            assert_int_equal(params_find(m->params, (const char *[]){"dist_token", "head_dist.weight", "head_dist.bias"}[distilled]) != NULL, i == 2);
        model_destroy(m);
    }
}

/* Decayed: matrices and the patch convolution; not: biases, norms, tokens, positions (DeiT's and timm's recipe). */
static void matrices_decay_and_nothing_else(void **state) {
    (void)state;
    Error  err = {0};
    Model *m   = built(SMALL " distilled=true", &err);
    assert_non_null(m);
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p     = params_at(m->params, i);
        const bool   token = strstr(p->name, "token") != NULL || strstr(p->name, "pos_embed") != NULL;
        assert_int_equal(p->role, p->tensor->n_dims >= 2 && !token ? PARAM_DECAYED : PARAM_PLAIN);
    }
    model_destroy(m);
}

static void settings_that_cannot_be_are_refused_by_name(void **state) {
    (void)state;
    static const struct { const char *settings, *field, *message; } cases[] = {
        {"img_size=30 patch_size=4",          "/model/patch_size",  "must divide img_size 30, got 4"},
        {"img_size=8 patch_size=16",          "/model/patch_size",  "must divide img_size 8, got 16"},
        {"img_size=4096 patch_size=1",        "/model/patch_size",  "gives 16777216 patches an image, at most 65536 are allowed"},
        {"embed_dim=100 num_heads=3",         "/model/num_heads",   "must divide embed_dim 100, got 3"},
        {"embed_dim=8 num_heads=16",          "/model/num_heads",   "must divide embed_dim 8, got 16"},
        {"embed_dim=100 num_heads=0",         "/model/num_heads",   "must be given: embed_dim 100 is no multiple of 32"},
        {"embed_dim=200 num_heads=0",         "/model/num_heads",   "must be given: embed_dim 200 is no multiple of 64"},
        {"embed_dim=12 num_heads=3 mlp_ratio=0.02", "/model/mlp_ratio", "gives an MLP of width 0 at embed_dim 12"},
        {"depth=0",                           "/model/depth",       "must be in [1, 256], got 0"},
        {"depth=257",                         "/model/depth",       "must be in [1, 256], got 257"},
        {"num_heads=-1",                      "/model/num_heads",   "must be in [0, 256], got -1"},
        {"patch_size=0",                      "/model/patch_size",  "must be in [1, 512], got 0"},
        {"mlp_ratio=0",                       "/model/mlp_ratio",   "must be in [0.01, 64], got 0"},
        {"num_class=10",                      "/model/num_class",   "unknown key; did you mean \"num_classes\"?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err = {0};
        if (built(cases[i].settings, &err) != NULL) fail_msg("%s was taken", cases[i].settings);
        assert_string_equal(err.field, cases[i].field);
        assert_string_equal(err.message, cases[i].message);
        assert_int_equal(err.exit_status, EXIT_BAD_INPUT);
    }
}

static void a_fraction_of_the_mlps_width_is_cut_off_and_a_quotient_is_exact(void **state) {
    (void)state;
    static const struct { int width; double ratio; int hidden; } cases[] = {
        {10, 2.79, 27}, {10, 2.75, 27}, {11, 15.0 / 11, 15}, {13, 30.0 / 13, 30}, {19, 53.0 / 19, 53}, {192, 4, 768}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char  settings[120];
        Error err = {0};
        snprintf(settings, sizeof settings, "img_size=8 patch_size=4 depth=1 num_heads=1 embed_dim=%d mlp_ratio=%.17g", cases[i].width, cases[i].ratio);
        Model *m = built(settings, &err);
        assert_non_null(m);
        assert_int_equal(params_find(m->params, "blocks.0.mlp.fc1.bias")->tensor->dim[0], cases[i].hidden);
        model_destroy(m);
    }
}

static void heads_left_out_follow_from_the_width(void **state) {
    (void)state;
    static const int expected[][2] = {{64, 2}, {96, 3}, {160, 5}, {192, 3}, {256, 4}, {384, 6}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char  settings[80];
        Error err = {0};
        snprintf(settings, sizeof settings, "img_size=8 patch_size=4 depth=1 num_heads=0 embed_dim=%d", expected[i][0]);
        Model *m = built(settings, &err);
        assert_non_null(m);
        assert_int_equal(((const Vit *)m->self)->num_heads, expected[i][1]);
        model_destroy(m);
    }
}

/* ---- forward ---- */

static void an_image_has_the_same_logits_alone_and_in_any_batch(void **state) {
    (void)state;
    Model *m = vit_of(SMALL);
    float  images[MOST_IMAGES * IMAGE], shuffled[MOST_IMAGES * IMAGE];
    const int order[MOST_IMAGES] = {3, 0, 5, 1, 4, 2};
    draw_images(images, MOST_IMAGES);
    for (int b = 0; b < MOST_IMAGES; b++) memcpy(shuffled + b * IMAGE, images + order[b] * IMAGE, IMAGE * sizeof *images);
    for (int k = 0; k < backend_count(); k++) {
        const Backend *backend = backend_find(backend_partial(k)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tape  *tape = new_tape(backend);
        Real   together[MOST_IMAGES * CLASSES], alone[CLASSES], other[MOST_IMAGES * CLASSES];
        double spread = 0;
        logits_of(m, tape, (TapeStep){0}, false, MOST_IMAGES, images, ids, together);
        logits_of(m, tape, (TapeStep){0}, false, MOST_IMAGES, shuffled, ids, other);
        for (int b = 0; b < MOST_IMAGES; b++) {
            logits_of(m, tape, (TapeStep){0}, false, 1, images + b * IMAGE, ids, alone);
            /* logits of size 1 by float sums of at most 32 terms a layer, in an order that may follow the row count */
            assert_true(largest_gap(together + b * CLASSES, alone, CLASSES) <= 1e-5);
            assert_true(largest_gap(together + order[b] * CLASSES, other + b * CLASSES, CLASSES) <= 1e-5);
            spread = fmax(spread, largest_gap(together, alone, CLASSES));
        }
        assert_true(spread > 1e-2);                           /* another image's logits would be noticed */
        tape_destroy(tape);
    }
    model_destroy(m);
}

/* Swaps patch p of an image (2 channels, 12x12, patches of 4) with patch q. */
static void swap_patches(float *image, int p, int q) {
    for (int c = 0; c < 2; c++)
        for (int y = 0; y < 4; y++)
            for (int x = 0; x < 4; x++) {
                float *a = &image[(c * 12 + p / 3 * 4 + y) * 12 + p % 3 * 4 + x], *b = &image[(c * 12 + q / 3 * 4 + y) * 12 + q % 3 * 4 + x];
                const float swap = *a;
                *a = *b;
                *b = swap;
            }
}

static void patches_in_another_order_with_their_positions_give_the_same_logits(void **state) {
    (void)state;
    for (int distilled = 0; distilled < 2; distilled++) {
        Model     *m    = vit_of(distilled ? SMALL " distilled=true" : SMALL);
        const Vit *v    = m->self;
        Tape      *tape = new_tape(backend_default());
        float      images[2 * IMAGE];
        Real       before[2 * CLASSES], without[2 * CLASSES], after[2 * CLASSES];
        draw_images(images, 2);
        logits_of(m, tape, (TapeStep){0}, false, 2, images, ids, before);
        static const int swaps[][2] = {{0, 8}, {3, 5}, {1, 7}, {8, 4}};
        for (int k = 0; k < 4; k++)
            for (int b = 0; b < 2; b++) swap_patches(images + b * IMAGE, swaps[k][0], swaps[k][1]);
        logits_of(m, tape, (TapeStep){0}, false, 2, images, ids, without);
        for (int k = 0; k < 4; k++)
            for (int d = 0; d < 16; d++) {
                Real *a = &v->pos_embed->data[(v->n_prefix + swaps[k][0]) * 16 + d], *b = &v->pos_embed->data[(v->n_prefix + swaps[k][1]) * 16 + d];
                const Real swap = *a;
                *a = *b;
                *b = swap;
            }
        params_touch(m->params);
        logits_of(m, tape, (TapeStep){0}, false, 2, images, ids, after);
        /* the same terms, summed in another order over 11 keys in each of 3 attentions: some 2^-24 of values of size 10 */
        assert_true(largest_gap(before, after, 2 * CLASSES) <= 2e-5);
        assert_true(largest_gap(before, without, 2 * CLASSES) > 1e-3);       /* patches alone are noticed */
        tape_destroy(tape);
        model_destroy(m);
    }
}

static void a_distilled_pair_answers_with_the_mean_of_its_heads(void **state) {
    (void)state;
    Model     *m    = vit_of(SMALL " distilled=true");
    const Vit *v    = m->self;
    Tape      *tape = new_tape(&backend_reference);
    float      images[2 * IMAGE];
    ModelOutput y;
    draw_images(images, 2);
    for (int k = 0; k < CLASSES; k++) v->head_dist_b->data[k] = (Real)(100 + k);       /* the second head says something of its own */
    for (int64_t k = 0; k < tensor_count(v->head_dist_w); k++) v->head_dist_w->data[k] = 0;
    params_touch(m->params);
    tape_begin(tape, false, (TapeStep){0});
    Tensor *x = tensor_new(tape, 4, (int64_t[]){2, 2, 12, 12});
    for (int i = 0; i < 2 * IMAGE; i++) x->data[i] = images[i];
    m->kind->forward(m->self, tape, &(ModelInput){.images = x, .image_id = ids}, &y);
    for (int i = 0; i < 2 * CLASSES; i++) {
        assert_true(y.logits_dist->data[i] == (Real)(100 + i % CLASSES));
        assert_true(fabs((double)y.logits_class->data[i]) < 50);
        /* one float sum of size 100, halved exactly */
        assert_true(fabs((double)y.logits->data[i] - ((double)y.logits_class->data[i] + (double)y.logits_dist->data[i]) / 2) <= 50 * 0x1p-23);
    }
    assert_int_equal(y.n_tokens, 11);
    assert_int_equal(y.max_depth, 3);
    assert_null(y.depth);
    memcpy(v->head_dist_w->data, v->head_w->data, (size_t)tensor_count(v->head_w) * sizeof(Real));      /* two equal heads ... */
    memcpy(v->head_dist_b->data, v->head_b->data, CLASSES * sizeof(Real));
    params_touch(m->params);
    tape_begin(tape, false, (TapeStep){0});
    m->kind->forward(m->self, tape, &(ModelInput){.images = sample_tensor(tape, 0, 4, (int64_t[]){2, 2, 12, 12}), .image_id = ids}, &y);
    assert_true(largest_gap(y.logits_class->data, y.logits_dist->data, 2 * CLASSES) > 1e-2);            /* ... read different tokens */
    tape_destroy(tape);
    model_destroy(m);
}

static void a_plain_model_has_one_head(void **state) {
    (void)state;
    Model      *m    = vit_of(SMALL);
    Tape       *tape = new_tape(&backend_reference);
    ModelOutput y;
    tape_begin(tape, false, (TapeStep){0});
    m->kind->forward(m->self, tape, &(ModelInput){.images = sample_tensor(tape, 0, 4, (int64_t[]){1, 2, 12, 12}), .image_id = ids}, &y);
    assert_null(y.logits_class);
    assert_null(y.logits_dist);
    assert_null(y.auxiliary_loss);
    assert_int_equal(y.n_tokens, 10);
    tape_destroy(tape);
    model_destroy(m);
}

/* Softmax does not see what is added to all keys of a query, so the bias of the keys has none; all else has an influence. */
static void every_weight_has_a_gradient_but_the_bias_of_the_keys(void **state) {
    (void)state;
    Model *m    = vit_of(SMALL " distilled=true");
    Tape  *tape = new_tape(backend_default());
    Error  err  = {0};
    ModelOutput y;
    assert_true(params_want_grads(m->params, &err));
    params_zero_grads(m->params);
    tape_begin(tape, true, (TapeStep){.training = true});
    m->kind->forward(m->self, tape, &(ModelInput){.images = sample_tensor(tape, 0, 4, (int64_t[]){2, 2, 12, 12}), .image_id = ids}, &y);
    tape_backward(tape, op_cross_entropy(tape, y.logits, (int32_t[]){1, 3}, NULL, 0));
    assert_false(tape_failed(tape));
    for (int i = 0; i < params_count(m->params); i++) {
        const Param  *p = params_at(m->params, i);
        const int64_t n = tensor_count(p->tensor);
        assert_false(p->tensor->grad_fresh);
        for (int64_t k = 0; k < n; k++) {
            const double g    = fabs((double)p->tensor->grad[k]);
            const bool   keys = strstr(p->name, "qkv.bias") != NULL && k >= n / 3 && k < 2 * n / 3;
            if (keys ? g > 1e-6 : g == 0) fail_msg("%s[%lld] has gradient %g", p->name, (long long)k, g);
        }
    }
    tape_destroy(tape);
    model_destroy(m);
}

typedef struct Names { char text[600]; } Names;
static void note_name(void *self, const char *name, const Tensor *value) {
    Names *names = self;
    const size_t n = strlen(names->text);
    snprintf(names->text + n, sizeof names->text - n, "%s(%lld,%lld) ", name, (long long)value->dim[0], (long long)value->dim[1]);
}

static void recording_and_tracing_change_nothing(void **state) {
    (void)state;
    Model *m    = vit_of(SMALL);
    Tape  *tape = new_tape(backend_default());
    Names  names = {""};
    float  images[2 * IMAGE];
    Real   plain[2 * CLASSES], recorded[2 * CLASSES], traced[2 * CLASSES];
    draw_images(images, 2);
    logits_of(m, tape, (TapeStep){0}, false, 2, images, ids, plain);
    logits_of(m, tape, (TapeStep){.training = true}, true, 2, images, ids, recorded);
    tape_set_trace(tape, note_name, &names);
    logits_of(m, tape, (TapeStep){0}, false, 2, images, ids, traced);
    tape_set_trace(tape, NULL, NULL);
    assert_true(largest_gap(plain, recorded, 2 * CLASSES) <= 1e-5);          /* residuals are added in another place: 2^-24 a sum */
    assert_true(largest_gap(plain, traced, 2 * CLASSES) <= 1e-5);
    assert_string_equal(names.text, "patch_embed(18,16) blocks.0.attn(20,16) blocks.0.mlp(20,16) blocks.0(20,16) blocks.1.attn(20,16) "
                                    "blocks.1.mlp(20,16) blocks.1(20,16) blocks.2.attn(20,16) blocks.2.mlp(20,16) blocks.2(20,16) norm(20,16) ");
    model_destroy(m);
    tape_destroy(tape);
}

/* ---- drop path ---- */

static void dropping_is_for_training_alone_and_spares_the_first_block(void **state) {
    (void)state;
    const TapeStep dropping = {.seed = 1, .step = 1, .training = true, .drop_path = 0.9}, not_training = {.seed = 1, .step = 1, .drop_path = 0.9, .dropout = 0.5};
    float images[2 * IMAGE];
    Real  plain[2 * CLASSES], dropped[2 * CLASSES];
    draw_images(images, 2);
    Model *deep = vit_of(SMALL), *one = vit_of("img_size=12 patch_size=4 in_chans=2 embed_dim=16 depth=1 num_heads=2 num_classes=5 mlp_ratio=2");
    Tape  *tape = new_tape(backend_default());
    logits_of(deep, tape, (TapeStep){0}, false, 2, images, ids, plain);
    logits_of(deep, tape, not_training, false, 2, images, ids, dropped);
    assert_memory_equal(plain, dropped, sizeof plain);
    logits_of(deep, tape, dropping, true, 2, images, ids, dropped);
    assert_true(largest_gap(plain, dropped, 2 * CLASSES) > 1e-3);
    logits_of(one, tape, (TapeStep){.training = true}, true, 2, images, ids, plain);
    logits_of(one, tape, dropping, true, 2, images, ids, dropped);          /* the first block's rate is 0 */
    assert_memory_equal(plain, dropped, sizeof plain);
    tape_destroy(tape);
    model_destroy(deep);
    model_destroy(one);
}

/* Draws are addressed by the image's identity: order and company of the batch change nothing, seed and step do. */
static void what_is_dropped_belongs_to_the_image_and_the_step(void **state) {
    (void)state;
    const TapeStep step = {.seed = 1, .step = 4, .training = true, .drop_path = 0.6, .dropout = 0.3};
    Model  *m    = vit_of(SMALL);
    Tape   *tape = new_tape(backend_default());
    float   images[MOST_IMAGES * IMAGE];
    Real    together[MOST_IMAGES * CLASSES], alone[CLASSES], other[CLASSES];
    TapeStep changed = step;
    int      n_changed = 0;
    draw_images(images, MOST_IMAGES);
    logits_of(m, tape, step, true, MOST_IMAGES, images, ids, together);
    for (int b = 0; b < MOST_IMAGES; b++) {
        logits_of(m, tape, step, true, 1, images + b * IMAGE, ids + b, alone);
        assert_true(largest_gap(together + b * CLASSES, alone, CLASSES) <= 1e-4);        /* kept branches are up to 2.5 times larger */
        changed = step, changed.step++;
        logits_of(m, tape, changed, true, 1, images + b * IMAGE, ids + b, other);
        n_changed += largest_gap(alone, other, CLASSES) > 1e-3;
        changed = step, changed.seed++;
        logits_of(m, tape, changed, true, 1, images + b * IMAGE, ids + b, other);
        n_changed += largest_gap(alone, other, CLASSES) > 1e-3;
        logits_of(m, tape, step, true, 1, images + b * IMAGE, ids + (b + 1) % MOST_IMAGES, other);
        n_changed += largest_gap(alone, other, CLASSES) > 1e-3;
    }
    assert_int_equal(n_changed, 3 * MOST_IMAGES);
    tape_destroy(tape);
    model_destroy(m);
}

enum { STEPS = 100, DRAWS = STEPS * MOST_IMAGES };

/* For each step and image whether one branch was dropped. All other branches are silenced, so that without this one nothing but
 * the embedding is left. */
static void see_drops(int block, bool mlp, double rate, bool dropped[DRAWS]) {
    Model *m    = vit_of(SMALL);
    Vit   *v    = m->self;
    Tape  *tape = new_tape(backend_default());
    float  images[MOST_IMAGES * IMAGE];
    Real   silent[MOST_IMAGES * CLASSES], y[MOST_IMAGES * CLASSES], weight[16 * 32];
    draw_images(images, MOST_IMAGES);
    Tensor *w = mlp ? v->block[block].fc2_w : v->block[block].proj_w;
    memcpy(weight, w->data, (size_t)tensor_count(w) * sizeof(Real));
    for (int i = 0; i < v->depth; i++) {
        Tensor *ends[] = {v->block[i].proj_w, v->block[i].proj_b, v->block[i].fc2_w, v->block[i].fc2_b};
        for (int k = 0; k < 4; k++) memset(ends[k]->data, 0, (size_t)tensor_count(ends[k]) * sizeof(Real));
    }
    params_touch(m->params);
    logits_of(m, tape, (TapeStep){.training = true}, true, MOST_IMAGES, images, ids, silent);
    memcpy(w->data, weight, (size_t)tensor_count(w) * sizeof(Real));
    params_touch(m->params);
    for (int step = 0; step < STEPS; step++) {
        logits_of(m, tape, (TapeStep){.seed = 3, .step = step, .training = true, .drop_path = rate}, true, MOST_IMAGES, images, ids, y);
        for (int b = 0; b < MOST_IMAGES; b++) dropped[step * MOST_IMAGES + b] = largest_gap(y + b * CLASSES, silent + b * CLASSES, CLASSES) <= 1e-5;
    }
    tape_destroy(tape);
    model_destroy(m);
}

/* Of three blocks: 0, half the rate and all of it, each branch and image on its own. Limits: five standard deviations. */
static void the_rate_rises_evenly_from_nothing_to_the_whole_over_the_blocks(void **state) {
    (void)state;
    static bool dropped[6][DRAWS];
    for (int k = 0; k < 6; k++) {
        const double rate = 0.6 * (k / 2) / 2;
        int n = 0;
        see_drops(k / 2, k % 2 == 1, 0.6, dropped[k]);
        for (int i = 0; i < DRAWS; i++) n += dropped[k][i];
        assert_true(fabs(n - DRAWS * rate) <= 5 * sqrt(DRAWS * rate * (1 - rate)));
        for (int other = 2; other < k; other++) {             /* no two branches are dropped together more often than by chance */
            const double both = rate * 0.6 * (other / 2) / 2;
            int n_both = 0;
            for (int i = 0; i < DRAWS; i++) n_both += dropped[k][i] && dropped[other][i];
            assert_true(fabs(n_both - DRAWS * both) <= 5 * sqrt(DRAWS * both * (1 - both)));
        }
    }
}

static void more_rows_than_an_offset_can_count_are_as_out_of_memory(void **state) {
    (void)state;
    Tape *tape = NULL;
    Error err  = {0};
    assert_true(tape_create(&tape, backend_default(), &err));
    assert_null(vit_rows(tape, 65536, 1, 32768, NULL));      /* 2^31 + 2^16 rows; the offsets overflowed */
    assert_true(tape_failed(tape));
    tape_destroy(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_sizes_to_the_unit),
        cmocka_unit_test(tensors_are_timms_in_number_and_name),
        cmocka_unit_test(matrices_decay_and_nothing_else),
        cmocka_unit_test(settings_that_cannot_be_are_refused_by_name),
        cmocka_unit_test(a_fraction_of_the_mlps_width_is_cut_off_and_a_quotient_is_exact),
        cmocka_unit_test(heads_left_out_follow_from_the_width),
        cmocka_unit_test(an_image_has_the_same_logits_alone_and_in_any_batch),
        cmocka_unit_test(patches_in_another_order_with_their_positions_give_the_same_logits),
        cmocka_unit_test(a_distilled_pair_answers_with_the_mean_of_its_heads),
        cmocka_unit_test(a_plain_model_has_one_head),
        cmocka_unit_test(every_weight_has_a_gradient_but_the_bias_of_the_keys),
        cmocka_unit_test(recording_and_tracing_change_nothing),
        cmocka_unit_test(more_rows_than_an_offset_can_count_are_as_out_of_memory),
        cmocka_unit_test(dropping_is_for_training_alone_and_spares_the_first_block),
        cmocka_unit_test(what_is_dropped_belongs_to_the_image_and_the_step),
        cmocka_unit_test(the_rate_rises_evenly_from_nothing_to_the_whole_over_the_blocks),
    };
    return cmocka_run_group_tests_name("vit", tests, NULL, NULL);
}
