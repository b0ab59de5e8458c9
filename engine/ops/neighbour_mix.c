/* Depthwise 3x3 convolution over the tokens that are there: y_i = sum_j w_j x_neighbour(i,j), cells without a token are zero.
 *   x (n,D), w (D,1,3,3), neighbour [n,9]: row of x at each of the nine cells around token i, row by row, -1: none -> (n,D)
 * Charged as a convolution, 9 n D multiply-adds. neighbour must outlive the tape's step. */
#include "engine/ops.h"

typedef struct NeighbourMix { const int32_t *neighbour; } NeighbourMix;

static NeighbourArgs args(const Node *n) {
    return (NeighbourArgs){.n = n->in[0]->dim[0], .D = n->in[0]->dim[1], .neighbour = ((const NeighbourMix *)n->saved)->neighbour,
                           .x = n->in[0]->data, .w = n->in[1]->data, .y = n->out->data, .dy = n->out->grad};
}

static void forward(Node *n) {
    const NeighbourArgs a = args(n);
    tape_count_macs(n->tape, 9 * a.n * a.D);
    tape_backend(n->tape)->neighbour_mix(&a);
}

static void backward(Node *n) {
    NeighbourArgs a = args(n);
    a.dx = grad_add(n, n->in[0]);
    a.dw = grad_add(n, n->in[1]);
    if (tape_failed(n->tape)) return;
    tape_count_macs(n->tape, 9 * a.n * a.D * ((a.dx != NULL) + (a.dw != NULL)));
    tape_backend(n->tape)->neighbour_mix_backward(&a);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.macs = 9 * count, .bytes = (2 * count + tensor_count(n->in[1])) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    Tensor *x = sample_tensor(tape, 0, 2, (int64_t[]){3, 4}), *w = sample_tensor(tape, 1, 4, (int64_t[]){4, 1, 3, 3});
    return op_neighbour_mix(tape, x, w, sample_index(tape, 27, (int32_t[]){-1, -1, -1, -1, 0, 1, -1, 2, -1, -1, -1, -1, 0, 1, -1, 2, -1, -1,
                                                                           -1, 0, 1, -1, 2, -1, -1, -1, -1}));
}

Tensor *op_neighbour_mix(Tape *tape, Tensor *x, Tensor *w, const int32_t *neighbour) {
    CHECK(tape_failed(tape) || (x->n_dims == 2 && tensor_count(w) == 9 * x->dim[1]), "neighbour_mix: rows are %lld wide, w has %lld entries", (long long)x->dim[1],
          (long long)tensor_count(w));
    Node *n = node_begin(tape, &op_kind_neighbour_mix, sizeof(NeighbourMix));
    n->in[0] = x; n->in[1] = w;
    ((NeighbourMix *)n->saved)->neighbour = neighbour;
    return node_run(n, tensor_matrix(tape, x->dim[0], x->dim[1]));
}

const OpKind op_kind_neighbour_mix = {"neighbour_mix", forward, backward, cost, sample};
