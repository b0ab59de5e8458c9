/* TinyViT: the answers of timm's class (logits, traces, training steps with batch norm), folding, both namings of weight files,
 * resampled biases, settings that cannot be, and the closed-form cost against what ran. */
#include "baselines/tiny_vit.h"
#include "harness/train/train.h"
#include "harness/train/train_groups.h"
#include "tests/golden_train.h"

#include <unistd.h>

static const double  logits_limit = 2e-5;
static const int64_t image_ids[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* ---- parity ---- */

typedef struct TraceCheck { const SafeFile *expected; int n_checked; double worst; } TraceCheck;

static void check_trace(void *self, const char *name, const Tensor *value) {
    TraceCheck *check = self;
    char        full[160];
    snprintf(full, sizeof full, "trace.%s", name);
    const SafeEntry *entry = safetensors_find(check->expected, full);
    if (entry == NULL) return;
    assert_int_equal(entry->n_dims, value->n_dims);
    for (int i = 0; i < value->n_dims; i++) assert_int_equal(entry->dim[i], value->dim[i]);
    double *e = golden_values(check->expected, full, NULL);
    check->worst = fmax(check->worst, largest_difference(value->data, e, tensor_count(value)));
    check->n_checked++;
    free(e);
}

static void logits_and_traces_are_timms_on_every_backend(void **state) {
    (void)state;
    EACH_BACKEND(backend) {
        Model     *m        = golden_model("tiny_vit", 0);
        SafeFile  *expected = golden_expected("tiny_vit");
        Tape      *tape     = NULL;
        Error      err      = {0};
        TraceCheck check    = {.expected = expected};
        ModelOutput y;
        int64_t    count;
        assert_true(tape_create(&tape, backend, &err));
        double *logits = golden_values(expected, "logits", &count);
        for (int traced = 0; traced < 2; traced++) {
            tape_begin(tape, false, (TapeStep){0});
            if (traced) tape_set_trace(tape, check_trace, &check);
            m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, expected), .image_id = image_ids}, &y);
            assert_false(tape_failed(tape));
            assert_int_equal(count, tensor_count(y.logits));
            const double worst = largest_difference(y.logits->data, logits, count);
            printf("           %-10s logits off by %.1e at most, %d traces by %.1e\n", backend->name, worst, check.n_checked, check.worst);
            assert_true(worst <= logits_limit);
        }
        assert_int_equal(check.n_checked, 6);
        assert_true(check.worst <= logits_limit);
        free(logits);
        tape_destroy(tape);
        safetensors_close(expected);
        model_destroy(m);
    }
}

/* Gradients that are zero in theory become steps of lr under AdamW: a key's bias, which softmax ignores (here key rows lie in
 * every head's third), and what a batch norm removes from the mean. */
static bool is_zero_in_theory(const Model *model, const char *name, int64_t element) {
    const TinyVit *m = model->self;
    int            s;
    if (strcmp(name, "stages.2.downsample.conv1.bn.running_mean") == 0 || strcmp(name, "stages.3.downsample.conv1.bn.running_mean") == 0)
        return true;
    if (strstr(name, "qkv.bias") == NULL || sscanf(name, "stages.%d.", &s) != 1) return false;
    const int E = m->embed_dims.value[s] / m->num_heads.value[s];
    return element / E % 3 == 1;
}

static void training_steps_are_timms_on_every_backend(void **state) {
    (void)state;
    EACH_BACKEND(backend) {
        Model    *m        = golden_model("tiny_vit_train", 0);
        SafeFile *expected = golden_expected("tiny_vit_train");
        Tape     *tape     = NULL;
        Error     err      = {0};
        float     images[3 * 3 * 56 * 56];
        int32_t   label[3];
        assert_true(tape_create(&tape, backend, &err));
        golden_check(params_want_grads(m->params, &err) && params_want_state(m->params, &err), &err);
        const SafeEntry *input = safetensors_find(expected, "input");
        assert_int_equal(input->n_values, sizeof images / sizeof *images);
        golden_check(safetensors_to_float(input, images, &err), &err);
        golden_labels(expected, label, 3);
        TrainSettings s;
        fields_default(train_fields, &s);
        s.lr = 1e-3;
        s.label_smoothing = 0;
        s.weight_decay = 0.05;
        const Optimizer  *o;
        OptimizerSettings settings;
        assert_true(train_optimizer(&s, &o, &settings, &err));
        for (int step = 0; step < 3; step++) {
            StepReport report;
            golden_check(train_gradients(m, tape, &s, step, &(TrainBatch){images, label, image_ids, 3}, &report, &err), &err);
            const double off = fabs(report.loss - golden_number(expected, "step%d.loss", step));
            printf("           %-10s step %d: loss off by %.1e\n", backend->name, step, off);
            assert_true(off <= (step == 0 ? 1e-5 : 1e-4));
            if (step == 0) {
                const double norm = golden_number(expected, "step%d.grad_norm", 0);
                assert_true(fabs(report.grad_norm - norm) <= 1e-3 * norm);
                golden_gradients(m, expected);
            }
            train_update(m, tape, &s, o, step + 1, s.lr, report.grad_norm);
        }
        golden_after(m, expected, is_zero_in_theory, 38);
        tape_destroy(tape);
        safetensors_close(expected);
        model_destroy(m);
    }
}

/* ---- folding ---- */

static void run_input(Model *m, Tape *tape, const SafeFile *f, bool recording, ModelOutput *y) {
    tape_begin(tape, recording, (TapeStep){0});
    m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, f), .image_id = image_ids}, y);
    assert_false(tape_failed(tape));
}

/* A recorded pass outside training normalises by the running statistics without folding. */
static void folding_changes_logits_by_rounding_only_and_follows_its_weights(void **state) {
    (void)state;
    Model    *m     = golden_model("tiny_vit", 0);
    SafeFile *f     = golden_expected("tiny_vit");
    Tape     *tape  = NULL;
    Error     err   = {0};
    double    logits[20] = {0};
    ModelOutput y;
    assert_true(tape_create(&tape, backend_default(), &err));
    for (int changed = 0; changed < 2; changed++) {
        if (changed) {
            Param *p = params_find(m->params, "stages.2.downsample.conv2.bn.running_mean");
            p->tensor->data[3] += (Real)0.5;
            param_touch(p);
        }
        run_input(m, tape, f, true, &y);
        double before[20];
        memcpy(before, logits, sizeof before);
        for (int i = 0; i < 20; i++) logits[i] = (double)y.logits->data[i];
        if (changed) assert_true(fabs(before[0] - logits[0]) > 1e-3);
        run_input(m, tape, f, false, &y);
        assert_true(largest_difference(y.logits->data, logits, 20) <= 5e-5);
    }
    tape_destroy(tape);
    safetensors_close(f);
    model_destroy(m);
}

static void running_statistics_move_only_after_a_step(void **state) {
    (void)state;
    Model  *m    = golden_model("tiny_vit_train", 0);
    Tape   *tape = NULL;
    Error   err  = {0};
    Tensor *mean = params_find(m->params, "patch_embed.conv1.bn.running_mean")->tensor;
    SafeFile *f  = golden_expected("tiny_vit_train");
    const Real before = mean->data[0];
    ModelOutput y;
    assert_true(tape_create(&tape, backend_default(), &err));
    golden_check(params_want_grads(m->params, &err), &err);
    for (int pass = 0; pass < 3; pass++) {                  /* a step that was given up, in a pass or after it, leaves no trace */
        tape_begin(tape, true, (TapeStep){.training = true});
        m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, f), .image_id = image_ids}, &y);
        if (pass > 0) m->kind->after_pass(m->self, 0);
        assert_true(mean->data[0] == before);
    }
    Tensor       *batch = ((TinyVit *)m->self)->conv1.batch_mean;
    const double  one   = 0.9 * (double)before + 0.1 * (double)batch->data[0];
    m->kind->after_step(m->self);
    const Real after = mean->data[0];
    assert_true(after != before && after == (Real)one);
    m->kind->after_step(m->self);                           /* without a pass since: nothing to take */
    assert_true(mean->data[0] == after);
    tape_destroy(tape);
    safetensors_close(f);
    model_destroy(m);
}

/* Bias tables are spread once: a second pass finds them, and one over other tables makes them anew. */
static void biases_are_made_once_for_each_version_of_their_table(void **state) {
    (void)state;
    Model    *m    = golden_model("tiny_vit", 0);
    SafeFile *f    = golden_expected("tiny_vit");
    Tape     *tape = NULL;
    Error     err  = {0};
    Tensor   *table = params_find(m->params, "stages.1.blocks.0.attn.attention_biases")->tensor;
    TinyBlock *w   = &((TinyVit *)m->self)->block[1][0];
    double    logits[20] = {0}, before[20];
    ModelOutput y;
    assert_true(tape_create(&tape, backend_default(), &err));
    for (int changed = 0; changed < 2; changed++) {
        if (changed) {
            for (int64_t i = 0; i < tensor_count(table); i++) table->data[i] += (Real)(i % 3);
            tensor_touch(table);
        }
        memcpy(before, logits, sizeof before);
        run_input(m, tape, f, false, &y);
        assert_int_equal(profile_kind(tape_profile(tape), "window_bias")->forward.calls, 0);
        for (int i = 0; i < 20; i++) logits[i] = (double)y.logits->data[i];
        assert_true(largest_difference(y.logits->data, before, 20) > 1e-3);
        assert_true(w->bias_from == table->version);
        run_input(m, tape, f, false, &y);
        assert_true(largest_difference(y.logits->data, logits, 20) == 0);
    }
    run_input(m, tape, f, true, &y);                        /* a recorded pass spreads the table itself */
    assert_true(profile_kind(tape_profile(tape), "window_bias")->forward.calls > 0);
    assert_true(largest_difference(y.logits->data, logits, 20) <= 5e-5);
    tape_destroy(tape);
    safetensors_close(f);
    model_destroy(m);
}

/* The golden training case, ready for steps of the trainer. */
typedef struct Lesson {
    Model            *m;
    Tape             *tape;
    const ConvBn     *u;                                    /* its first convolution */
    float             images[3 * 3 * 56 * 56];
    int32_t           label[3];
    TrainSettings     s;
    StepReport        report;
    const Optimizer  *o;
    OptimizerSettings settings;
} Lesson;

static void open_lesson(Lesson *l) {
    Error     err = {0};
    SafeFile *f   = golden_expected("tiny_vit_train");
    *l   = (Lesson){.m = golden_model("tiny_vit_train", 0)};
    l->u = &((TinyVit *)l->m->self)->conv1;
    fields_default(train_fields, &l->s);
    golden_check(safetensors_to_float(safetensors_find(f, "input"), l->images, &err), &err);
    golden_labels(f, l->label, 3);
    assert_true(tape_create(&l->tape, backend_default(), &err) && train_optimizer(&l->s, &l->o, &l->settings, &err));
    golden_check(params_want_grads(l->m->params, &err) && params_want_state(l->m->params, &err), &err);
    safetensors_close(f);
}

static void close_lesson(Lesson *l) {
    tape_destroy(l->tape);
    model_destroy(l->m);
}

/* One image a pass, two passes a step: 0.9 (0.9 running + 0.1 first) + 0.1 second, and no step more than two of one pass. */
static void running_statistics_take_every_pass_of_a_step(void **state) {
    (void)state;
    Error  err = {0};
    Lesson l;
    open_lesson(&l);
    l.s.accumulate = 2;
    double mean = (double)l.u->running_mean->data[1], variance = (double)l.u->running_var->data[1];
    const double before = mean;
    for (int index = 0; index < 2; index++) {
        const TrainBatch one = {l.images + index * 3 * 56 * 56, l.label + index, image_ids + index, 1};
        golden_check(train_pass(l.m, l.tape, &l.s, &(TrainPass){.index = index, .n_steps = 1}, &one, &l.report, &err), &err);
        mean     = 0.9 * mean + 0.1 * (double)l.u->batch_mean->data[1];
        variance = 0.9 * variance + 0.1 * (double)l.u->batch_var->data[1];
        assert_true((double)l.u->running_mean->data[1] == before);
    }
    train_update(l.m, l.tape, &l.s, l.o, 1, 1e-3, train_settle(l.m, l.tape, &l.s));
    assert_true(fabs((double)l.u->running_mean->data[1] - mean) <= 1e-6 * fmax(1, fabs(mean)));
    assert_true(fabs((double)l.u->running_var->data[1] - variance) <= 1e-6 * fmax(1, fabs(variance)));
    close_lesson(&l);
}

/* freeze_bn: gains train, statistics do not. */
static void statistics_alone_can_be_frozen(void **state) {
    (void)state;
    Error  err = {0};
    Lesson l;
    open_lesson(&l);
    l.s.freeze_bn = true;
    const Real mean = l.u->running_mean->data[0], gain = l.u->gain->data[0];
    golden_check(train_gradients(l.m, l.tape, &l.s, 0, &(TrainBatch){l.images, l.label, image_ids, 3}, &l.report, &err), &err);
    train_update(l.m, l.tape, &l.s, l.o, 1, 1e-3, l.report.grad_norm);
    assert_true(l.u->running_mean->data[0] == mean && l.u->gain->data[0] != gain);
    close_lesson(&l);
}

/* Where gains are frozen, training normalises as inference does and leaves the statistics alone. */
static void a_frozen_batch_norm_uses_and_keeps_its_running_statistics(void **state) {
    (void)state;
    Model    *m    = golden_model("tiny_vit_train", 0);
    Tape     *tape = NULL;
    Error     err  = {0};
    SafeFile *f    = golden_expected("tiny_vit_train");
    const Tensor *mean = params_find(m->params, "patch_embed.conv1.bn.running_mean")->tensor;
    const Real    before = mean->data[0];
    TrainSettings s;
    ModelOutput   y;
    double        logits[30] = {0}, plain[30];
    fields_default(train_fields, &s);
    assert_true(fields_set_from_text(train_fields, &s, "lr_scale=head=1,*=0", "", &err));
    golden_check(train_groups_apply(m->params, &s, 1, &err) && params_want_grads(m->params, &err) && tape_create(&tape, backend_default(), &err), &err);
    for (int training = 0; training < 2; training++) {
        tape_begin(tape, true, (TapeStep){.training = training});
        m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, f), .image_id = image_ids}, &y);
        memcpy(plain, logits, sizeof plain);
        assert_true(tensor_count(y.logits) <= 30);
        for (int64_t i = 0; i < tensor_count(y.logits); i++) logits[i] = (double)y.logits->data[i];
        if (training) m->kind->after_pass(m->self, 0);
    }
    m->kind->after_step(m->self);
    assert_true(mean->data[0] == before);
    for (int64_t i = 0; i < tensor_count(y.logits); i++) assert_true(fabs(logits[i] - plain[i]) <= logits_limit);
    tape_destroy(tape);
    safetensors_close(f);
    model_destroy(m);
}

/* ---- weight files ---- */

static char path[] = "/tmp/test_tiny_vit.XXXXXX";

/* Saves m with the official names: written from the table of baselines, not from known_as. */
static void save_official(const Model *m, bool num_batches, bool twice) {
    SafeWriter *w   = NULL;
    Error       err = {0};
    char        name[2 * PARAM_NAME_MAX];
    const int64_t one = 7;
    golden_check(safe_writer_create(&w, &err), &err);
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        char         rest[PARAM_NAME_MAX];
        int          s;
        if (sscanf(p->name, "patch_embed.conv1.%95s", rest) == 1) snprintf(name, sizeof name, "patch_embed.seq.0.%s", rest);
        else if (sscanf(p->name, "patch_embed.conv2.%95s", rest) == 1) snprintf(name, sizeof name, "patch_embed.seq.2.%s", rest);
        else if (sscanf(p->name, "head.norm.%95s", rest) == 1) snprintf(name, sizeof name, "norm_head.%s", rest);
        else if (sscanf(p->name, "head.fc.%95s", rest) == 1) snprintf(name, sizeof name, "head.%s", rest);
        else if (sscanf(p->name, "stages.%d.downsample.%95s", &s, rest) == 2) snprintf(name, sizeof name, "layers.%d.downsample.%s", s - 1, rest);
        else if (sscanf(p->name, "stages.%d.%95s", &s, rest) == 2) snprintf(name, sizeof name, "layers.%d.%s", s, rest);
        else fail_msg("%s has no official name", p->name);
        char *conv = strstr(name, ".conv.weight");
        if (conv != NULL) strcpy(conv, ".c.weight");
        golden_check(safe_writer_add(w, name, SAFE_F32, p->tensor->n_dims, p->tensor->dim, p->tensor->data, &err), &err);
        if (twice && i == 0) golden_check(safe_writer_add(w, p->name, SAFE_F32, p->tensor->n_dims, p->tensor->dim, p->tensor->data, &err), &err);
    }
    if (num_batches) golden_check(safe_writer_add(w, "patch_embed.seq.0.bn.num_batches_tracked", SAFE_I64, 0, NULL, &one, &err), &err);
    golden_check(safe_writer_save(w, path, NULL, &err), &err);
    safe_writer_destroy(w);
}

static void official_names_load_like_timms(void **state) {
    (void)state;
    Model *m = golden_model("tiny_vit_train", 0), *n = golden_model("tiny_vit_train", 0);
    Error  err = {0};
    char   warning[512];
    save_official(m, true, false);
    params_init(n->params, 3);
    golden_check(model_load(n, path, (LoadOptions){0}, NULL, warning, &err), &err);
    assert_string_equal(warning, "");
    for (int i = 0; i < params_count(m->params); i++) {
        const Tensor *a = params_at(m->params, i)->tensor, *b = params_at(n->params, i)->tensor;
        assert_memory_equal(a->data, b->data, (size_t)tensor_count(a) * sizeof(Real));
    }
    save_official(m, false, true);                          /* one tensor under both names: which of them is meant? */
    assert_false(model_load(n, path, (LoadOptions){0}, NULL, NULL, &err));
    assert_non_null(strstr(err.message, "not of this model (1): patch_embed.seq.0.c.weight"));
    model_destroy(m);
    model_destroy(n);
}

static void biases_of_another_window_are_resampled(void **state) {
    (void)state;
    Model *m = golden_model("tiny_vit", 0), *n = NULL;
    Error  err = {0};
    char   warning[512];
    golden_check(model_save(m, path, NULL, &err), &err);
    golden_check(model_new(&n, &model_tiny_vit, &err), &err);
    golden_check(fields_set_from_text(model_tiny_vit.fields, n->self, "img_size=112 embed_dims=[24,32,48,64] depths=[1,2,2,1] num_heads=[1,2,3,4] "
                                      "window_sizes=[7,9,14,7] num_classes=10", "/model", &err) && model_build(n, &err), &err);
    golden_check(model_load(n, path, (LoadOptions){0}, NULL, warning, &err), &err);
    assert_non_null(strstr(warning, "stages.1.blocks.0.attn.attention_biases resampled from (2,49) to (2,81)"));
    const Tensor *from = params_find(m->params, "stages.1.blocks.0.attn.attention_biases")->tensor;
    const Tensor *to   = params_find(n->params, "stages.1.blocks.0.attn.attention_biases")->tensor;
    /* the middle of both grids is the same place: the kernel there is 1 at 0 and 0 at every other cell */
    assert_true(fabs((double)(to->data[81 + 40] - from->data[49 + 24])) <= 1e-6);
    model_destroy(m);
    model_destroy(n);
}

/* ---- settings ---- */

static Model *tiny_of(const char *settings, Error *err) {
    Model *m = NULL;
    if (!model_new(&m, &model_tiny_vit, err)) return NULL;
    if (fields_set_from_text(model_tiny_vit.fields, m->self, settings, "/model", err) && model_build(m, err)) return m;
    model_destroy(m);
    return NULL;
}

static void impossible_settings_are_refused_by_name(void **state) {
    (void)state;
    static const char *const wrong[][3] = {
        {"embed_dims=[8,8]", "/model/embed_dims", "must have 4 entries, one a stage, got 2"},
        {"embed_dims=[7,8,8,8]", "/model/embed_dims/0", "must be even, got 7"},
        {"embed_dims=[8,8,12,8] num_heads=[1,2,5,2]", "/model/num_heads/2", "must divide embed_dims 12, got 5"},
        {"window_sizes=[1,1,1]", "/model/window_sizes", "must have 4 entries, one a stage, got 3"},
        {"embed_dims=9999", "/model/embed_dims", "one number is at most 4096, got 9999"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Error err = {0};
        assert_null(tiny_of(wrong[i][0], &err));
        assert_string_equal(err.field, wrong[i][1]);
        assert_string_equal(err.message, wrong[i][2]);
    }
}

/* ---- costs ---- */

static void presets_have_the_published_numbers(void **state) {
    (void)state;
    static const struct { const char *name; int64_t params, macs, attention, batch_norm, layer_norm; } expected[] = {
        {"tiny_vit_5m_224",  5392764,  1255174720,  96500992,   5519360,  840768},
        {"tiny_vit_11m_224", 10996972, 2016046144,  141985536,  5795328,  1091776},
        {"tiny_vit_21m_224", 21198568, 4250329536,  212056320,  8655360,  1618752},
        {"tiny_vit_21m_384", 21230488, 13697865216, 1831403520, 25436160, 4756032},
        {"tiny_vit_21m_512", 21268120, 26883623424, 5788139520, 45219840, 8454720},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        Model      *m = NULL;
        Error       err = {0};
        ModelCounts c;
        golden_check(model_from_preset(&m, expected[i].name, NULL, &err), &err);
        m->kind->count(m->self, &(RouteCounts){0}, &c);
        assert_int_equal(params_elements(m->params), expected[i].params);
        assert_int_equal(c.macs, expected[i].macs);
        assert_true(c.macs_attention == expected[i].attention || strcmp(expected[i].name, "tiny_vit_5m_224") != 0);
        assert_int_equal(c.batch_norm_elements, expected[i].batch_norm);
        assert_int_equal(c.layer_norm_elements, expected[i].layer_norm);
        model_destroy(m);
    }
}

static void a_window_of_14_at_256_pixels_pads_as_published(void **state) {
    (void)state;
    Model      *m = NULL;
    Error       err = {0};
    ModelCounts c;
    golden_check(model_from_preset(&m, "tiny_vit_21m_224", "img_size=256", &err), &err);
    m->kind->count(m->self, &(RouteCounts){0}, &c);
    assert_int_equal((c.macs + 5000000) / 10000000, 833);      /* 8.33 GMAC */
    model_destroy(m);
}

static Backend counting;
static int64_t n_outputs;
static void counting_gemm(const Gemm *g) {
    n_outputs += g->M * g->N;
    backend_reference.gemm(g);
}
static void counting_depthwise(const DepthwiseArgs *a) {
    n_outputs += a->B * map_side(a->height, a->stride) * map_side(a->width, a->stride) * a->C;
    backend_reference.depthwise(a);
}
static void counting_attention(const AttentionArgs *a) {
    for (int s = 0; s < a->n_sequences; s++) {
        const int64_t Nq = a->q_offset[s + 1] - a->q_offset[s], Nk = a->k_offset[s + 1] - a->k_offset[s];
        n_outputs += a->H * Nq * (Nk + a->Ev);
    }
    backend_reference.attention(a);
}

static void what_runs_is_what_the_closed_form_says_with_and_without_padding(void **state) {
    (void)state;
    static const char *const settings[] = {
        "img_size=28 in_chans=1 embed_dims=8 depths=[1,1,1,1] num_classes=5",
        "img_size=32 embed_dims=[8,12,16,20] depths=[2,1,2,1] num_heads=[1,3,2,5] window_sizes=[9,3,5,7] mlp_ratio=2.5 num_classes=3",
        "img_size=45 in_chans=2 embed_dims=[6,8,12,16] depths=[1,2,1,1] num_heads=[1,2,3,4] window_sizes=[1,4,2,1] mbconv_expand_ratio=1.5",
    };
    Tape *tape = NULL;
    Error err  = {0};
    counting           = backend_reference;
    counting.gemm      = counting_gemm;
    counting.depthwise = counting_depthwise;
    counting.attention = counting_attention;
    assert_true(tape_create(&tape, &counting, &err));
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        Model *m = tiny_of(settings[i], &err);
        if (m == NULL) fail_msg("%s %s", err.field, err.message);
        params_init(m->params, 5);
        golden_check(params_want_grads(m->params, &err), &err);  /* a gain without one is frozen */
        const TinyVit *v = m->self;
        const int      B = (int)i + 1;
        ModelCounts    c;
        m->kind->count(m->self, &(RouteCounts){0}, &c);
        for (int training = 0; training < 2; training++) {
            ModelOutput y;
            profile_clear(tape_profile(tape));
            n_outputs = 0;
            tape_begin(tape, training, (TapeStep){.training = training});
            Tensor *images = sample_tensor(tape, 0, 4, (int64_t[]){B, v->in_chans, v->img_size, v->img_size});
            images->needs_grad = false;
            m->kind->forward(m->self, tape, &(ModelInput){.images = images, .image_id = image_ids}, &y);
            assert_false(tape_failed(tape));
            const ProfileWork whole = profile_total(tape_profile(tape), 0, 0);
            assert_int_equal(whole.macs, B * c.macs);
            assert_int_equal(n_outputs, B * c.activations);
            assert_int_equal(profile_kind(tape_profile(tape), "attention")->forward.macs, B * c.macs_attention);
            assert_int_equal(profile_kind(tape_profile(tape), "layer_norm")->forward.elementwise, 5 * B * c.layer_norm_elements);
            if (!training) assert_int_equal(whole.elementwise, B * c.elementwise);
            else assert_int_equal(profile_kind(tape_profile(tape), "batch_norm")->forward.elementwise, 5 * B * c.batch_norm_elements);
        }
        model_destroy(m);
    }
    tape_destroy(tape);
}

static int make_file(void **state) {
    (void)state;
    const int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}
static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_traces_are_timms_on_every_backend),
        cmocka_unit_test(training_steps_are_timms_on_every_backend),
        cmocka_unit_test(folding_changes_logits_by_rounding_only_and_follows_its_weights),
        cmocka_unit_test(biases_are_made_once_for_each_version_of_their_table),
        cmocka_unit_test(running_statistics_move_only_after_a_step),
        cmocka_unit_test(running_statistics_take_every_pass_of_a_step),
        cmocka_unit_test(statistics_alone_can_be_frozen),
        cmocka_unit_test(a_frozen_batch_norm_uses_and_keeps_its_running_statistics),
        cmocka_unit_test(official_names_load_like_timms),
        cmocka_unit_test(biases_of_another_window_are_resampled),
        cmocka_unit_test(impossible_settings_are_refused_by_name),
        cmocka_unit_test(presets_have_the_published_numbers),
        cmocka_unit_test(a_window_of_14_at_256_pixels_pads_as_published),
        cmocka_unit_test(what_runs_is_what_the_closed_form_says_with_and_without_padding),
    };
    return cmocka_run_group_tests_name("tiny_vit", tests, make_file, remove_file);
}
