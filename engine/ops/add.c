/* y = a + b, elementwise, equal shapes.   (..) (..) -> (..);   da = dy, db = dy. */
#include "engine/ops.h"

static void forward(Node *n) { tape_backend(n->tape)->add(tensor_count(n->out), n->in[0]->data, n->in[1]->data, n->out->data); }

static void backward(Node *n) {
    Real *db = grad_add(n, n->in[1]);
    if (db != NULL) tape_backend(n->tape)->axpy(tensor_count(n->out), 1, n->out->grad, db);
    grad_pass(n, n->in[0]);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = count, .bytes = 3 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 1) return NULL;
    Tensor *a = sample_tensor(tape, 0, 2, (int64_t[]){3, 5});
    return op_add(tape, a, variant == 1 ? a : sample_tensor(tape, 1, 2, (int64_t[]){3, 5}));
}

Tensor *op_add(Tape *tape, Tensor *a, Tensor *b) {
    CHECK(tape_failed(tape) || tensor_count(a) == tensor_count(b), "add: %lld elements and %lld", (long long)tensor_count(a),
          (long long)tensor_count(b));
    Node *n  = node_begin(tape, &op_kind_add, 0);
    n->in[0] = a; n->in[1] = b;
    return node_run(n, tensor_new(tape, a->n_dims, a->dim));
}

const OpKind op_kind_add = {"add", forward, backward, cost, sample};
