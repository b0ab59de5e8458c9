/* Every op of ops.def: gradients against central differences (REAL=double), executed MACs against the op's own cost,
 * every sample finite, and memory running out at any request. */
#include "engine/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const TapeStep training = {.seed = 7, .step = 3, .training = true};

static Tape *new_tape(void) {
    Tape *tape = NULL;
    Error err  = {0};
    assert_true(tape_create(&tape, &backend_reference, &err));
    return tape;
}

#ifdef REAL_DOUBLE
/* Deviation of the analytic gradient from central differences, relative where the derivative exceeds 1, at worst over
 * all inputs of one sample. Loss is sum_i c_i out_i with fixed c. */
static double worst_gradient_error(Tape *tape, const OpKind *kind, int variant) {
    tape_begin(tape, true, training);
    Tensor *out = kind->sample(tape, variant);
    if (out == NULL) return -1;
    Node *n = tape_last(tape);
    assert_ptr_equal(n->out, out);
    const int64_t count = tensor_count(out);
    double *c = test_malloc((size_t)count * sizeof *c);
    out->grad = tape_alloc(tape, (size_t)(count + 1) * sizeof *out->grad);
    for (int64_t i = 0; i < count; i++) out->grad[i] = c[i] = sin(1.0 + 2.3 * (double)i);
    tape_backward_from(tape, out);
    double worst = 0;
    for (int k = 0; k < NODE_MAX_INPUTS; k++) {
        Tensor *x = n->in[k];
        if (x == NULL || !x->needs_grad) continue;
        assert_non_null(x->grad);
        for (int64_t j = 0; j < tensor_count(x); j++) {
            /* h: truncation ~ h^2 = 1e-10, rounding ~ 1e-16/h = 1e-11 */
            const double h = 1e-5, at = x->data[j];
            double loss[2] = {0, 0};
            for (int side = 0; side < 2; side++) {
                x->data[j] = side == 0 ? at - h : at + h;
                kind->forward(n);
                for (int64_t i = 0; i < count; i++) loss[side] += c[i] * out->data[i];
            }
            x->data[j] = at;
            const double difference = (loss[1] - loss[0]) / (2 * h);
            const double error = fabs(x->grad[j] - difference) / fmax(1, fabs(difference));
            if (error > worst || isnan(error)) worst = isnan(error) ? INFINITY : error;
        }
    }
    test_free(c);
    return worst;
}

static void gradient_matches_central_differences(void **state) {
    const OpKind *kind  = *state;
    Tape         *tape  = new_tape();
    double        worst = 0;
    int           n     = 0;
    for (double e; (e = worst_gradient_error(tape, kind, n)) >= 0; n++) worst = fmax(worst, e);
    printf("           %-14s %d samples, worst error %.1e\n", kind->name, n, worst);
    assert_true(n >= 1);
    assert_true(worst <= 1e-6);                     /* differences are good to about 1e-9: see h */
    tape_destroy(tape);
}

static OpKind wrong_gelu;
static void wrong_backward(Node *n) {               /* the right gradient, arriving twice */
    op_kind_gelu.backward(n);
    op_kind_gelu.backward(n);
}

static void gradient_check_notices_a_wrong_backward(void **state) {
    (void)state;
    Tape *tape = new_tape();
    tape_begin(tape, true, training);
    wrong_gelu = op_kind_gelu;
    wrong_gelu.backward = wrong_backward;
    Tensor *x   = sample_tensor(tape, 0, 2, (int64_t[]){3, 4});
    Tensor *out = op_gelu(tape, x);
    tape_last(tape)->kind = &wrong_gelu;
    out->grad = tape_alloc(tape, 12 * sizeof(Real));
    for (int i = 0; i < 12; i++) out->grad[i] = 1;
    tape_backward_from(tape, out);
    const double h = 1e-5, at = x->data[0];
    x->data[0] = at + h;
    op_kind_gelu.forward(tape_last(tape));
    const double up = out->data[0];
    x->data[0] = at - h;
    op_kind_gelu.forward(tape_last(tape));
    const double difference = (up - out->data[0]) / (2 * h);
    assert_true(fabs(x->grad[0] - difference) / fmax(1, fabs(difference)) > 1e-6);
    assert_true(fabs(x->grad[0] / 2 - difference) <= 1e-6);
    tape_destroy(tape);
}
#endif

static void executed_macs_equal_the_ops_own_cost(void **state) {
    const OpKind *kind = *state;
    Tape         *tape = new_tape();
    int           n    = 0;
    for (;; n++) {
        tape_begin(tape, true, training);
        profile_clear(tape_profile(tape));
        Tensor *out = kind->sample(tape, n);
        if (out == NULL) break;
        const ProfileWork work = profile_kind(tape_profile(tape), kind->name)->forward;
        const OpCost      cost = kind->cost(tape_last(tape));
        assert_int_equal(work.macs, cost.macs);
        assert_true(work.bytes > 0 && work.calls == 1);
        for (int64_t i = 0; i < tensor_count(out); i++) assert_true(isfinite(out->data[i]));
    }
    assert_true(n >= 1);
    tape_destroy(tape);
}

/* Also on every backend: forward results agree with the reference. Kernels are compared one by one in test_backends;
 * here the whole op goes through the backend with the op's own arguments. */
static void result_and_gradients_agree_on_every_backend(void **state) {
    const OpKind *kind = *state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        Error err = {0};
        Tape *tape = NULL, *oracle = new_tape();
        if (backend == NULL || (backend->usable != NULL && !backend->usable())) {
            tape_destroy(oracle);
            continue;
        }
        assert_true(tape_create(&tape, backend, &err));
        for (int v = 0;; v++) {
            tape_begin(tape, true, training);
            tape_begin(oracle, true, training);
            Tensor *y = kind->sample(tape, v), *z = kind->sample(oracle, v);
            if (y == NULL) break;
            const int64_t count = tensor_count(y);
            for (int64_t i = 0; i < count; i++) assert_true(fabs((double)y->data[i] - (double)z->data[i]) <= 2e-6 * (1 + fabs((double)z->data[i])));
            Tape   *both[]   = {tape, oracle};
            Tensor *result[] = {y, z};
            for (int k = 0; k < 2; k++) {
                result[k]->grad = tape_alloc(both[k], (size_t)(count + 2) * sizeof(Real));
                for (int64_t i = 0; i < count; i++) result[k]->grad[i] = (Real)sin(1.0 + 2.3 * (double)i);
                tape_backward_from(both[k], result[k]);
            }
            for (int k = 0; k < NODE_MAX_INPUTS; k++) {
                const Tensor *x = tape_last(tape)->in[k], *w = tape_last(oracle)->in[k];
                if (x == NULL || !x->needs_grad) continue;
                /* sums of at most 100 float products of size 1: error below 100 2^-24 = 6e-6 */
                for (int64_t i = 0; i < tensor_count(x); i++)
                    assert_true(fabs((double)x->grad[i] - (double)w->grad[i]) <= 6e-6 * (1 + fabs((double)w->grad[i])));
            }
        }
        tape_destroy(tape);
        tape_destroy(oracle);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
#ifdef REAL_DOUBLE
#define OP(name, ...) {#name "_gradient_matches_central_differences", gradient_matches_central_differences, NULL, NULL, (void *)(uintptr_t)&op_kind_##name},
#include "engine/ops/ops.def"
#undef OP
        cmocka_unit_test(gradient_check_notices_a_wrong_backward),
#endif
#define OP(name, ...) {#name "_executed_macs_equal_its_cost", executed_macs_equal_the_ops_own_cost, NULL, NULL, (void *)(uintptr_t)&op_kind_##name},
#include "engine/ops/ops.def"
#undef OP
#define OP(name, ...) {#name "_agrees_on_every_backend", result_and_gradients_agree_on_every_backend, NULL, NULL, (void *)(uintptr_t)&op_kind_##name},
#include "engine/ops/ops.def"
#undef OP
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
