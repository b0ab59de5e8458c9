/* Relative positions in a square window as an additive bias of attention (Wu et al. 2022, TinyViT): one number for each
 * absolute offset, shared by all pairs of cells that far apart.
 *   table (H, side^2) -> (H,n,n), n = side^2:  bias_hij = table_h[|row_i - row_j| side + |column_i - column_j|]
 *   dtable = sums of dbias over the pairs of an offset */
#include "engine/ops.h"

static int64_t side_of(const Node *n) { return *(const int64_t *)n->saved; }

static void forward(Node *n) { tape_backend(n->tape)->window_bias(n->in[0]->dim[0], side_of(n), n->in[0]->data, n->out->data); }

static void backward(Node *n) {
    Real *dtable = grad_add(n, n->in[0]);
    if (dtable != NULL) tape_backend(n->tape)->window_bias_backward(n->in[0]->dim[0], side_of(n), n->out->grad, dtable);
}

static OpCost cost(const Node *n) { return (OpCost){.bytes = (tensor_count(n->in[0]) + tensor_count(n->out)) * (int64_t)sizeof(Real)}; }

static Tensor *sample(Tape *tape, int variant) {
    return variant > 0 ? NULL : op_window_bias(tape, sample_tensor(tape, 0, 2, (int64_t[]){2, 9}), 3);
}

Tensor *op_window_bias(Tape *tape, Tensor *table, int side) {
    CHECK(table->n_dims == 2 && table->dim[1] == (int64_t)side * side, "window_bias: a table of %lld offsets for a window of side %d",
          (long long)table->dim[1], side);
    Node *n  = node_begin(tape, &op_kind_window_bias, sizeof(int64_t));
    n->in[0] = table;
    *(int64_t *)n->saved = side;
    return node_run(n, tensor_new(tape, 3, (int64_t[]){table->dim[0], table->dim[1], table->dim[1]}));
}

const OpKind op_kind_window_bias = {"window_bias", forward, backward, cost, sample};
