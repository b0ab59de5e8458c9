/* Straight-through gates of the MoR-ViT author: token i with depth d_i passes layers 0 .. d_i-1.
 *   soft (M,L) = softmax((z + Gumbel) / tau), depth [M] in 1..L -> gate (M,L), gate_il = [l < d_i], exactly 0 or 1
 * With o the hard one-hot of d-1, gate_l = 1 - sum_{j<l} o_j, and o's gradient goes to soft as if o were soft:
 *   dsoft_ij = -sum_{l>j} dgate_il.   So the forward pass adds what soft has moved from its value here, which is nothing. */
#include "engine/ops.h"

typedef struct DepthGates { const int32_t *depth; Real *anchor; } DepthGates;

static void forward(Node *n) {
    const DepthGates *op = n->saved;
    tape_backend(n->tape)->depth_gates(n->out->dim[0], n->out->dim[1], op->depth, n->in[0]->data, op->anchor, n->out->data);
}

static void backward(Node *n) {
    const int64_t M = n->out->dim[0], L = n->out->dim[1];
    Real *dsoft = grad_add(n, n->in[0]), *arrived = tape_alloc(n->tape, (size_t)(M * L + 1) * sizeof *arrived);
    if (dsoft == NULL || arrived == NULL) return;
    tape_backend(n->tape)->depth_gates_backward(M, L, n->out->grad, arrived);
    tape_backend(n->tape)->axpy(M * L, 1, arrived, dsoft);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = 2 * count, .bytes = 2 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    return op_depth_gates(tape, sample_tensor(tape, 0, 2, (int64_t[]){3, 4}), sample_index(tape, 3, (int32_t[]){1, 4, 2}));
}

Tensor *op_depth_gates(Tape *tape, Tensor *soft, const int32_t *depth) {
    CHECK(soft->n_dims == 2, "depth_gates: soft has %d dimensions", soft->n_dims);
    Node       *n  = node_begin(tape, &op_kind_depth_gates, sizeof(DepthGates));
    DepthGates *op = n->saved;
    n->in[0] = soft;
    *op = (DepthGates){depth, tape_alloc(tape, (size_t)(tensor_count(soft) + 1) * sizeof(Real))};
    if (!tape_failed(tape)) tape_backend(tape)->copy(tensor_count(soft), soft->data, op->anchor);
    return node_run(n, tensor_matrix(tape, soft->dim[0], soft->dim[1]));
}

const OpKind op_kind_depth_gates = {"depth_gates", forward, backward, cost, sample};
