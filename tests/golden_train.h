/* Golden cases of training: gradients and weights against the file's, by the limits of tests/test_parity.c. */
#ifndef TESTS_GOLDEN_TRAIN_H
#define TESTS_GOLDEN_TRAIN_H

#include "tests/golden.h"

static inline double golden_norm(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

/* Elements left out of a comparison: those whose gradient is zero in theory. NULL: none. */
typedef bool GoldenSkip(const Model *m, const char *name, int64_t element);

static inline double golden_distance(const Model *m, const Param *p, const Real *a, const double *e, GoldenSkip *leave_out) {
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(p->tensor); i++)
        if (leave_out == NULL || !leave_out(m, p->name, i)) sum += ((double)a[i] - e[i]) * ((double)a[i] - e[i]);
    return sqrt(sum);
}

/* ||g - e|| <= 1e-3 ||e|| + 1e-6 grad_norm for every parameter; their number, and the worst relative deviation of the larger ones. */
static inline int golden_gradients_within(const Model *m, const SafeFile *expected, double *worst_ratio) {
    double *total = golden_values(expected, "step0.grad_norm", NULL), worst = 0;
    int     n     = 0;
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        char         name[160];
        int64_t      count;
        if (p->role == PARAM_BUFFER) continue;
        snprintf(name, sizeof name, "grad.%s", p->name);
        double *e = golden_values(expected, name, &count);
        assert_int_equal(count, tensor_count(p->tensor));
        const double d = golden_distance(m, p, p->tensor->grad, e, NULL);
        if (!(d <= 1e-3 * golden_norm(e, count) + 1e-6 * total[0])) fail_msg("%s is off by %g of %g", name, d, golden_norm(e, count));
        if (golden_norm(e, count) > 1e-3 * total[0]) worst = fmax(worst, d / golden_norm(e, count));
        n++;
        free(e);
    }
    free(total);
    *worst_ratio = worst;
    return n;
}

static inline void golden_gradients(const Model *m, const SafeFile *expected) {
    double    worst;
    const int n = golden_gradients_within(m, expected, &worst);
    printf("           %d gradients, the larger ones off by %.1e of their norm at most\n", n, worst);
}

/* ||d|| <= 1e-3 ||after|| for every tensor that the file has, n_expected of them. */
static inline void golden_after(const Model *m, const SafeFile *expected, GoldenSkip *leave_out, int n_expected) {
    double worst = 0;
    int    n     = 0;
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        char         name[160];
        int64_t      count;
        snprintf(name, sizeof name, "after.%s", p->name);
        if (safetensors_find(expected, name) == NULL) continue;
        double *e = golden_values(expected, name, &count);
        assert_int_equal(count, tensor_count(p->tensor));
        const double d = golden_distance(m, p, p->tensor->data, e, leave_out) / golden_norm(e, count);
        if (!(d <= 1e-3)) fail_msg("%s is off by %g of its norm", name, d);
        worst = fmax(worst, d);
        n++;
        free(e);
    }
    assert_int_equal(n, n_expected);
    printf("           %d tensors after the steps, off by %.1e of their norm at most\n", n, worst);
}

/* One number of the file. */
static inline double golden_number(const SafeFile *f, const char *format, int step) {
    char name[64];
    snprintf(name, sizeof name, format, step);
    double *x = golden_values(f, name, NULL), value = x[0];
    free(x);
    return value;
}

static inline void golden_labels(const SafeFile *f, int32_t label[], int n) {
    const SafeEntry *labels = safetensors_find(f, "labels");
    assert_non_null(labels);
    assert_int_equal(labels->n_values, n);
    for (int b = 0; b < n; b++) {
        int64_t wide;
        memcpy(&wide, (const char *)labels->data + b * 8, 8);
        label[b] = (int32_t)wide;
    }
}

/* Runs body once for every backend that works here. */
#define EACH_BACKEND(backend) \
    for (int b_ = 0; b_ < backend_count(); b_++) \
        for (const Backend *backend = backend_find(backend_partial(b_)->name); backend != NULL; backend = NULL) \
            if (backend->usable == NULL || backend->usable())

#endif
