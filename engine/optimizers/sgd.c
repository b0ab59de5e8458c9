/* Stochastic gradient descent with momentum (Sutskever et al. 2013), in PyTorch's form: m = mu m + (g + wd p); p -= lr m. */
#include "engine/optimizer.h"

static void step(Param *p, const Backend *backend, const OptimizerStep *s) {
    backend->sgd(&(SgdArgs){.n = tensor_count(p->tensor), .p = p->tensor->data, .m = p->m, .grad = p->tensor->grad, .lr = s->lr,
                            .momentum = s->settings->momentum,
                            .weight_decay = p->role == PARAM_DECAYED ? s->settings->weight_decay : 0, .grad_scale = s->grad_scale});
}

const Optimizer optimizer_sgd = {.name = "sgd", .defaults = {.weight_decay = 1e-4, .momentum = 0.9}, .step = step};
