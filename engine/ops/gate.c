/* A router's gate g = alpha act(s), act one of sigmoid, tanh, identity (Bae et al. 2025).   s, g (..);   ds = alpha act'(s) dg */
#include "engine/ops.h"

typedef struct Gate { GateActivation activation; Real alpha; } Gate;

static void forward(Node *n) {
    const Gate *op = n->saved;
    tape_backend(n->tape)->gate(tensor_count(n->out), op->activation, op->alpha, n->in[0]->data, n->out->data);
}

static void backward(Node *n) {
    const Gate *op = n->saved;
    Real *dx = grad_add(n, n->in[0]);
    if (dx != NULL) tape_backend(n->tape)->gate_backward(tensor_count(n->out), op->activation, op->alpha, n->in[0]->data, n->out->grad, dx);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = count, .bytes = 2 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    static const GateActivation kinds[] = {GATE_SIGMOID, GATE_TANH, GATE_NONE};
    if (variant > 2) return NULL;
    return op_gate(tape, sample_tensor(tape, 0, 2, (int64_t[]){3, 2}), kinds[variant], 0.3);
}

Tensor *op_gate(Tape *tape, Tensor *x, GateActivation activation, double alpha) {
    Node *n = node_begin(tape, &op_kind_gate, sizeof(Gate));
    n->in[0] = x;
    *(Gate *)n->saved = (Gate){activation, (Real)alpha};
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_gate = {"gate", forward, backward, cost, sample};
