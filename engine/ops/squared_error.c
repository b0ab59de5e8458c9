/* Mean squared distance of all elements from one number.   x (..) -> (1) = mean (x - target)^2;   dx = dy 2 (x - target) / n
 * For few numbers, such as the share of tokens that each image keeps: computed here, on one thread. */
#include "engine/ops.h"

static double target_of(const Node *n) { return *(const double *)n->saved; }

static void forward(Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    double        sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const double d = (double)n->in[0]->data[i] - target_of(n);
        sum += d * d;
    }
    n->out->data[0] = (Real)(count > 0 ? sum / (double)count : 0);
}

static void backward(Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    Real         *dx = grad_add(n, n->in[0]);
    for (int64_t i = 0; dx != NULL && i < count; i++)
        dx[i] += (Real)((double)n->out->grad[0] * 2 * ((double)n->in[0]->data[i] - target_of(n)) / (double)count);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    return (OpCost){.elementwise = 2 * count, .bytes = (count + 1) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    return variant > 0 ? NULL : op_squared_error(tape, sample_tensor(tape, 0, 2, (int64_t[]){5, 1}), 0.7);
}

Tensor *op_squared_error(Tape *tape, Tensor *x, double target) {
    Node *n  = node_begin(tape, &op_kind_squared_error, sizeof(double));
    n->in[0] = x;
    *(double *)n->saved = target;
    return node_run(n, tensor_new(tape, 1, (int64_t[]){1}));
}

const OpKind op_kind_squared_error = {"squared_error", forward, backward, cost, sample};
