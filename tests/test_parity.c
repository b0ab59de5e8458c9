/* Models against the answers of the official implementations, on every backend.
 * Limits: logits 2e-5 absolute; losses 1e-4; gradients ||g-e|| <= 1e-3 ||e|| + 1e-6 grad_norm; weights after three AdamW
 * steps ||d|| <= 1e-3 ||after||, without the key rows of qkv.bias, whose gradient is zero in theory: AdamW turns its
 * rounding noise into steps of lr. */
#include "tests/golden_train.h"

#include "harness/train/train.h"

static const double logits_limit = 2e-5;
static const int64_t image_ids[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

typedef struct Case { const char *name; int img_size; } Case;
static const Case forward_cases[] = {{"vit", 0}, {"vit_lowvar", 0}, {"vit_resized", 48}, {"deit_distilled", 0}};

typedef struct TraceCheck { const SafeFile *expected; int n_checked; double worst; } TraceCheck;

static void check_trace(void *self, const char *name, const Tensor *value) {
    TraceCheck *check = self;
    char        full[160];
    snprintf(full, sizeof full, "trace.%s", name);
    if (safetensors_find(check->expected, full) == NULL) return;
    int64_t count;
    double *e = golden_values(check->expected, full, &count);
    assert_int_equal(count, tensor_count(value));
    check->worst = fmax(check->worst, largest_difference(value->data, e, count));
    check->n_checked++;
    free(e);
}

static void run_forward_case(const Case *c, const Backend *backend, bool traced) {
    Model    *m        = golden_model(c->name, c->img_size);
    SafeFile *expected = golden_expected(c->name);
    Tape     *tape     = NULL;
    Error     err      = {0};
    assert_true(tape_create(&tape, backend, &err));
    TraceCheck check = {.expected = expected};
    if (traced) tape_set_trace(tape, check_trace, &check);
    ModelOutput y;
    m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, expected), .image_id = image_ids}, &y);
    assert_false(tape_failed(tape));
    int64_t count;
    double *logits = golden_values(expected, "logits", &count);
    assert_int_equal(count, tensor_count(y.logits));
    const double worst = largest_difference(y.logits->data, logits, count);
    printf("           %-15s %-10s logits off by %.1e at most%s", c->name, backend->name, worst, traced ? "" : "\n");
    assert_true(worst <= logits_limit);
    if (traced) {
        printf(", %d traces by %.1e\n", check.n_checked, check.worst);
        assert_true(check.worst <= logits_limit);
        if (strcmp(c->name, "vit") == 0) assert_int_equal(check.n_checked, 7);
    }
    free(logits);
    tape_destroy(tape);
    safetensors_close(expected);
    model_destroy(m);
}

static void logits_agree_on_every_backend(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof forward_cases / sizeof *forward_cases; i++)
        for (int b = 0; b < backend_count(); b++) {
            const Backend *backend = backend_find(backend_partial(b)->name);
            if (backend->usable == NULL || backend->usable()) run_forward_case(&forward_cases[i], backend, false);
        }
}

static void traces_agree(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof forward_cases / sizeof *forward_cases; i++) run_forward_case(&forward_cases[i], backend_default(), true);
}

static void resampled_positions_are_timms(void **state) {
    (void)state;
    Model    *m        = golden_model("vit_resized", 48);
    SafeFile *expected = golden_expected("vit_resized");
    int64_t   count;
    double   *e = golden_values(expected, "pos_embed_resized", &count);
    const Tensor *pos = params_find(m->params, "pos_embed")->tensor;
    assert_int_equal(count, tensor_count(pos));
    assert_true(largest_difference(pos->data, e, count) <= 1e-6);    /* torch computes it in float */
    free(e);
    safetensors_close(expected);
    model_destroy(m);
}

/* The key rows of qkv.bias. */
static bool key_bias(const Model *m, const char *name, int64_t element) {
    const int64_t rows = tensor_count(params_find(m->params, name)->tensor);
    return strstr(name, "qkv.bias") != NULL && element >= rows / 3 && element < 2 * rows / 3;
}

static void three_training_steps_agree(const Backend *backend) {
    Model    *m        = golden_model("vit_train", 0);
    SafeFile *expected = golden_expected("vit_train");
    Tape     *tape     = NULL;
    Error     err      = {0};
    assert_true(tape_create(&tape, backend, &err));
    golden_check(params_want_grads(m->params, &err) && params_want_state(m->params, &err), &err);
    const SafeEntry *input = safetensors_find(expected, "input"), *labels = safetensors_find(expected, "labels");
    float   images[3 * 3 * 32 * 32];
    int32_t label[3];
    assert_int_equal(input->n_values, sizeof images / sizeof *images);
    golden_check(safetensors_to_float(input, images, &err), &err);
    for (int b = 0; b < 3; b++) {
        int64_t wide;
        memcpy(&wide, (const char *)labels->data + b * 8, 8);
        label[b] = (int32_t)wide;
    }
    TrainSettings s;
    fields_default(train_fields, &s);
    s.lr = 1e-3;
    s.label_smoothing = 0.1;
    s.weight_decay = 0.05;
    const Optimizer  *o;
    OptimizerSettings settings;
    assert_true(train_optimizer(&s, &o, &settings, &err));
    for (int step = 0; step < 3; step++) {
        StepReport report;
        char       name[32];
        golden_check(train_gradients(m, tape, &s, step, &(TrainBatch){images, label, image_ids, 3}, &report, &err), &err);
        snprintf(name, sizeof name, "step%d.loss", step);
        double *e = golden_values(expected, name, NULL);
        printf("           %-10s step %d: loss off by %.1e\n", backend->name, step, fabs(report.loss - e[0]));
        assert_true(fabs(report.loss - e[0]) <= (step == 0 ? 1e-5 : 1e-4));
        free(e);
        if (step == 0) {
            e = golden_values(expected, "step0.grad_norm", NULL);
            assert_true(fabs(report.grad_norm - e[0]) <= 1e-3 * e[0]);
            free(e);
            golden_gradients(m, expected);
        }
        train_update(m, tape, &s, o, step + 1, s.lr, report.grad_norm);
    }
    golden_after(m, expected, key_bias, params_count(m->params));
    tape_destroy(tape);
    safetensors_close(expected);
    model_destroy(m);
}

static void training_steps_agree_on_every_backend(void **state) {
    (void)state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable == NULL || backend->usable()) three_training_steps_agree(backend);
    }
}

/* The case vit_lowvar exists for this: its tokens have so little variance that another epsilon shows. */
static void a_wrong_norm_epsilon_would_be_noticed(void **state) {
    (void)state;
    Tape *tape = NULL;
    Error err  = {0};
    assert_true(tape_create(&tape, &backend_reference, &err));
    Tensor *x    = tensor_matrix(tape, 1, 4), *gain = tensor_matrix(tape, 1, 4), *bias = tensor_matrix(tape, 1, 4);
    for (int i = 0; i < 4; i++) {
        x->data[i]    = (Real)(1e-3 * i);
        gain->data[i] = 1;
        bias->data[i] = 0;
    }
    const Tensor *right = op_layer_norm(tape, x, gain, bias, 1e-6), *wrong = op_layer_norm(tape, x, gain, bias, 1e-5);
    assert_true(fabs((double)(right->data[0] - wrong->data[0])) > 1000 * logits_limit);
    tape_destroy(tape);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_agree_on_every_backend),
        cmocka_unit_test(traces_agree),
        cmocka_unit_test(resampled_positions_are_timms),
        cmocka_unit_test(training_steps_agree_on_every_backend),
        cmocka_unit_test(a_wrong_norm_epsilon_would_be_noticed),
    };
    return cmocka_run_group_tests_name("parity", tests, NULL, NULL);
}
