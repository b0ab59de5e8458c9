/* y = factor x.   (..) -> (..);   dx = factor dy */
#include "engine/ops.h"

typedef struct Scale { Real factor; } Scale;

static void forward(Node *n) {
    const Scale *op = n->saved;
    tape_backend(n->tape)->scale(tensor_count(n->out), op->factor, n->in[0]->data, n->out->data);
}

static void backward(Node *n) {
    const Scale *op = n->saved;
    Real *dx = grad_add(n, n->in[0]);
    if (dx != NULL) tape_backend(n->tape)->axpy(tensor_count(n->out), op->factor, n->out->grad, dx);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = count, .bytes = 2 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    return variant > 0 ? NULL : op_scale(tape, sample_tensor(tape, 0, 2, (int64_t[]){3, 5}), -1.5);
}

Tensor *op_scale(Tape *tape, Tensor *x, double factor) {
    Node  *n  = node_begin(tape, &op_kind_scale, sizeof(Scale));
    Scale *op = n->saved;
    n->in[0]   = x;
    op->factor = (Real)factor;
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_scale = {"scale", forward, backward, cost, sample};
