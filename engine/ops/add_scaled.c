/* y = z + gain * branch, column by column (LayerScale, Touvron et al. 2021).   z, branch (M,D), gain (D) -> (M,D)
 *   dz = dy,  dbranch = gain dy,  dgain = column sums of branch dy */
#include "engine/ops.h"

static void forward(Node *n) {
    const Backend *be = tape_backend(n->tape);
    be->copy(tensor_count(n->out), n->in[0]->data, n->out->data);
    be->scaled_columns_add(n->out->dim[0], n->out->dim[1], n->in[1]->data, n->in[2]->data, n->out->data);
}

static void backward(Node *n) {
    Real *dbranch = grad_add(n, n->in[1]), *dgain = grad_add(n, n->in[2]);
    if (tape_failed(n->tape)) return;
    tape_backend(n->tape)->scaled_columns_add_backward(n->out->dim[0], n->out->dim[1], n->in[1]->data, n->in[2]->data, n->out->grad, dbranch, dgain);
    grad_pass(n, n->in[0]);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = 2 * count, .bytes = 3 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    return op_add_scaled(tape, sample_tensor(tape, 0, 2, (int64_t[]){4, 3}), sample_tensor(tape, 1, 2, (int64_t[]){4, 3}),
                         sample_tensor(tape, 2, 1, (int64_t[]){3}));
}

Tensor *op_add_scaled(Tape *tape, Tensor *z, Tensor *branch, Tensor *gain) {
    CHECK(tape_failed(tape) || (z->n_dims == 2 && tensor_count(z) == tensor_count(branch) && tensor_count(gain) == z->dim[1]),
          "add_scaled: z has %lld elements, the branch %lld, gain %lld", (long long)tensor_count(z), (long long)tensor_count(branch), (long long)tensor_count(gain));
    Node *n = node_begin(tape, &op_kind_add_scaled, 0);
    n->in[0] = z; n->in[1] = branch; n->in[2] = gain;
    return node_run(n, tensor_new(tape, z->n_dims, z->dim));
}

const OpKind op_kind_add_scaled = {"add_scaled", forward, backward, cost, sample};
