/* Gradients of a model against a golden case: ||g - e|| <= 1e-3 ||e|| + 1e-6 grad_norm for every parameter. */
#ifndef TESTS_GOLDEN_GRADIENTS_H
#define TESTS_GOLDEN_GRADIENTS_H

#include "tests/golden.h"

static inline double vector_norm(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

/* ||a - e|| over the elements that count. */
static inline double vector_distance(const Real *a, const double *e, int64_t n, int64_t skip_from, int64_t skip_end) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (i < skip_from || i >= skip_end) sum += ((double)a[i] - e[i]) * ((double)a[i] - e[i]);
    return sqrt(sum);
}

/* Returns the worst relative deviation among gradients that are no rounding noise. */
static inline double check_golden_gradients(Model *m, const SafeFile *expected, int *n_checked) {
    double *total = golden_values(expected, "step0.grad_norm", NULL), worst = 0;
    *n_checked = 0;
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        char         name[160];
        int64_t      count;
        if (p->role == PARAM_BUFFER) continue;
        snprintf(name, sizeof name, "grad.%s", p->name);
        double      *e = golden_values(expected, name, &count);
        const double d = vector_distance(p->tensor->grad, e, count, 0, 0), size = vector_norm(e, count);
        if (d > 1e-3 * size + 1e-6 * total[0]) fail_msg("%s is off by %g of %g", name, d, size);
        if (size > 1e-3 * total[0]) worst = fmax(worst, d / size);
        (*n_checked)++;
        free(e);
    }
    free(total);
    return worst;
}

#endif
