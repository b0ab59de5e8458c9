/* Dropout (Srivastava et al. 2014): each element kept with probability 1-rate and divided by it, else 0.   x, y (M,D)
 * Draws come from stream "dropout", addressed by (step, image, layer, patch, channel), so backward draws the same again.
 * Outside training, and with rate 0, the result is x itself. */
#include "engine/ops.h"

typedef struct Dropout { const TokenRows *rows; double rate; int layer; } Dropout;

static DropArgs args(const Node *n, const Real *x, Real *y, bool accumulate) {
    const Dropout *op = n->saved;
    const TapeStep s  = tape_step(n->tape);
    return (DropArgs){.M = n->out->dim[0], .D = n->out->dim[1], .x = x, .y = y, .accumulate = accumulate, .rows = op->rows,
                      .rate = op->rate, .seed = s.seed, .stream = "dropout", .step = s.step, .layer = op->layer};
}

static void forward(Node *n) {
    const DropArgs a = args(n, n->in[0]->data, n->out->data, false);
    tape_backend(n->tape)->drop(&a);
}

static void backward(Node *n) {
    Real *dx = grad_add(n, n->in[0]);
    if (dx == NULL) return;
    const DropArgs a = args(n, n->out->grad, dx, true);
    tape_backend(n->tape)->drop(&a);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = count, .bytes = 2 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    Tensor          *x    = sample_tensor(tape, 0, 2, (int64_t[]){7, 4});
    const TokenRows *rows = sample_rows(tape, 2, (int[]){5, 2});
    return rows == NULL ? op_gelu(tape, x) : op_dropout(tape, x, rows, 0.4, 1);
}

Tensor *op_dropout(Tape *tape, Tensor *x, const TokenRows *rows, double rate, int layer) {
    CHECK(rate >= 0 && rate < 1, "dropout: rate %g", rate);
    if (!tape_step(tape).training || rate <= 0) return x;
    Node *n = node_begin(tape, &op_kind_dropout, sizeof(Dropout));
    n->in[0] = x;
    *(Dropout *)n->saved = (Dropout){rows, rate, layer};
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_dropout = {"dropout", forward, backward, cost, sample};
