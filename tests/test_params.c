/* The parameter registry: declaring, counting, initial values and their statistics, gradients, optimizer state, versions, and
 * memory that runs out. */
#include "engine/params.h"

#include <limits.h>
#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/dies.h"
#include "tests/failing.h"

static const ParamSpec normal = {INIT_NORMAL_002, PARAM_DECAYED, 1, 0}, zero = {INIT_ZERO, PARAM_PLAIN, 1, 0},
                       buffer = {INIT_ONE, PARAM_BUFFER, 1, 0};

static Params *new_params(void) {
    Params *p   = NULL;
    Error   err = {0};
    assert_true(params_create(&p, &err));
    return p;
}

/* Three tensors of (4,3), (3), (2,2); the last a buffer. */
static Params *three(Tensor *slot[3]) {
    Params *p = new_params();
    param_add(p, &slot[0], normal, 2, (int64_t[]){4, 3}, "blocks.%d.weight", 2);
    param_add(p, &slot[1], zero, 1, (int64_t[]){3}, "bias");
    param_add(p, &slot[2], buffer, 2, (int64_t[]){2, 2}, "running_var");
    assert_false(params_failed(p));
    return p;
}

static void a_declared_tensor_is_found_by_its_name_and_place(void **state) {
    (void)state;
    Tensor *slot[3] = {NULL};
    Params *p       = three(slot);
    assert_int_equal(params_count(p), 3);
    const Param *w = params_find(p, "blocks.2.weight");
    assert_non_null(w);
    assert_ptr_equal(w, params_at(p, 0));
    assert_ptr_equal(w->tensor, slot[0]);
    assert_int_equal(w->tensor->n_dims, 2);
    assert_int_equal(w->tensor->dim[0], 4);
    assert_int_equal(w->tensor->dim[1], 3);
    assert_int_equal((uintptr_t)w->tensor->data % 64, 0);
    assert_false(w->tensor->needs_grad);
    assert_null(w->tensor->grad);
    assert_null(params_find(p, "blocks.2.weigh"));
    assert_null(params_find(p, ""));
    params_destroy(p);
    params_destroy(NULL);
}

static void buffers_count_as_bytes_and_not_as_parameters(void **state) {
    (void)state;
    Tensor *slot[3];
    Params *p = three(slot);
    assert_int_equal(params_elements(p), 15);
    assert_int_equal(params_bytes(p), 19 * (int64_t)sizeof(Real));
    params_destroy(p);
}

static void hundreds_of_tensors_keep_their_slots(void **state) {
    (void)state;
    enum { N = 1000 };
    static Tensor *slot[N];
    Params *p = new_params();
    for (int i = 0; i < N; i++) param_add(p, &slot[i], normal, 1, (int64_t[]){i % 70 + 1}, "w%d", i);
    params_init(p, 1);
    for (int i = 0; i < N; i++) {
        char name[16];
        snprintf(name, sizeof name, "w%d", i);
        assert_ptr_equal(params_find(p, name)->tensor, slot[i]);
        assert_int_equal(tensor_count(slot[i]), i % 70 + 1);
    }
    params_destroy(p);
}

/* ---- initial values ---- */

static void initial_values_do_not_depend_on_order_or_neighbours(void **state) {
    (void)state;
    Tensor *a[3], *b[2];
    Params *p = three(a), *q = new_params();
    param_add(q, &b[1], normal, 1, (int64_t[]){1000}, "another");
    param_add(q, &b[0], normal, 2, (int64_t[]){4, 3}, "blocks.2.weight");
    params_init(p, 7);
    params_init(q, 7);
    assert_memory_equal(a[0]->data, b[0]->data, 12 * sizeof(Real));
    params_init(q, 8);
    assert_memory_not_equal(a[0]->data, b[0]->data, 12 * sizeof(Real));
    params_init(q, 7);
    assert_memory_equal(a[0]->data, b[0]->data, 12 * sizeof(Real));
    assert_memory_not_equal(a[0]->data, b[1]->data, 12 * sizeof(Real));       /* another name, other numbers */
    params_destroy(p);
    params_destroy(q);
}

static void initial_values_do_not_depend_on_the_number_of_threads(void **state) {
    (void)state;
    enum { N = 50001 };
    Tensor *w;
    Params *p = new_params();
    param_add(p, &w, normal, 1, (int64_t[]){N}, "w");
    const int threads = omp_get_max_threads();
    Real     *one     = malloc(N * sizeof *one);
    assert_non_null(one);
    omp_set_num_threads(1);
    params_init(p, 3);
    memcpy(one, w->data, N * sizeof *one);
    omp_set_num_threads(3);
    params_init(p, 3);
    omp_set_num_threads(threads);
    assert_memory_equal(one, w->data, N * sizeof *one);
    free(one);
    params_destroy(p);
}

typedef struct Moments { double mean, sd, kurtosis, largest; } Moments;

static Moments moments_of(const Tensor *t) {
    const int64_t n = tensor_count(t);
    Moments m = {0};
    for (int64_t i = 0; i < n; i++) {
        m.mean += (double)t->data[i] / (double)n;
        m.largest = fmax(m.largest, fabs((double)t->data[i]));
    }
    double square = 0, fourth = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)t->data[i] - m.mean;
        square += d * d / (double)n;
        fourth += d * d * d * d / (double)n;
    }
    m.sd       = sqrt(square);
    m.kurtosis = fourth / (square * square);
    return m;
}

/* Limits: five standard deviations of each estimate from n draws; the draws are fixed by the seed, so this passes always. */
static void initial_values_have_the_distributions_they_are_named_for(void **state) {
    (void)state;
    enum { N = 40000 };
    const double root = sqrt((double)N);
    static const struct { ParamSpec spec; int n_dims; int64_t dim[4]; double sd, kurtosis, largest; } cases[] = {
        {{INIT_NORMAL_002, PARAM_DECAYED, 0, 0}, 2, {200, 200}, 0.02, 3, 0.02 * 5},
        {{INIT_NORMAL_1E6, PARAM_PLAIN, 0, 0}, 3, {1, 1, N}, 1e-6, 3, 1e-6 * 5},
        {{INIT_CONV_DEFAULT, PARAM_DECAYED, 0, 0}, 4, {625, 4, 4, 4}, 0.125 / 1.7320508075688772, 1.8, 0.125},   /* fan in 64 */
        {{INIT_CONV_DEFAULT, PARAM_PLAIN, 0, 16}, 1, {N}, 0.25 / 1.7320508075688772, 1.8, 0.25},                 /* its bias, fan in 16 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Tensor *t;
        Params *p = new_params();
        param_add(p, &t, cases[i].spec, cases[i].n_dims, cases[i].dim, "w");
        params_init(p, 11);
        const Moments m  = moments_of(t);
        const double  sd = cases[i].sd, k = cases[i].kurtosis;
        assert_int_equal(tensor_count(t), N);
        assert_true(fabs(m.mean) < 5 * sd / root);
        assert_true(fabs(m.sd / sd - 1) < 5 * sqrt((k - 1) / 4) / root);     /* var(s^2) = (k-1) sd^4 / n */
        assert_true(fabs(m.kurtosis - k) < 5 * (k == 3 ? sqrt(24.0) : sqrt(1.0)) / root);   /* 24/n for normals; uniforms 0.5/n, with slack */
        assert_true(m.largest <= cases[i].largest);
        if (k < 2) assert_true(m.largest > 0.999 * cases[i].largest);         /* a uniform one reaches its bound */
        else       assert_true(m.largest > 3.5 * sd);                         /* a normal one is not cut at 2 sd */
        for (int lag = 1; lag <= 8; lag++) {                                  /* neighbours are independent */
            double sum = 0;
            for (int64_t j = 0; j + lag < N; j++) sum += (double)t->data[j] * (double)t->data[j + lag];
            assert_true(fabs(sum) < 5 * sd * sd * root);
        }
        params_destroy(p);
    }
}

static void zeros_and_ones_are_exact(void **state) {
    (void)state;
    Tensor *slot[3];
    Params *p = three(slot);
    params_init(p, 1);
    for (int i = 0; i < 3; i++) assert_true(slot[1]->data[i] == 0);
    for (int i = 0; i < 4; i++) assert_true(slot[2]->data[i] == 1);
    params_destroy(p);
}

/* ---- versions ---- */

static void versions_are_never_given_twice(void **state) {
    (void)state;
    uint64_t seen[64];
    int      n = 0;
    for (int round = 0; round < 3; round++) {
        Tensor *slot[3];
        Params *p = three(slot);
        for (int i = 0; i < 3; i++) seen[n++] = slot[i]->version;
        params_init(p, 1);
        for (int i = 0; i < 3; i++) seen[n++] = slot[i]->version;
        param_touch(params_at(p, 1));
        seen[n++] = slot[1]->version;
        assert_true(slot[0]->version == seen[n - 4]);         /* the others stay */
        params_touch(p);
        for (int i = 0; i < 3; i++) seen[n++] = slot[i]->version;
        params_destroy(p);                                    /* the next registry may lie at the same address */
    }
    for (int i = 0; i < n; i++) {
        assert_true(seen[i] != 0);                            /* 0 is what activations have */
        for (int j = 0; j < i; j++) assert_true(seen[i] != seen[j]);
    }
}

/* ---- gradients and state ---- */

static void gradients_are_made_once_and_not_for_buffers(void **state) {
    (void)state;
    Tensor *slot[3];
    Params *p   = three(slot);
    Error   err = {0};
    assert_true(params_want_grads(p, &err));
    assert_non_null(slot[0]->grad);
    assert_true(slot[0]->needs_grad && slot[0]->grad_fresh && slot[1]->needs_grad);
    assert_null(slot[2]->grad);
    assert_false(slot[2]->needs_grad);
    const Real *grad = slot[0]->grad;
    assert_true(params_want_grads(p, &err));
    assert_ptr_equal(slot[0]->grad, grad);
    params_destroy(p);
}

static void settling_zeroes_only_what_nothing_arrived_at(void **state) {
    (void)state;
    Tensor *slot[3];
    Params *p   = three(slot);
    Error   err = {0};
    assert_true(params_want_grads(p, &err));
    for (int i = 0; i < 12; i++) slot[0]->grad[i] = (Real)i;
    for (int i = 0; i < 3; i++) slot[1]->grad[i] = 5;
    params_zero_grads(p);
    assert_true(slot[0]->grad_fresh && slot[1]->grad_fresh && !slot[2]->grad_fresh);
    slot[0]->grad_fresh = false;                              /* one arrived */
    assert_true(fabs(params_grad_norm(p, &backend_reference) - sqrt(506)) < 1e-12);    /* 0^2 + .. + 11^2; the stale 5s are not counted */
    params_settle_grads(p);
    for (int i = 0; i < 12; i++) assert_true(slot[0]->grad[i] == (Real)i);
    for (int i = 0; i < 3; i++) assert_true(slot[1]->grad[i] == 0);
    assert_false(slot[1]->grad_fresh);
    params_destroy(p);
}

static void the_norm_of_gradients_is_the_same_on_every_backend(void **state) {
    (void)state;
    Tensor *w, *v;
    Params *p   = new_params();
    Error   err = {0};
    param_add(p, &w, normal, 1, (int64_t[]){10007}, "w");
    param_add(p, &v, normal, 1, (int64_t[]){3}, "v");
    assert_true(params_want_grads(p, &err));
    double sum = 0;
    for (int i = 0; i < 10007; i++) { w->grad[i] = (Real)sin(i); sum += (double)w->grad[i] * (double)w->grad[i]; }
    for (int i = 0; i < 3; i++)     { v->grad[i] = (Real)(100 + i); sum += (double)v->grad[i] * (double)v->grad[i]; }
    w->grad_fresh = v->grad_fresh = false;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        assert_true(fabs(params_grad_norm(p, backend) / sqrt(sum) - 1) < 1e-6);    /* float sums in parts are allowed */
    }
    params_destroy(p);
}

static void optimizer_state_is_zero_and_not_made_for_buffers(void **state) {
    (void)state;
    Tensor *slot[3];
    Params *p   = three(slot);
    Error   err = {0};
    assert_null(params_at(p, 0)->m);
    assert_true(params_want_state(p, &err));
    for (int i = 0; i < 2; i++) {
        const Param *it = params_at(p, i);
        for (int64_t k = 0; k < tensor_count(it->tensor); k++) assert_true(it->m[k] == 0 && it->v[k] == 0);
        assert_ptr_not_equal(it->m, it->v);
    }
    assert_null(params_at(p, 2)->m);
    params_at(p, 0)->m[0] = 3;
    assert_true(params_want_state(p, &err));                  /* a second wish changes nothing */
    assert_true(params_at(p, 0)->m[0] == 3);
    params_destroy(p);
}

/* ---- mistakes and memory ---- */

static void declare_twice(void *unused) {
    (void)unused;
    Tensor *slot[2];
    Params *p = NULL;
    Error   err;
    if (!params_create(&p, &err)) return;
    param_add(p, &slot[0], normal, 1, (int64_t[]){3}, "w%d", 1);
    param_add(p, &slot[1], normal, 1, (int64_t[]){3}, "w1");
}

static void declare_a_long_name(void *unused) {
    (void)unused;
    Tensor *slot;
    Params *p = NULL;
    Error   err;
    if (params_create(&p, &err)) param_add(p, &slot, normal, 1, (int64_t[]){3}, "%096d", 1);
}

static void impossible_declarations_stop_the_program(void **state) {
    (void)state;
    assert_check_fails(declare_twice, NULL, "parameter w1 is declared twice");
    assert_check_fails(declare_a_long_name, NULL, "a parameter name of 96 bytes");
}

static void a_tensor_beyond_the_address_space_fails_and_stays_failed(void **state) {
    (void)state;
    Tensor *slot[3] = {NULL}, *huge = NULL, *later = NULL;
    Params *p = three(slot);
    param_add(p, &huge, normal, 3, (int64_t[]){INT_MAX, INT_MAX, INT_MAX}, "huge");        /* wraps 64 bits */
    assert_true(params_failed(p));
    param_add(p, &later, normal, 1, (int64_t[]){3}, "later");
    assert_true(params_failed(p));
    assert_null(huge);
    assert_null(later);
    assert_int_equal(params_count(p), 3);
    params_destroy(p);
    p = new_params();
    param_add(p, &huge, normal, 2, (int64_t[]){INT64_MAX / 4, 1}, "huge");                 /* does not wrap, and is not there */
    assert_true(params_failed(p));
    params_destroy(p);
}

static bool build_all(Params **out, Error *err) {
    enum { N = 70 };                                          /* past the first table of 64 */
    static Tensor *slot[N];
    Params *p  = NULL;
    bool    ok = false;
    if (!params_create(&p, err)) return false;
    for (int i = 0; i < N; i++) param_add(p, &slot[i], normal, 2, (int64_t[]){100, 100}, "w%d", i);
    if (params_failed(p)) FAIL_STATUS(err, EXIT_MACHINE, "", "declared");
    else ok = params_want_grads(p, err) && params_want_state(p, err);
    if (ok) *out = p;
    else    params_destroy(p);
    return ok;
}

static void every_failed_request_is_survived_and_reported(void **state) {
    (void)state;
    for (int how = ONCE; how <= LASTING; how++) {
        int n_failures = 0;
        for (long nth = 0;; nth++) {
            Params *p   = NULL;
            Error   err = {0};
            fail_request(nth, how);
            const bool ok    = build_all(&p, &err);
            const long asked = fail_never();
            if (ok) params_destroy(p);
            else {
                assert_int_equal(err.exit_status, EXIT_MACHINE);
                assert_true(err.message[0] != '\0');
                n_failures++;
            }
            if (asked <= nth) {
                assert_true(ok);
                break;
            }
        }
        assert_true(n_failures >= 6);
    }
}

static void state_that_failed_half_way_can_be_wished_for_again(void **state) {
    (void)state;
    Tensor *w;
    Params *p   = new_params();
    Error   err = {0};
    param_add(p, &w, normal, 1, (int64_t[]){200000}, "w");   /* 0.8 MB: m fits into what is left of a chunk, v does not */
    param_add(p, &w, normal, 1, (int64_t[]){1 << 18}, "x");
    fail_request(0, LASTING);
    const bool ok = params_want_state(p, &err);
    fail_never();
    assert_false(ok);
    assert_true(params_want_state(p, &err));
    for (int i = 0; i < 2; i++) assert_true(params_at(p, i)->m != NULL && params_at(p, i)->v != NULL);
    params_destroy(p);
}

/* ---- the running average ---- */

static void fill(Tensor *t, double value) {
    for (int64_t i = 0; i < tensor_count(t); i++) t->data[i] = (Real)value;
}

static void the_average_begins_at_the_weights_and_follows_its_formula(void **state) {
    (void)state;
    for (int b = 0; b < backend_count(); b++) {
        const Backend *backend = backend_find(backend_partial(b)->name);
        if (backend->usable != NULL && !backend->usable()) continue;
        Tensor *slot[3] = {NULL};
        Params *p       = three(slot);
        Error   err     = {0};
        double  want    = 1;
        for (int k = 0; k < 3; k++) fill(slot[k], 1);
        assert_true(params_want_average(p, &err));
        for (int t = 1; t <= 50; t++) {
            for (int k = 0; k < 3; k++) fill(slot[k], 1 + t);
            params_average(p, backend, 0.75);
            want = 0.75 * want + 0.25 * (1 + t);
            for (int k = 0; k < 3; k++)                      /* buffers too */
                assert_true(fabs((double)params_at(p, k)->average[0] - want) <= 1e-5 * want);       /* 3 roundings a step, damped by 3/4 */
        }
        params_destroy(p);
    }
}

/* decay and 1 - decay as two float factors do not sum to 1: at 0.99996 the mean of a constant would end 7e-4 beside it. */
static void the_average_of_a_constant_is_that_constant_however_slow(void **state) {
    (void)state;
    Tensor *slot[3] = {NULL};
    Params *p       = three(slot);
    Error   err     = {0};
    for (int k = 0; k < 3; k++) fill(slot[k], 0.7);
    assert_true(params_want_average(p, &err));
    for (int t = 0; t < 100000; t++) params_average(p, &backend_reference, 0.99996);
    for (int k = 0; k < 3; k++) assert_true(params_at(p, k)->average[0] == slot[k]->data[0]);
    params_destroy(p);
}

static void swapping_twice_brings_everything_back_and_tells_packed_copies(void **state) {
    (void)state;
    Tensor *slot[3] = {NULL};
    Params *p       = three(slot);
    Error   err     = {0};
    for (int k = 0; k < 3; k++) fill(slot[k], 1);
    assert_true(params_want_average(p, &err));
    for (int k = 0; k < 3; k++) fill(slot[k], 2);
    const uint64_t version = slot[0]->version;
    params_swap_average(p);
    assert_true(slot[0]->version > version);
    for (int k = 0; k < 3; k++) assert_true(slot[k]->data[0] == 1 && params_at(p, k)->average[0] == 2);
    params_swap_average(p);
    for (int k = 0; k < 3; k++) assert_true(slot[k]->data[0] == 2 && params_at(p, k)->average[0] == 1);
    params_destroy(p);
}

/* Folded weights and the like: kept with the parameters, but none of them. */
static void derived_tensors_are_no_parameters_and_have_versions_of_their_own(void **state) {
    (void)state;
    Tensor *slot[3] = {NULL};
    Params *p       = three(slot);
    Error   err     = {0};
    const int64_t elements = params_elements(p), bytes = params_bytes(p);
    Tensor *d = param_derived(p, 2, (int64_t[]){9, 5});
    assert_non_null(d);
    assert_int_equal(tensor_count(d), 45);
    assert_int_equal(params_count(p), 3);
    assert_int_equal(params_elements(p), elements);
    assert_int_equal(params_bytes(p), bytes);
    assert_true(params_want_grads(p, &err) && params_want_state(p, &err));
    assert_true(d->grad == NULL && !d->needs_grad && d->version != 0 && d->version != slot[0]->version);
    const uint64_t before = d->version;
    tensor_touch(d);
    assert_true(d->version != before);
    assert_null(param_derived(p, 2, (int64_t[]){INT64_MAX / 2, 16}));
    assert_true(params_failed(p));
    assert_null(param_derived(p, 1, (int64_t[]){1}));            /* and stays failed */
    params_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_declared_tensor_is_found_by_its_name_and_place),
        cmocka_unit_test(buffers_count_as_bytes_and_not_as_parameters),
        cmocka_unit_test(hundreds_of_tensors_keep_their_slots),
        cmocka_unit_test(initial_values_do_not_depend_on_order_or_neighbours),
        cmocka_unit_test(initial_values_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(initial_values_have_the_distributions_they_are_named_for),
        cmocka_unit_test(zeros_and_ones_are_exact),
        cmocka_unit_test(versions_are_never_given_twice),
        cmocka_unit_test(gradients_are_made_once_and_not_for_buffers),
        cmocka_unit_test(settling_zeroes_only_what_nothing_arrived_at),
        cmocka_unit_test(the_norm_of_gradients_is_the_same_on_every_backend),
        cmocka_unit_test(optimizer_state_is_zero_and_not_made_for_buffers),
        cmocka_unit_test(the_average_begins_at_the_weights_and_follows_its_formula),
        cmocka_unit_test(the_average_of_a_constant_is_that_constant_however_slow),
        cmocka_unit_test(swapping_twice_brings_everything_back_and_tells_packed_copies),
        cmocka_unit_test(impossible_declarations_stop_the_program),
        cmocka_unit_test(a_tensor_beyond_the_address_space_fails_and_stays_failed),
        cmocka_unit_test(every_failed_request_is_survived_and_reported),
        cmocka_unit_test(state_that_failed_half_way_can_be_wished_for_again),
        cmocka_unit_test(derived_tensors_are_no_parameters_and_have_versions_of_their_own),
    };
    return cmocka_run_group_tests_name("params", tests, NULL, NULL);
}
