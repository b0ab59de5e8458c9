/* AdamW (Loshchilov & Hutter 2019), in PyTorch's order: p -= lr wd p; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
 * p -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps), t from 1. */
#include "engine/optimizer.h"

#include <math.h>

static void step(Param *p, const Backend *backend, const OptimizerStep *s) {
    const OptimizerSettings *set = s->settings;
    backend->adamw(&(AdamwArgs){.n = tensor_count(p->tensor), .p = p->tensor->data, .m = p->m, .v = p->v, .grad = p->tensor->grad,
                                .lr = s->lr, .beta1 = set->beta1, .beta2 = set->beta2, .eps = set->eps,
                                .weight_decay = p->role == PARAM_DECAYED ? set->weight_decay : 0,
                                .bias1 = 1 - pow(set->beta1, (double)s->t), .bias2 = 1 - pow(set->beta2, (double)s->t),
                                .grad_scale = s->grad_scale});
}

const Optimizer optimizer_adamw = {
    .name = "adamw", .defaults = {.weight_decay = 0.05, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8}, .step = step,
};
