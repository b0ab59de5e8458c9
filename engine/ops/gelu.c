/* y = x Phi(x), Phi the normal distribution function (Hendrycks & Gimpel 2016): the exact form by erf.   x, y (..)
 * dy/dx = Phi(x) + x phi(x). */
#include "engine/ops.h"

static void forward(Node *n) { tape_backend(n->tape)->gelu(tensor_count(n->out), n->in[0]->data, n->out->data); }

static void backward(Node *n) {
    bool  assign;
    Real *dx = grad_cover(n, n->in[0], &assign);
    if (dx != NULL) tape_backend(n->tape)->gelu_backward(tensor_count(n->out), n->in[0]->data, n->out->grad, dx, assign);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = count, .bytes = 2 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    return variant > 0 ? NULL : op_gelu(tape, sample_tensor(tape, 0, 2, (int64_t[]){3, 17}));
}

Tensor *op_gelu(Tape *tape, Tensor *x) {
    Node *n  = node_begin(tape, &op_kind_gelu, 0);
    n->in[0] = x;
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_gelu = {"gelu", forward, backward, cost, sample};
