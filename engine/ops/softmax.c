/* y_ij = exp(x_ij - max_i) / sum_j exp(x_ij - max_i), over the last dimension.   x, y (M,N)
 * dx = y (dy - sum_j dy_j y_j). */
#include "engine/ops.h"

static void forward(Node *n) {
    tape_backend(n->tape)->softmax_rows(tensor_rows(n->out), tensor_width(n->out), n->in[0]->data, n->out->data);
}

static void backward(Node *n) {
    Real *dx = grad_add(n, n->in[0]);
    if (dx != NULL)
        tape_backend(n->tape)->softmax_rows_backward(tensor_rows(n->out), tensor_width(n->out), n->out->data, n->out->grad, dx);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = 2 * count, .bytes = 2 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    return variant > 0 ? NULL : op_softmax(tape, sample_tensor(tape, 0, 2, (int64_t[]){4, 7}));
}

Tensor *op_softmax(Tape *tape, Tensor *x) {
    Node *n  = node_begin(tape, &op_kind_softmax, 0);
    n->in[0] = x;
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_softmax = {"softmax", forward, backward, cost, sample};
