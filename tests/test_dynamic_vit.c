/* DynamicViT: the answers of the official class (logits, tokens kept at each stage, training steps with given noise and a teacher),
 * masked training against gathered inference, sampling and its guards, settings, and the closed-form cost against what ran. */
#include "baselines/dynamic_vit.h"
#include "harness/train/train.h"
#include "tests/golden_train.h"

static const double  logits_limit = 2e-5;
static const int64_t image_ids[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static Tape *tape_of(const Backend *backend) {
    Tape *tape = NULL;
    Error err  = {0};
    golden_check(tape_create(&tape, backend, &err), &err);
    return tape;
}

static Model *model_of(const ModelKind *kind, const char *settings) {
    Model *m   = NULL;
    Error  err = {0};
    assert_true(model_new(&m, kind, &err));
    if (!fields_set_from_text(kind->fields, m->self, settings, "/model", &err) || !model_build(m, &err)) fail_msg("%s: %s %s", settings, err.field, err.message);
    params_init(m->params, 5);
    return m;
}

/* ---- parity ---- */

enum { SELECTED_MAX = 256 };
typedef struct Selection { int64_t n[3]; int32_t at[3][2][SELECTED_MAX]; } Selection;     /* at stage, of an image */

static void take_selection(void *self, const char *name, const Tensor *value) {
    Selection *s = self;
    int        k;
    if (sscanf(name, "selected.%d", &k) != 1) return;
    assert_in_range(k, 0, 2);
    assert_int_equal(value->dim[0], 2);
    s->n[k] = value->dim[1];
    for (int b = 0; b < 2; b++)
        for (int64_t i = 0; i < value->dim[1]; i++) s->at[k][b][i] = (int32_t)value->data[b * value->dim[1] + i];
}

/* Original positions of what was selected, one flag each. */
static void compose(const Selection *s, int b, int stages, bool kept[SELECTED_MAX]) {
    int32_t now[SELECTED_MAX];
    for (int i = 0; i < SELECTED_MAX; i++) now[i] = i;
    for (int k = 0; k < stages; k++) {
        int32_t next[SELECTED_MAX];
        for (int64_t i = 0; i < s->n[k]; i++) next[i] = now[s->at[k][b][i]];
        memcpy(now, next, sizeof now);
    }
    memset(kept, 0, SELECTED_MAX * sizeof *kept);
    for (int64_t i = 0; i < s->n[stages - 1]; i++) kept[now[i]] = true;
}

static void logits_and_kept_tokens_are_the_official_ones_on_every_backend(void **state) {
    (void)state;
    EACH_BACKEND(backend) {
        Model    *m        = golden_model("dynamic_vit", 0);
        SafeFile *expected = golden_expected("dynamic_vit");
        Tape     *tape     = tape_of(backend);
        Selection own = {0}, theirs = {0};
        ModelOutput y;
        for (int k = 0; k < 3; k++) {
            char name[16];
            snprintf(name, sizeof name, "selected.%d", k);
            const SafeEntry *e = safetensors_find(expected, name);
            assert_non_null(e);
            theirs.n[k] = e->dim[1];
            for (int64_t i = 0; i < e->n_values; i++) {
                int64_t wide;
                memcpy(&wide, (const char *)e->data + 8 * i, 8);
                theirs.at[k][i / e->dim[1]][i % e->dim[1]] = (int32_t)wide;
            }
        }
        tape_set_trace(tape, take_selection, &own);
        tape_begin(tape, false, (TapeStep){0});
        m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, expected), .image_id = image_ids}, &y);
        assert_false(tape_failed(tape));
        double *logits = golden_values(expected, "logits", NULL);
        const double worst = largest_difference(y.logits->data, logits, 20);
        printf("           %-10s logits off by %.1e at most\n", backend->name, worst);
        assert_true(worst <= logits_limit);
        const DynamicVit *v = m->self;
        for (int b = 0; b < 2; b++)
            for (int k = 0; k < 3; k++) {
                bool ours[SELECTED_MAX], official[SELECTED_MAX];
                assert_int_equal(own.n[k], theirs.n[k]);
                compose(&own, b, k + 1, ours);
                compose(&theirs, b, k + 1, official);
                assert_memory_equal(ours, official, sizeof ours);
                for (int i = 0; i < 197; i++)                    /* and `depth` says the same */
                    assert_int_equal(y.depth[b * 197 + i] > v->pruning_loc.value[k], official[i]);
                assert_int_equal(y.active[4 * b + k + 1], theirs.n[k]);
            }
        free(logits);
        tape_destroy(tape);
        safetensors_close(expected);
        model_destroy(m);
    }
}

typedef struct Teacher { Tensor *logits, *tokens; double entropy; } Teacher;

/* A plain ViT with the case's weights; its outputs as constants of this step. */
static Teacher teach(Model *vit, Tape *tape, const SafeFile *expected) {
    ModelOutput y;
    vit->kind->forward(vit->self, tape, &(ModelInput){.images = golden_input(tape, expected), .image_id = image_ids, .want_tokens = true}, &y);
    assert_non_null(y.tokens);
    Teacher t = {.logits = op_softmax(tape, y.logits), .tokens = y.tokens};
    for (int i = 0; i < 20; i++) t.entropy -= (double)t.logits->data[i] * log((double)t.logits->data[i]) / 2;
    return t;
}

/* mean over kept rows and D of (student - teacher)^2, out of ops: sum of squares through a product with itself is not there, so
 * the difference's squared distance from 0. */
static Tensor *token_mse(Tape *tape, const ModelOutput *y, const Teacher *teacher) {
    const int64_t M = token_rows_count(y->rows);
    int32_t      *index = tape_alloc(tape, (size_t)M * sizeof *index);
    for (int b = 0; b < y->rows->n_images; b++)
        for (int32_t i = y->rows->offset[b]; i < y->rows->offset[b + 1]; i++) index[i] = b * 197 + 1 + y->rows->patch[i];
    return op_squared_error(tape, op_add(tape, y->tokens, op_scale(tape, op_gather_rows(tape, teacher->tokens, index, M), -1)), 0);
}

static void check_part(const SafeFile *f, const char *format, int step, double value) {
    const double off = fabs(value - golden_number(f, format, step));
    if (!(off <= 1e-5)) fail_msg("%s at %d is off by %g", format, step, off);
}

static void training_steps_are_the_official_ones_on_every_backend(void **state) {
    (void)state;
    EACH_BACKEND(backend) {
        Model    *m = golden_model("dynamic_vit_train", 0), *vit;
        SafeFile *expected = golden_expected("dynamic_vit_train");
        Tape     *tape     = tape_of(backend);
        Error     err      = {0};
        int32_t   label[2];
        Real     *noise = calloc(3 * 2 * 196 * 2, sizeof *noise);
        assert_non_null(noise);
        vit = model_of(&model_vit, "img_size=112 patch_size=8 embed_dim=48 depth=6 num_heads=3 num_classes=10");
        golden_check(model_load(vit, "tests/golden/dynamic_vit_train/teacher.safetensors", (LoadOptions){0}, NULL, NULL, &err), &err);
        golden_check(params_want_grads(m->params, &err) && params_want_state(m->params, &err), &err);
        golden_labels(expected, label, 2);
        for (int k = 0; k < 3; k++) {
            char name[16];
            snprintf(name, sizeof name, "gumbel.%d", k);
            double *g = golden_values(expected, name, NULL);
            for (int i = 0; i < 2 * 196 * 2; i++) noise[k * 2 * 196 * 2 + i] = (Real)g[i];
            free(g);
        }
        TrainSettings s;
        fields_default(train_fields, &s);
        s.lr = 1e-3;
        s.weight_decay = 0.05;
        const Optimizer  *o;
        OptimizerSettings settings;
        assert_true(train_optimizer(&s, &o, &settings, &err));
        for (int step = 0; step < 2; step++) {
            tape_begin(tape, true, (TapeStep){.step = step, .training = true});
            const Teacher teacher = teach(vit, tape, expected);
            ModelOutput   y;
            m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, expected), .image_id = image_ids, .want_tokens = true,
                                                          .given = &(RouteGiven){.noise = noise}}, &y);
            Tensor *ce = op_cross_entropy(tape, y.logits, label, NULL, 0), *soft = op_cross_entropy(tape, y.logits, NULL, teacher.logits, 0);
            Tensor *mse = token_mse(tape, &y, &teacher);
            Tensor *loss = op_add(tape, op_add(tape, ce, y.auxiliary_loss), op_scale(tape, op_add(tape, soft, mse), 0.5));
            params_zero_grads(m->params);
            tape_backward(tape, loss);
            assert_false(tape_failed(tape));
            params_settle_grads(m->params);
            const double grad_norm = params_grad_norm(m->params, backend), kl = (double)soft->data[0] - teacher.entropy;
            const double off = fabs((double)loss->data[0] - 0.5 * teacher.entropy - golden_number(expected, "step%d.loss", step));
            printf("           %-10s step %d: loss off by %.1e\n", backend->name, step, off);
            assert_true(off <= (step == 0 ? 1e-5 : 1e-4));
            assert_int_equal(y.n_loss_parts, 1);
            assert_string_equal(y.loss_part[0].name, "ratio_loss");
            assert_true(fabs(y.loss_part[0].weight - 2.0 / 3) < 1e-12);
            double *mask = golden_values(expected, step == 0 ? "step0.mask" : "step1.mask", NULL);
            for (int i = 0; i < 2 * 196; i++) assert_int_equal(y.depth[i / 196 * 197 + 1 + i % 196] == 6, mask[i] > 0.5);
            free(mask);
            if (step == 0) {
                double *logits = golden_values(expected, "step0.logits", NULL);
                assert_true(largest_difference(y.logits->data, logits, 20) <= logits_limit);
                free(logits);
                check_part(expected, "step%d.cls_loss", 0, (double)ce->data[0]);
                check_part(expected, "step%d.ratio_loss", 0, (double)y.loss_part[0].value->data[0]);
                check_part(expected, "step%d.cls_kl", 0, kl);
                check_part(expected, "step%d.token_mse", 0, (double)mse->data[0]);
                const double norm = golden_number(expected, "step%d.grad_norm", 0);
                assert_true(fabs(grad_norm - norm) <= 1e-3 * norm);
                golden_gradients(m, expected);
            }
            train_update(m, tape, &s, o, step + 1, s.lr, grad_norm);
        }
        free(noise);
        tape_destroy(tape);
        safetensors_close(expected);
        model_destroy(vit);
        model_destroy(m);
    }
}

/* ---- one model, two ways ---- */

/* Training keeps every row and masks keys; inference drops rows. With eps = 0 and the same decisions they are one function. */
static void masked_training_and_gathered_inference_agree(void **state) {
    (void)state;
    EACH_BACKEND(backend) {
        Model      *m    = golden_model("dynamic_vit", 0);
        Tape       *tape = tape_of(backend);
        ModelOutput y;
        int32_t     depth[3 * 197];
        double      logits[30];
        ((DynamicVit *)m->self)->policy_eps = 0;
        tape_begin(tape, false, (TapeStep){0});
        Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){3, 3, 112, 112});
        m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids}, &y);
        assert_false(tape_failed(tape));
        memcpy(depth, y.depth, sizeof depth);
        for (int i = 0; i < 30; i++) logits[i] = (double)y.logits->data[i];
        int dropped = 0;
        for (int i = 0; i < 3 * 197; i++) dropped += depth[i] < 6;
        assert_int_equal(dropped, 3 * (196 - 67));

        tape_begin(tape, false, (TapeStep){.training = true});
        images = sample_tensor(tape, 0, 4, (int64_t[]){3, 3, 112, 112});
        m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids, .given = &(RouteGiven){.depth = depth}}, &y);
        assert_false(tape_failed(tape));
        const double worst = largest_difference(y.logits->data, logits, 30);
        printf("           %-10s masked and gathered differ by %.1e at most\n", backend->name, worst);
        assert_true(worst <= 1e-5);
        assert_memory_equal(depth, y.depth, sizeof depth);

        depth[197 + 7] = depth[197 + 7] == 6 ? 1 : 6;            /* one other decision shows */
        tape_begin(tape, false, (TapeStep){.training = true});
        images = sample_tensor(tape, 0, 4, (int64_t[]){3, 3, 112, 112});
        m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids, .given = &(RouteGiven){.depth = depth}}, &y);
        assert_true(largest_difference(y.logits->data, logits, 30) > 1e-4);
        tape_destroy(tape);
        model_destroy(m);
    }
}

static void tokens_for_a_teacher_are_the_kept_patches_with_their_places(void **state) {
    (void)state;
    Model *m    = model_of(&model_dynamic_vit, "img_size=16 patch_size=4 embed_dim=32 depth=4 num_heads=4 num_classes=3");
    Tape  *tape = tape_of(backend_default());
    for (int training = 0; training < 2; training++) {
        ModelOutput y;
        tape_begin(tape, training, (TapeStep){.training = training, .seed = 3});
        Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){2, 3, 16, 16});
        m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids, .want_tokens = true}, &y);
        assert_false(tape_failed(tape));
        assert_int_equal(y.tokens->dim[0], token_rows_count(y.rows));
        for (int b = 0; b < 2; b++) {
            bool here[16] = {false};
            for (int32_t i = y.rows->offset[b]; i < y.rows->offset[b + 1]; i++) here[y.rows->patch[i]] = true;
            for (int i = 0; i < 16; i++) assert_int_equal(here[i], y.depth[b * 17 + 1 + i] == 4);
        }
        double sum = 0, squares = 0;                             /* after the norm: mean 0, variance 1 */
        for (int d = 0; d < 32; d++) {
            sum     += (double)y.tokens->data[d];
            squares += (double)y.tokens->data[d] * (double)y.tokens->data[d];
        }
        assert_true(fabs(sum / 32) < 1e-5 && fabs(squares / 32 - 1) < 1e-2);
    }
    tape_destroy(tape);
    model_destroy(m);
}

/* The authors' first epochs train the predictors alone: what reaches them must not depend on what else is trained. */
static void a_frozen_backbone_leaves_the_gradients_of_the_predictors_as_they_were(void **state) {
    (void)state;
    EACH_BACKEND(backend) {
        Model *m    = golden_model("dynamic_vit", 0);
        Tape  *tape = tape_of(backend);
        Error  err  = {0};
        Real   whole[48 * 48];
        Tensor *w = params_find(m->params, "score_predictor.0.in_conv.1.weight")->tensor;
        golden_check(params_want_grads(m->params, &err), &err);
        for (int frozen = 0; frozen < 2; frozen++) {
            for (int i = 0; frozen && i < params_count(m->params); i++) {
                Param *p = params_at(m->params, i);
                if (strstr(p->name, "score_predictor") != NULL) continue;
                p->tensor->needs_grad = false;
                p->tensor->grad       = NULL;
            }
            ModelOutput y;
            tape_begin(tape, true, (TapeStep){.training = true, .seed = 8});
            Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){2, 3, 112, 112});
            images->needs_grad = false;
            m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids}, &y);
            params_zero_grads(m->params);
            tape_backward(tape, op_add(tape, op_cross_entropy(tape, y.logits, (int32_t[]){0, 2}, NULL, 0), y.auxiliary_loss));
            assert_false(tape_failed(tape));
            if (!frozen) memcpy(whole, w->grad, sizeof whole);
            double size = 0;
            for (int i = 0; i < 48 * 48; i++) {
                assert_true(fabs((double)(w->grad[i] - whole[i])) <= 1e-6 + 1e-4 * fabs((double)whole[i]));
                size = fmax(size, fabs((double)whole[i]));
            }
            assert_true(size > 1e-3);
        }
        tape_destroy(tape);
        model_destroy(m);
    }
}

/* ---- sampling ---- */

static void a_decision_is_hard_forwards_and_soft_backwards(void **state) {
    (void)state;
    Tape *tape = tape_of(&backend_reference);
    Real  grad[2][2][14];
    for (int hard = 0; hard < 2; hard++) {
        tape_begin(tape, true, (TapeStep){0});
        Tensor       *logits = sample_tensor(tape, 0, 2, (int64_t[]){7, 2}), *before = sample_tensor(tape, 1, 2, (int64_t[]){7, 1});
        const Tensor *noise  = sample_tensor(tape, 2, 2, (int64_t[]){7, 2});
        for (int i = 0; i < 7; i++) before->data[i] = i != 3;
        Tensor *y = op_gumbel_keep(tape, logits, before, noise->data, sample_rows(tape, 2, (int[]){5, 2}), hard);
        for (int i = 0; i < 7; i++) {
            const double margin = (double)(logits->data[2 * i] + noise->data[2 * i]) - (double)(logits->data[2 * i + 1] + noise->data[2 * i + 1]);
            if (hard) assert_true(y->data[i] == (Real)(margin >= 0 && i != 3));
        }
        y->grad = tape_alloc(tape, 7 * sizeof(Real));
        for (int i = 0; i < 7; i++) y->grad[i] = (Real)(i + 1);
        tape_backward_from(tape, y);
        memcpy(grad[hard][0], logits->grad, 14 * sizeof(Real));
    }
    assert_memory_equal(grad[0][0], grad[1][0], 14 * sizeof(Real));
    tape_destroy(tape);
}

static void an_image_that_would_lose_every_token_keeps_the_likeliest(void **state) {
    (void)state;
    Tape *tape = tape_of(&backend_reference);
    tape_begin(tape, true, (TapeStep){0});
    Tensor *logits = tensor_matrix(tape, 5, 2), *before = tensor_matrix(tape, 5, 1);
    Real    noise[10] = {0};
    for (int i = 0; i < 5; i++) {
        logits->data[2 * i]     = (Real)-i;                      /* image 0: rows 0..2, all unlikely; row 0 is out already */
        logits->data[2 * i + 1] = i < 3 ? 9 : -9;
        before->data[i]         = i != 0;
    }
    const Tensor *y = op_gumbel_keep(tape, logits, before, noise, sample_rows(tape, 2, (int[]){3, 2}), true);
    const Real    expected[] = {0, 1, 0, 1, 1};
    assert_memory_equal(y->data, expected, sizeof expected);
    tape_destroy(tape);
}

static void an_empty_policy_makes_zeros_and_not_a_number_nowhere(void **state) {
    (void)state;
    EACH_BACKEND(backend) {
        Tape *tape = tape_of(backend);
        tape_begin(tape, true, (TapeStep){0});
        Tensor          *x = sample_tensor(tape, 0, 2, (int64_t[]){7, 24}), *policy = sample_tensor(tape, 1, 2, (int64_t[]){7, 1});
        const TokenRows *rows = sample_rows(tape, 2, (int[]){5, 2});
        for (int i = 0; i < 7; i++) policy->data[i] = i >= 5;
        Tensor *pooled = op_pool_half(tape, x, policy, rows), *y = op_policy_attention(tape, attention_qkv(pooled, 2, rows), policy, 0);
        for (int i = 0; i < 5; i++)
            for (int d = 12; d < 24; d++) assert_true(pooled->data[i * 24 + d] == 0);
        y->grad = tape_alloc(tape, 7 * 8 * sizeof(Real));
        for (int i = 0; i < 7 * 8; i++) y->grad[i] = 1;
        tape_backward_from(tape, y);
        assert_false(tape_failed(tape));
        for (int i = 0; i < 7 * 8; i++) assert_true(isfinite(y->data[i]));
        for (int i = 0; i < 7 * 24; i++) assert_true(isfinite(x->grad[i]));
        for (int i = 0; i < 7; i++) assert_true(isfinite(policy->grad[i]));
        tape_destroy(tape);
    }
}

/* Draws are addressed by image and patch: an image meets the same noise in any batch. */
static void what_an_image_draws_does_not_depend_on_its_batch(void **state) {
    (void)state;
    Model  *m    = model_of(&model_dynamic_vit, "img_size=16 patch_size=4 embed_dim=32 depth=4 num_heads=4 num_classes=3");
    Tape   *tape = tape_of(&backend_reference);
    int32_t alone[17];
    for (int B = 1; B <= 3; B += 2) {
        ModelOutput y;
        tape_begin(tape, false, (TapeStep){.training = true, .seed = 4, .step = 9});
        Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){B, 3, 16, 16});
        const int64_t size = 3 * 16 * 16;
        if (B == 3) memmove(images->data + 2 * size, images->data, (size_t)size * sizeof(Real));       /* it is the last here */
        m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = B == 1 ? (int64_t[]){77} : (int64_t[]){5, 6, 77}}, &y);
        if (B == 1) memcpy(alone, y.depth, sizeof alone);
        else        assert_memory_equal(alone, y.depth + 2 * 17, sizeof alone);
    }
    tape_destroy(tape);
    model_destroy(m);
}

static void equal_scores_keep_the_lower_patches(void **state) {
    (void)state;
    Model *m    = model_of(&model_dynamic_vit, "img_size=16 patch_size=4 embed_dim=32 depth=4 num_heads=4 num_classes=3 token_ratio=[0.5,0.25,0.1]");
    Tape  *tape = tape_of(backend_default());
    for (int k = 1; k < 3; k++) {                                /* scores of stage 1 differ, those after it are all equal */
        char name[64];
        snprintf(name, sizeof name, "score_predictor.%d.out_conv.4.weight", k);
        Tensor *last = params_find(m->params, name)->tensor;
        memset(last->data, 0, (size_t)tensor_count(last) * sizeof(Real));
    }
    ModelOutput y;
    tape_begin(tape, false, (TapeStep){0});
    m->kind->forward(m->self, tape, &(ModelInput){.images = sample_tensor(tape, 0, 4, (int64_t[]){2, 3, 16, 16}), .image_id = image_ids}, &y);
    for (int b = 0; b < 2; b++)
        for (int i = 0, left = 0; i < 16; i++) {
            const int depth = y.depth[17 * b + 1 + i];
            if (depth == 1) continue;                            /* whatever stage 1 kept, ... */
            assert_int_equal(depth, left < 1 ? 4 : left < 4 ? 3 : 2);
            left++;                                              /* ... the lower patches of these go on */
        }
    tape_destroy(tape);
    model_destroy(m);
}

/* ---- settings and beginnings ---- */

static void impossible_settings_are_refused_by_name(void **state) {
    (void)state;
    static const char *const wrong[][3] = {
        {"depth=4 pruning_loc=[1,4]", "/model/token_ratio", ""},
        {"depth=4 pruning_loc=[1,4] token_ratio=[0.5,0.4]", "/model/pruning_loc/1", "must be below depth 4, got 4"},
        {"pruning_loc=[3,3] token_ratio=[0.5,0.4]", "/model/pruning_loc/1", "must be above the entry before it, 3, got 3"},
        {"pruning_loc=[3] token_ratio=[0.5,0.4]", "/model/token_ratio", "must have as many entries as pruning_loc, 1, got 2"},
        {"pruning_loc=[3,6] token_ratio=[0.5,0.6]", "/model/token_ratio/1", "must not be above the entry before it, 0.5, got 0.6"},
        {"pruning_loc=[3] token_ratio=[0.005]", "/model/token_ratio/0", "keeps none of 196 patches: 0.005"},
        {"embed_dim=6 num_heads=1", "/model/embed_dim", "must be a multiple of 4 for the predictors, got 6"},
        {"depth=1", "/model/pruning_loc/1", "must be above the entry before it, 0, got 0"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Model *m   = NULL;
        Error  err = {0};
        assert_true(model_new(&m, &model_dynamic_vit, &err));
        const bool ok = fields_set_from_text(model_dynamic_vit.fields, m->self, wrong[i][0], "/model", &err) && model_build(m, &err);
        model_destroy(m);
        if (i == 0) {                                            /* ratios are left out: the default has as many; then the depth is wrong */
            assert_false(ok);
            assert_string_equal(err.field, "/model/pruning_loc/1");
            continue;
        }
        assert_false(ok);
        assert_string_equal(err.field, wrong[i][1]);
        assert_string_equal(err.message, wrong[i][2]);
    }
}

static void it_begins_from_a_vit_of_its_sizes(void **state) {
    (void)state;
    Model *m = model_of(&model_dynamic_vit, "img_size=16 patch_size=4 embed_dim=32 depth=4 num_heads=4 num_classes=3");
    Model *v = model_of(&model_vit, "img_size=16 patch_size=4 embed_dim=32 depth=4 num_heads=4 num_classes=3");
    Model *other = model_of(&model_vit, "img_size=16 patch_size=4 embed_dim=32 depth=4 num_heads=4 num_classes=5");
    Error  err = {0};
    params_init(v->params, 99);
    golden_check(m->kind->init_from(m->self, v, "backbone", &err), &err);
    for (int i = 0; i < params_count(v->params); i++) {
        const Param  *p = params_at(v->params, i);
        const Tensor *own = params_find(m->params, p->name)->tensor;
        assert_memory_equal(own->data, p->tensor->data, (size_t)tensor_count(own) * sizeof(Real));
    }
    assert_false(m->kind->init_from(m->self, other, "backbone", &err));
    assert_string_equal(err.field, "head.weight");
    assert_false(m->kind->init_from(m->self, v, "all", &err));
    assert_string_equal(err.message, "unknown rule \"all\"; known for dynamic_vit: backbone");
    assert_false(m->kind->init_from(m->self, m, "backbone", &err));
    model_destroy(m);
    model_destroy(v);
    model_destroy(other);
}

/* ---- costs ---- */

static void presets_have_the_published_numbers(void **state) {
    (void)state;
    static const struct { const char *name; int64_t params, backbone, predictors, layer_norm; } expected[] = {
        {"dynamicvit_deit_tiny_0.7",  5899582,  775458048,   25740000,  671424},
        {"dynamicvit_deit_small_0.9", 22774414, 3913635840,  127098240, 1815936},
        {"dynamicvit_deit_small_0.8", 22774414, 3348665088,  114388416, 1560576},
        {"dynamicvit_deit_small_0.7", 22774414, 2878020096,  102877632, 1342848},
        {"dynamicvit_deit_small_0.6", 22774414, 2472868608,  91846464,  1152000},
        {"dynamicvit_deit_small_0.5", 22774414, 2146806528,  82254144,  996096},
        {"dynamicvit_deit_base_0.7",  89452846, 11064456192, 411345792, 2685696},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        Model      *m = NULL;
        Error       err = {0};
        ModelCounts c;
        golden_check(model_from_preset(&m, expected[i].name, NULL, &err), &err);
        m->kind->count(m->self, &(RouteCounts){0}, &c);
        assert_int_equal(params_elements(m->params), expected[i].params);
        assert_int_equal(c.macs - c.macs_router, expected[i].backbone);
        assert_int_equal(c.macs_router, expected[i].predictors);
        assert_int_equal(c.layer_norm_elements, expected[i].layer_norm);
        model_destroy(m);
    }
}

static void what_runs_is_what_the_closed_form_says_also_with_given_depths(void **state) {
    (void)state;
    static const char *const settings[] = {
        "img_size=28 in_chans=1 patch_size=4 embed_dim=24 depth=6 num_heads=3 num_classes=5",
        "img_size=12 patch_size=3 embed_dim=16 depth=5 num_heads=2 num_classes=3 pruning_loc=[0,4] token_ratio=[1,0.2] mlp_ratio=2.5",
        "img_size=20 in_chans=2 patch_size=5 embed_dim=8 depth=3 num_heads=1 num_classes=9 pruning_loc=[2] token_ratio=[0.1]",
    };
    Tape *tape = tape_of(&backend_reference);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        for (int given = 0; given < 2; given++) {
            Model            *m = model_of(&model_dynamic_vit, settings[i]);
            const DynamicVit *v = m->self;
            const int         B = 3, n = 1 + v->n_patches;
            int32_t          *depth = calloc((size_t)(B * n), sizeof *depth);
            ModelOutput       y;
            ModelCounts       sum = {0};
            assert_non_null(depth);
            for (int k = 0; k < B * n; k++) depth[k] = k % n == 0 || k % 3 == 1 ? v->depth : v->pruning_loc.value[k % v->pruning_loc.n];
            profile_clear(tape_profile(tape));
            tape_begin(tape, false, (TapeStep){0});
            Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){B, v->in_chans, v->img_size, v->img_size});
            m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids, .given = given ? &(RouteGiven){.depth = depth} : NULL}, &y);
            assert_false(tape_failed(tape));
            if (given) assert_memory_equal(depth, y.depth, (size_t)(B * n) * sizeof *depth);
            for (int b = 0; b < B; b++) {
                ModelCounts c;
                RouteCounts route = {.n_steps = y.n_steps};
                memcpy(route.active, y.active + b * y.n_steps, (size_t)y.n_steps * sizeof(int));
                m->kind->count(m->self, &route, &c);
                sum.macs += c.macs;
                sum.macs_router += c.macs_router;
                sum.elementwise += c.elementwise;
                sum.layer_norm_elements += c.layer_norm_elements;
                if (given) continue;
                ModelCounts nominal;
                m->kind->count(m->self, &(RouteCounts){0}, &nominal);
                assert_memory_equal(&nominal, &c, sizeof c);
            }
            const ProfileWork whole = profile_total(tape_profile(tape), 0, 0);
            assert_int_equal(whole.macs, sum.macs);
            assert_int_equal(whole.elementwise, sum.elementwise);
            assert_int_equal(profile_kind(tape_profile(tape), "layer_norm")->forward.elementwise, 5 * sum.layer_norm_elements);
            int64_t router = 0;
            for (int s = 0; s < tape_profile(tape)->n_scopes; s++)
                if (strcmp(tape_profile(tape)->scope[s].name != NULL ? tape_profile(tape)->scope[s].name : "", "predictor") == 0)
                    router += tape_profile(tape)->scope[s].forward.macs;
            assert_int_equal(router, sum.macs_router);

            profile_clear(tape_profile(tape));                   /* training computes every row, and the count shows it */
            tape_begin(tape, false, (TapeStep){.training = true});
            images = sample_tensor(tape, 0, 4, (int64_t[]){B, v->in_chans, v->img_size, v->img_size});
            m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids}, &y);
            assert_true(profile_total(tape_profile(tape), 0, 0).macs > sum.macs);
            free(depth);
            model_destroy(m);
        }
    tape_destroy(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_kept_tokens_are_the_official_ones_on_every_backend),
        cmocka_unit_test(training_steps_are_the_official_ones_on_every_backend),
        cmocka_unit_test(masked_training_and_gathered_inference_agree),
        cmocka_unit_test(tokens_for_a_teacher_are_the_kept_patches_with_their_places),
        cmocka_unit_test(a_frozen_backbone_leaves_the_gradients_of_the_predictors_as_they_were),
        cmocka_unit_test(a_decision_is_hard_forwards_and_soft_backwards),
        cmocka_unit_test(an_image_that_would_lose_every_token_keeps_the_likeliest),
        cmocka_unit_test(an_empty_policy_makes_zeros_and_not_a_number_nowhere),
        cmocka_unit_test(what_an_image_draws_does_not_depend_on_its_batch),
        cmocka_unit_test(equal_scores_keep_the_lower_patches),
        cmocka_unit_test(impossible_settings_are_refused_by_name),
        cmocka_unit_test(it_begins_from_a_vit_of_its_sizes),
        cmocka_unit_test(presets_have_the_published_numbers),
        cmocka_unit_test(what_runs_is_what_the_closed_form_says_also_with_given_depths),
    };
    return cmocka_run_group_tests_name("dynamic_vit", tests, NULL, NULL);
}
