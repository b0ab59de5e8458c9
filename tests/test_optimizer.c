/* Optimizers: each of optimizers.def converges on a quadratic, AdamW and SGD against their formulas in double, weight decay by
 * the tensor's role, on every backend. (The learning rate's schedule: tests/test_train.c.) */
#include "engine/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/dies.h"

static Params *new_params(Tensor *slot[], int n, int64_t count, const ParamRole role[]) {
    Params *p   = NULL;
    Error   err = {0};
    assert_true(params_create(&p, &err));
    for (int i = 0; i < n; i++) param_add(p, &slot[i], (ParamSpec){INIT_NORMAL_002, role[i], 0, 0}, 1, &count, "w%d", i);
    params_init(p, 1);
    assert_true(params_want_grads(p, &err) && params_want_state(p, &err));
    params_zero_grads(p);
    params_settle_grads(p);
    return p;
}

/* f(x) = 1/2 sum a_i (x_i - c_i)^2 with a_i from 0.1 to 10: gradients a_i (x_i - c_i). */
enum { N_QUADRATIC = 40 };
static double curvature(int i) { return 0.1 * pow(100, i / (N_QUADRATIC - 1.0)); }
static double centre(int i) { return sin(3.0 * i); }

static double quadratic(const Tensor *w) {
    double sum = 0;
    for (int i = 0; i < N_QUADRATIC; i++) sum += 0.5 * curvature(i) * pow((double)w->data[i] - centre(i), 2);
    return sum;
}

static double after_steps(const Optimizer *o, const Backend *backend, double sign) {
    Tensor *w;
    Params *p = new_params(&w, 1, N_QUADRATIC, (ParamRole[]){PARAM_DECAYED});
    OptimizerSettings settings = o->defaults;
    settings.weight_decay = 0;                                /* it would pull away from the centre */
    for (int t = 1; t <= 600; t++) {
        params_zero_grads(p);
        params_settle_grads(p);
        for (int i = 0; i < N_QUADRATIC; i++) w->grad[i] = (Real)(sign * curvature(i) * ((double)w->data[i] - centre(i)));
        optimizer_step(o, p, backend, &(OptimizerStep){.settings = &settings, .t = t, .lr = 0.03 * (1 - t / 601.0), .grad_scale = 1});
    }
    const double end = quadratic(w);
    params_destroy(p);
    return end;
}

static void it_converges_on_a_quadratic(void **state) {
    const Optimizer *o = *state;
    Tensor *w;
    Params *p = new_params(&w, 1, N_QUADRATIC, (ParamRole[]){PARAM_DECAYED});
    const double start = quadratic(w);
    params_destroy(p);
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        const double end = after_steps(o, backend, 1);
        printf("           %-6s %-10s %.3g -> %.1e\n", o->name, backend->name, start, end);
        assert_true(end < 1e-3 * start);
    }
    if (after_steps(o, &backend_reference, -1) < 1e-3 * start) fail_msg("%s converges up the hill", o->name);    /* perhaps to NaN */
}

/* ---- formulas ---- */

enum { N = 1003 };                                            /* no multiple of a vector's length */

static double gradient(int i, int t) { return sin(0.7 * i + 1.3 * t) * pow(10, i % 7 - 4); }

static void adamw_follows_its_formula(void **state) {
    (void)state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tensor *w[2];
        Params *p = new_params(w, 2, N, (ParamRole[]){PARAM_DECAYED, PARAM_PLAIN});
        const OptimizerSettings s = {.weight_decay = 0.05, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
        const double lr = 1e-2, clip = 0.5;
        static double x[2][N], m[2][N], v[2][N];
        memset(m, 0, sizeof m);
        memset(v, 0, sizeof v);
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < N; i++) x[k][i] = (double)w[k]->data[i];
        for (int t = 1; t <= 3; t++) {
            for (int k = 0; k < 2; k++)
                for (int i = 0; i < N; i++) {
                    w[k]->grad[i] = (Real)gradient(i, t);
                    const double g = clip * (double)w[k]->grad[i];
                    if (k == 0) x[k][i] -= lr * s.weight_decay * x[k][i];
                    m[k][i] = 0.9 * m[k][i] + 0.1 * g;
                    v[k][i] = 0.999 * v[k][i] + 0.001 * g * g;
                    x[k][i] -= lr * (m[k][i] / (1 - pow(0.9, t))) / (sqrt(v[k][i] / (1 - pow(0.999, t))) + s.eps);
                }
            optimizer_step(&optimizer_adamw, p, backend, &(OptimizerStep){.settings = &s, .t = t, .lr = lr, .grad_scale = clip});
            double worst = 0;
            for (int k = 0; k < 2; k++)
                for (int i = 0; i < N; i++) worst = fmax(worst, fabs((double)w[k]->data[i] - x[k][i]));
            /* a step is at most lr 1.1 = 0.011 and is computed with a handful of float roundings (6e-8 each, relative):
             * 5e-9; a weight of up to 0.1 is rounded to 4e-9 a step */
            assert_true(worst <= 1e-7 * t);
            if (t == 1) assert_true(worst <= 2e-8);
        }
        params_destroy(p);
    }
}

static void sgd_follows_its_formula(void **state) {
    (void)state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tensor *w[2];
        Params *p = new_params(w, 2, N, (ParamRole[]){PARAM_DECAYED, PARAM_PLAIN});
        const OptimizerSettings s = {.weight_decay = 0.1, .momentum = 0.9};
        const double lr = 1e-3, clip = 0.25;
        static double x[2][N], m[2][N];
        memset(m, 0, sizeof m);
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < N; i++) x[k][i] = (double)w[k]->data[i];
        for (int t = 1; t <= 3; t++) {
            for (int k = 0; k < 2; k++)
                for (int i = 0; i < N; i++) {
                    w[k]->grad[i] = (Real)gradient(i, t);
                    m[k][i] = 0.9 * m[k][i] + clip * (double)w[k]->grad[i] + (k == 0 ? s.weight_decay * x[k][i] : 0);
                    x[k][i] -= lr * m[k][i];
                }
            optimizer_step(&optimizer_sgd, p, backend, &(OptimizerStep){.settings = &s, .t = t, .lr = lr, .grad_scale = clip});
            /* gradients of up to 100 move a weight to up to 0.15: 2^-24 of that for each of its few roundings */
            for (int k = 0; k < 2; k++)
                for (int i = 0; i < N; i++) assert_true(fabs((double)w[k]->data[i] - x[k][i]) <= 5e-8 * t);
        }
        params_destroy(p);
    }
}

/* With no gradient at all, only decay moves a weight: by lr wd x in both (SGD's first step). */
static void only_decayed_tensors_decay_and_buffers_are_left_alone(void **state) {
    const Optimizer *o = *state;
    Tensor *w[3];
    Params *p = new_params(w, 3, 8, (ParamRole[]){PARAM_DECAYED, PARAM_PLAIN, PARAM_BUFFER});
    Real before[3][8];
    for (int k = 0; k < 3; k++) memcpy(before[k], w[k]->data, sizeof before[k]);
    OptimizerSettings s = o->defaults;
    s.weight_decay = 0.25;
    const uint64_t buffer_version = w[2]->version;
    optimizer_step(o, p, &backend_reference, &(OptimizerStep){.settings = &s, .t = 1, .lr = 0.5, .grad_scale = 1});
    for (int i = 0; i < 8; i++) {
        assert_true(fabs((double)w[0]->data[i] - 0.875 * (double)before[0][i]) <= 1e-9);     /* 0.1 at most, rounded once: 6e-9/2 */
        assert_true(w[1]->data[i] == before[1][i]);
        assert_true(w[2]->data[i] == before[2][i]);
    }
    assert_true(w[2]->version == buffer_version);
    params_destroy(p);
}

static void a_step_raises_the_version_of_what_it_changed(void **state) {
    const Optimizer *o = *state;
    Tensor *w[2];
    Params *p = new_params(w, 2, 8, (ParamRole[]){PARAM_DECAYED, PARAM_PLAIN});
    const uint64_t before[2] = {w[0]->version, w[1]->version};
    optimizer_step(o, p, &backend_reference, &(OptimizerStep){.settings = &o->defaults, .t = 1, .lr = 0.1, .grad_scale = 1});
    assert_true(w[0]->version > before[0] && w[1]->version > before[1] && w[0]->version != w[1]->version);
    params_destroy(p);
}

static void a_tensor_s_own_rate_scales_its_step_and_its_decay(void **state) {
    const Optimizer *o = *state;
    Tensor *half[2], *whole[2];
    Params *p = new_params(half, 2, 8, (ParamRole[]){PARAM_DECAYED, PARAM_PLAIN}), *q = new_params(whole, 2, 8, (ParamRole[]){PARAM_DECAYED, PARAM_PLAIN});
    OptimizerSettings s = o->defaults;
    s.weight_decay = 0.25;
    params_at(p, 0)->lr_scale = params_at(p, 1)->lr_scale = 0.5;
    for (int t = 1; t <= 3; t++) {
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 8; i++) half[k]->grad[i] = whole[k]->grad[i] = (Real)gradient(i, t);
        optimizer_step(o, p, &backend_reference, &(OptimizerStep){.settings = &s, .t = t, .lr = 0.125, .grad_scale = 1});
        optimizer_step(o, q, &backend_reference, &(OptimizerStep){.settings = &s, .t = t, .lr = 0.0625, .grad_scale = 1});
        for (int k = 0; k < 2; k++) assert_memory_equal(half[k]->data, whole[k]->data, 8 * sizeof(Real));      /* halving is exact */
    }
    params_destroy(p);
    params_destroy(q);
}

/* As DynamicViT's backbone: moments gather while the rate is 0. */
static void a_delayed_tensor_stays_while_its_state_gathers(void **state) {
    const Optimizer *o = *state;
    Tensor *late, *other;
    Real    before[8];
    Params *p = new_params(&late, 1, 8, (ParamRole[]){PARAM_DECAYED}), *q = new_params(&other, 1, 8, (ParamRole[]){PARAM_DECAYED});
    OptimizerSettings s = o->defaults;
    s.weight_decay = 0.25;
    params_at(p, 0)->lr_delay = 2;
    memcpy(before, late->data, sizeof before);
    for (int t = 1; t <= 3; t++) {
        for (int i = 0; i < 8; i++) late->grad[i] = other->grad[i] = (Real)gradient(i, t);
        optimizer_step(o, p, &backend_reference, &(OptimizerStep){.settings = &s, .t = t, .lr = 0.125, .grad_scale = 1});
        optimizer_step(o, q, &backend_reference, &(OptimizerStep){.settings = &s, .t = t, .lr = t > 2 ? 0.125 : 0, .grad_scale = 1});
        if (t == 2) assert_memory_equal(late->data, before, sizeof before);
        assert_memory_equal(params_at(p, 0)->m, params_at(q, 0)->m, 8 * sizeof(Real));
    }
    assert_memory_not_equal(late->data, before, sizeof before);
    assert_memory_equal(late->data, other->data, sizeof before);
    params_destroy(p);
    params_destroy(q);
}

static void a_frozen_tensor_needs_no_gradient_and_stays(void **state) {
    const Optimizer *o = *state;
    Tensor *w[2];
    Params *p   = NULL;
    Error   err = {0};
    Real    before[2][8];
    const int64_t count = 8;
    assert_true(params_create(&p, &err));
    for (int k = 0; k < 2; k++) param_add(p, &w[k], (ParamSpec){INIT_NORMAL_002, PARAM_DECAYED, 0, 0}, 1, &count, "w%d", k);
    params_init(p, 1);
    params_at(p, 0)->frozen = true;
    assert_true(params_want_grads(p, &err) && params_want_state(p, &err));
    assert_null(w[0]->grad);
    assert_null(params_at(p, 0)->m);
    assert_false(w[0]->needs_grad);
    params_zero_grads(p);
    params_settle_grads(p);
    for (int i = 0; i < 8; i++) w[1]->grad[i] = 2;
    const double norm = params_grad_norm(p, &backend_reference);
    assert_true(fabs(norm - sqrt(32.0)) < 1e-12);        /* exact squares; the frozen one has no part in it */
    for (int k = 0; k < 2; k++) memcpy(before[k], w[k]->data, sizeof before[k]);
    const uint64_t version = w[0]->version;
    optimizer_step(o, p, &backend_reference, &(OptimizerStep){.settings = &o->defaults, .t = 1, .lr = 0.5, .grad_scale = 1});
    assert_memory_equal(w[0]->data, before[0], sizeof before[0]);
    assert_memory_not_equal(w[1]->data, before[1], sizeof before[1]);
    assert_true(w[0]->version == version);
    params_destroy(p);
}

static void step_without_settled_gradients(void *unused) {
    (void)unused;
    Tensor *w;
    Params *p = new_params(&w, 1, 4, (ParamRole[]){PARAM_DECAYED});
    params_zero_grads(p);
    optimizer_step(&optimizer_sgd, p, &backend_reference, &(OptimizerStep){.settings = &optimizer_sgd.defaults, .t = 1, .lr = 1, .grad_scale = 1});
}

static void a_step_on_unsettled_gradients_stops_the_program(void **state) {
    (void)state;
    assert_check_fails(step_without_settled_gradients, NULL, "w0 has no settled gradient or state");
}

static void optimizers_are_found_by_name(void **state) {
    (void)state;
#define OPTIMIZER(which)                                             \
    assert_ptr_equal(optimizer_find(#which), &optimizer_##which);    \
    assert_string_equal(optimizer_##which.name, #which);             \
    assert_non_null(strstr(optimizer_names(), #which));
#include "engine/optimizers/optimizers.def"
#undef OPTIMIZER
    assert_null(optimizer_find("adam"));
    assert_null(optimizer_find(""));
    assert_string_equal(optimizer_names(), "adamw, sgd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define OPTIMIZER(name) \
        {#name "_converges_on_a_quadratic", it_converges_on_a_quadratic, NULL, NULL, (void *)(uintptr_t)&optimizer_##name}, \
        {#name "_decays_only_decayed_tensors_and_leaves_buffers_alone", only_decayed_tensors_decay_and_buffers_are_left_alone, NULL, NULL, \
         (void *)(uintptr_t)&optimizer_##name}, \
        {#name "_raises_the_version_of_what_it_changed", a_step_raises_the_version_of_what_it_changed, NULL, NULL, \
         (void *)(uintptr_t)&optimizer_##name}, \
        {#name "_takes_a_tensor_s_own_rate", a_tensor_s_own_rate_scales_its_step_and_its_decay, NULL, NULL, \
         (void *)(uintptr_t)&optimizer_##name}, \
        {#name "_waits_as_long_as_a_tensor_is_delayed", a_delayed_tensor_stays_while_its_state_gathers, NULL, NULL, (void *)(uintptr_t)&optimizer_##name}, \
        {#name "_leaves_frozen_tensors_alone", a_frozen_tensor_needs_no_gradient_and_stays, NULL, NULL, (void *)(uintptr_t)&optimizer_##name},
#include "engine/optimizers/optimizers.def"
#undef OPTIMIZER
        cmocka_unit_test(adamw_follows_its_formula),
        cmocka_unit_test(sgd_follows_its_formula),
        cmocka_unit_test(a_step_on_unsettled_gradients_stops_the_program),
        cmocka_unit_test(optimizers_are_found_by_name),
    };
    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}
