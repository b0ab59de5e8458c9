/* Finds optimizers and takes one step over every unique tensor; the formulas are in optimizers/ (optimizer.h). */
#include "engine/optimizer.h"

#include <stdio.h>
#include <string.h>

static const Optimizer *const optimizers[] = {
#define OPTIMIZER(name) &optimizer_##name,
#include "engine/optimizers/optimizers.def"
#undef OPTIMIZER
};
enum { N_OPTIMIZERS = sizeof optimizers / sizeof optimizers[0] };

const Optimizer *optimizer_find(const char *name) {
    for (int i = 0; i < N_OPTIMIZERS; i++)
        if (strcmp(optimizers[i]->name, name) == 0) return optimizers[i];
    return NULL;
}

const char *optimizer_names(void) {
    static const char names[] =
#define OPTIMIZER(name) ", " #name
#include "engine/optimizers/optimizers.def"
#undef OPTIMIZER
        ;
    return names + 2;
}

void optimizer_step(const Optimizer *o, Params *params, const Backend *backend, const OptimizerStep *s) {
    for (int i = 0; i < params_count(params); i++) {
        Param *p = params_at(params, i);
        if (p->role == PARAM_BUFFER || p->frozen) continue;
        CHECK(p->m != NULL && p->tensor->grad != NULL && !p->tensor->grad_fresh, "optimizer: %s has no settled gradient or state", p->name);
        OptimizerStep own = *s;
        own.lr *= s->t > p->lr_delay ? p->lr_scale : 0;
        o->step(p, backend, &own);
        param_touch(p);
    }
}
