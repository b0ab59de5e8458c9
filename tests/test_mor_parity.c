/* MoR-ViT against a dense oracle of its specification, on every backend: all sharing schemes, routers, rules of keys and
 * values, combine rules and nets. Limits: logits 2e-5 absolute, depths equal; losses 1e-4 (their parts at step 0: 1e-5),
 * gradients ||g-e|| <= 1e-3 ||e|| + 1e-6 grad_norm. */
#include "tests/golden_train.h"

#include "harness/train/train.h"

static const double  logits_limit = 2e-5;
static const int64_t image_ids[8] = {0, 1, 2, 3, 4, 5, 6, 7};

static const char *const forward_cases[] = {
    "mor_cycle_paper", "mor_expert_active", "mor_expert_all", "mor_expert_all_k2", "mor_expert_share", "mor_expert_update", "mor_layer",
    "mor_mean_pool", "mor_middle_sequence", "mor_mlp2", "mor_once_mlp3", "mor_recursive", "mor_replace", "mor_sequence", "mor_token_active",
    "mor_token_all", "mor_token_share"};
static const char *const train_cases[] = {
    "mor_cycle_paper_train", "mor_expert_active_train", "mor_expert_all_k2_train", "mor_expert_all_train", "mor_expert_share_train",
    "mor_expert_update_train", "mor_layer_train", "mor_once_mlp3_train", "mor_recursive_train", "mor_token_active_train",
    "mor_token_share_train"};
enum { N_FORWARD = sizeof forward_cases / sizeof *forward_cases, N_TRAIN = sizeof train_cases / sizeof *train_cases, IMAGES = 3 };

static void check_depth(const ModelOutput *y, const SafeFile *expected, const char *name) {
    const SafeEntry *e = safetensors_find(expected, name);
    assert_non_null(e);
    assert_non_null(y->depth);
    assert_int_equal(e->n_values, IMAGES * y->n_tokens);
    for (int64_t i = 0; i < e->n_values; i++) {
        int32_t depth;
        memcpy(&depth, (const char *)e->data + 4 * i, 4);
        if (depth != y->depth[i]) fail_msg("token %d has depth %d, expected %d", (int)i, y->depth[i], depth);
    }
}

static double forward_case(const char *name, const Backend *backend) {
    Model    *m        = golden_model(name, 0);
    SafeFile *expected = golden_expected(name);
    Tape     *tape     = NULL;
    Error     err      = {0};
    assert_true(tape_create(&tape, backend, &err));
    ModelOutput y;
    m->kind->forward(m->self, tape, &(ModelInput){.images = golden_input(tape, expected), .image_id = image_ids}, &y);
    assert_false(tape_failed(tape));
    int64_t count;
    double *logits = golden_values(expected, "logits", &count);
    assert_int_equal(count, tensor_count(y.logits));
    const double worst = largest_difference(y.logits->data, logits, count);
    if (!(worst <= logits_limit)) fail_msg("%s on %s: logits off by %g", name, backend->name, worst);
    check_depth(&y, expected, "depth");
    free(logits);
    tape_destroy(tape);
    safetensors_close(expected);
    model_destroy(m);
    return worst;
}

static void logits_and_depths_agree_on_every_backend(void **state) {
    (void)state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        double         worst   = 0;
        if (backend->usable != NULL && !backend->usable()) continue;
        for (int i = 0; i < N_FORWARD; i++) worst = fmax(worst, forward_case(forward_cases[i], backend));
        printf("           %-10s %d cases, logits off by %.1e at most\n", backend->name, N_FORWARD, worst);
    }
}

/* ---- training ---- */

static void read_labels(const SafeFile *expected, int32_t label[IMAGES]) {
    const SafeEntry *e = safetensors_find(expected, "labels");
    for (int b = 0; b < IMAGES; b++) {
        int64_t wide;
        memcpy(&wide, (const char *)e->data + b * 8, 8);
        label[b] = (int32_t)wide;
    }
}

static void check_value(const SafeFile *expected, int step, const char *part, double value, double limit, double *worst) {
    char name[64];
    snprintf(name, sizeof name, "step%d.%s", step, part);
    double      *e = golden_values(expected, name, NULL);
    const double d = fabs(value - e[0]);
    if (!(d <= limit)) fail_msg("%s is %.9g, expected %.9g", name, value, e[0]);
    *worst = fmax(*worst, d);
    free(e);
}

static void train_case(const char *name, const Backend *backend, double *worst_loss, double *worst_gradient, int *n_gradients) {
    Model    *m        = golden_model(name, 0);
    SafeFile *expected = golden_expected(name);
    Tape     *tape     = NULL;
    Error     err      = {0};
    int32_t   label[IMAGES];
    Real     *noise = NULL;
    assert_true(tape_create(&tape, backend, &err));
    golden_check(params_want_grads(m->params, &err) && params_want_state(m->params, &err), &err);
    read_labels(expected, label);
    if (safetensors_find(expected, "gumbel") != NULL) {
        int64_t count;
        double *g = golden_values(expected, "gumbel", &count);
        noise = malloc((size_t)count * sizeof *noise);
        assert_non_null(noise);
        for (int64_t i = 0; i < count; i++) noise[i] = (Real)g[i];
        free(g);
    }
    TrainSettings s;
    fields_default(train_fields, &s);
    s.weight_decay = 0.05;
    const Optimizer  *o;
    OptimizerSettings settings;
    assert_true(train_optimizer(&s, &o, &settings, &err));
    for (int step = 0; step < 2; step++) {
        const double limit = step == 0 ? 1e-5 : 1e-4;
        char         text[64];
        ModelOutput  y;
        tape_begin(tape, true, (TapeStep){.step = step, .n_steps = 2, .training = true});
        Tensor *input = golden_input(tape, expected);
        m->kind->forward(m->self, tape, &(ModelInput){.images = input, .image_id = image_ids, .given = &(RouteGiven){.noise = noise}}, &y);
        Tensor *ce = op_cross_entropy(tape, y.logits, label, NULL, 0), *loss = ce;
        if (y.auxiliary_loss != NULL) loss = op_add(tape, loss, y.auxiliary_loss);
        params_zero_grads(m->params);
        int64_t count;
        snprintf(text, sizeof text, "step%d.logits", step);
        double *logits = golden_values(expected, text, &count);
        assert_true(largest_difference(y.logits->data, logits, count) <= (step == 0 ? logits_limit : 1e-3));   /* after AdamW: see test_parity.c */
        free(logits);
        snprintf(text, sizeof text, "step%d.depth", step);
        check_depth(&y, expected, text);
        check_value(expected, step, "loss", (double)loss->data[0], step == 0 ? 1e-5 : 1e-4, worst_loss);
        check_value(expected, step, "ce", (double)ce->data[0], limit, worst_loss);
        int n_known = 1;
        for (int i = 0; i < y.n_loss_parts; i++, n_known++) check_value(expected, step, y.loss_part[i].name, (double)y.loss_part[i].value->data[0], limit, worst_loss);
        assert_int_equal(n_known, (safetensors_find(expected, "step0.ce") != NULL) + (safetensors_find(expected, "step0.aux_bce") != NULL)
                                  + (safetensors_find(expected, "step0.z_loss") != NULL) + (safetensors_find(expected, "step0.balance_loss") != NULL));
        tape_backward(tape, loss);
        assert_false(tape_failed(tape));
        params_settle_grads(m->params);
        const double grad_norm = params_grad_norm(m->params, backend);
        if (step == 0) {
            double *e = golden_values(expected, "step0.grad_norm", NULL);
            assert_true(fabs(grad_norm - e[0]) <= 1e-3 * e[0]);
            free(e);
            double off;
            *n_gradients    = golden_gradients_within(m, expected, &off);
            *worst_gradient = fmax(*worst_gradient, off);
        }
        train_update(m, tape, &s, o, step + 1, 1e-3, grad_norm);
    }
    free(noise);
    tape_destroy(tape);
    safetensors_close(expected);
    model_destroy(m);
}

static void losses_and_gradients_agree_on_every_backend(void **state) {
    (void)state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        double         worst_loss = 0, worst_gradient = 0;
        int            n = 0, all = 0;
        if (backend->usable != NULL && !backend->usable()) continue;
        for (int i = 0; i < N_TRAIN; i++, all += n) train_case(train_cases[i], backend, &worst_loss, &worst_gradient, &n);
        printf("           %-10s %d cases, losses off by %.1e, %d gradients by %.1e of their norm\n", backend->name, N_TRAIN, worst_loss, all,
               worst_gradient);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_and_depths_agree_on_every_backend),
        cmocka_unit_test(losses_and_gradients_agree_on_every_backend),
    };
    return cmocka_run_group_tests_name("mor_parity", tests, NULL, NULL);
}
