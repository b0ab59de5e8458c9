/* Layer normalisation over the last dimension (Ba, Kiros & Hinton 2016).
 *   x (M,D) -> y (M,D) = (x - mean) / sqrt(var + eps) * gain + bias;   gain, bias (D); var with divisor D
 * Keeps mean and 1/sd of each row, M values each, for the backward pass. */
#include "engine/ops.h"

typedef struct LayerNorm {
    Real  eps;
    Real *mean, *inv_sd;         /* (M), NULL when not recorded */
} LayerNorm;

static LayerNormArgs args(const Node *n) {
    const LayerNorm *op = n->saved;
    return (LayerNormArgs){.M = tensor_rows(n->in[0]), .D = tensor_width(n->in[0]), .eps = op->eps, .x = n->in[0]->data,
                           .gain = n->in[1]->data, .bias = n->in[2]->data, .y = n->out->data,
                           .mean = op->mean, .inv_sd = op->inv_sd};
}

static void forward(Node *n) {
    const LayerNormArgs a = args(n);
    tape_backend(n->tape)->layer_norm(&a);
}

static void backward(Node *n) {
    LayerNormArgs a = args(n);
    a.dy    = n->out->grad;
    a.dgain = grad_add(n, n->in[1]);
    a.dbias = grad_add(n, n->in[2]);
    a.dx    = grad_cover(n, n->in[0], &a.dx_assign);
    if (tape_failed(n->tape)) return;
    tape_backend(n->tape)->layer_norm_backward(&a);
}

static OpCost cost(const Node *n) {
    const int64_t M = tensor_rows(n->in[0]), D = tensor_width(n->in[0]);
    return (OpCost){.elementwise = 5 * M * D, .bytes = (int64_t)sizeof(Real) * (2 * M * D + 2 * D)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    return op_layer_norm(tape, sample_tensor(tape, 0, 2, (int64_t[]){4, 9}), sample_tensor(tape, 1, 1, (int64_t[]){9}),
                         sample_tensor(tape, 2, 1, (int64_t[]){9}), 1e-6);
}

Tensor *op_layer_norm(Tape *tape, Tensor *x, Tensor *gain, Tensor *bias, double eps) {
    CHECK(tape_failed(tape) || (tensor_count(gain) == tensor_width(x) && tensor_count(bias) == tensor_width(x)),
          "layer_norm: x is %lld wide, gain has %lld entries, bias %lld", (long long)tensor_width(x),
          (long long)tensor_count(gain), (long long)tensor_count(bias));
    Node      *n  = node_begin(tape, &op_kind_layer_norm, sizeof(LayerNorm));
    LayerNorm *op = n->saved;
    n->in[0] = x; n->in[1] = gain; n->in[2] = bias;
    op->eps  = (Real)eps;
    if (tape_recording(tape)) {
        op->mean   = tape_alloc(tape, (size_t)tensor_rows(x) * sizeof(Real));
        op->inv_sd = tape_alloc(tape, (size_t)tensor_rows(x) * sizeof(Real));
    }
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_layer_norm = {"layer_norm", forward, backward, cost, sample};
