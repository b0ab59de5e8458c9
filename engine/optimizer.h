/* Optimizers: one file each in engine/optimizers/, listed in optimizers.def. They visit every unique tensor once. */
#ifndef ENGINE_OPTIMIZER_H
#define ENGINE_OPTIMIZER_H

#include "engine/params.h"

typedef struct OptimizerSettings {
    double weight_decay;             /* decoupled (adamw) or added to the gradient (sgd); decayed tensors only */
    double beta1, beta2, eps;        /* adamw */
    double momentum;                 /* sgd */
} OptimizerSettings;

typedef struct OptimizerStep {
    const OptimizerSettings *settings;
    int64_t t;                       /* steps taken including this one, from 1 */
    double  lr, grad_scale;          /* grad_scale: of clipping, 1 without */
} OptimizerStep;

typedef struct Optimizer {
    const char *name;
    OptimizerSettings defaults;
    void (*step)(Param *p, const Backend *backend, const OptimizerStep *s);   /* one tensor */
} Optimizer;

const Optimizer *optimizer_find(const char *name);       /* NULL when unknown */
const char      *optimizer_names(void);                  /* "adamw, sgd" */

/* One step over all parameters but frozen ones, each at lr times its lr_scale, at 0 within its lr_delay: settled gradients in, weights out, versions
 * raised. params_want_state first. */
void optimizer_step(const Optimizer *o, Params *params, const Backend *backend, const OptimizerStep *s);

#define OPTIMIZER(name) extern const Optimizer optimizer_##name;
#include "engine/optimizers/optimizers.def"
#undef OPTIMIZER

#endif
