/* y_i = x_index[i]; index -1 makes a row of zeros.   x (M,D), index [n] -> y (n,D);   dx_index[i] += dy_i
 * index must outlive the tape's step. */
#include "engine/ops.h"

typedef struct GatherRows { const int32_t *index; } GatherRows;

static void forward(Node *n) {
    const GatherRows *op = n->saved;
    tape_backend(n->tape)->gather_rows(n->out->dim[0], n->out->dim[1], n->in[0]->data, op->index, n->out->data);
}

static void backward(Node *n) {
    const GatherRows *op = n->saved;
    Real *dx = grad_add(n, n->in[0]);
    if (dx != NULL) tape_backend(n->tape)->scatter_add_rows(n->out->dim[0], n->out->dim[1], n->out->grad, op->index, dx);
}

static OpCost cost(const Node *n) {
    return (OpCost){.bytes = 2 * tensor_count(n->out) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    Tensor        *x     = sample_tensor(tape, 0, 2, (int64_t[]){4, 3});
    const int32_t *index = sample_index(tape, 5, (int32_t[]){2, -1, 0, 2, 3});
    return op_gather_rows(tape, x, index, 5);
}

Tensor *op_gather_rows(Tape *tape, Tensor *x, const int32_t *index, int64_t n_rows) {
    CHECK(x->n_dims == 2, "gather_rows: x has %d dimensions", x->n_dims);
    for (int64_t i = 0; !tape_failed(tape) && i < n_rows; i++)
        CHECK(index[i] >= -1 && index[i] < x->dim[0], "gather_rows: index %lld is %d, rows are %lld", (long long)i, index[i],
              (long long)x->dim[0]);
    Node       *n  = node_begin(tape, &op_kind_gather_rows, sizeof(GatherRows));
    GatherRows *op = n->saved;
    n->in[0]  = x;
    op->index = index;
    return node_run(n, tensor_matrix(tape, n_rows, x->dim[1]));
}

const OpKind op_kind_gather_rows = {"gather_rows", forward, backward, cost, sample};
