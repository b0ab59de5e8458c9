/* Stochastic depth (Huang et al. 2016) as timm applies it: a branch is dropped for a whole image with probability rate,
 * and divided by 1-rate when kept.   residual (M,D), branch (M,D) -> residual + drop(branch)
 * Draws come from stream "droppath", addressed by (step, image, layer). Without training or rate: a plain sum. */
#include "engine/ops.h"

typedef struct DropPath { const TokenRows *rows; double rate; int layer; } DropPath;

static DropArgs args(const Node *n, const Real *x, Real *y) {
    const DropPath *op = n->saved;
    const TapeStep  s  = tape_step(n->tape);
    return (DropArgs){.M = n->out->dim[0], .D = n->out->dim[1], .x = x, .y = y, .accumulate = true, .rows = op->rows,
                      .rate = op->rate, .seed = s.seed, .stream = "droppath", .step = s.step, .layer = op->layer, .per_image = true};
}

static void forward(Node *n) {
    tape_backend(n->tape)->copy(tensor_count(n->out), n->in[0]->data, n->out->data);
    const DropArgs a = args(n, n->in[1]->data, n->out->data);
    tape_backend(n->tape)->drop(&a);
}

static void backward(Node *n) {
    Real *dbranch = grad_add(n, n->in[1]);
    if (dbranch != NULL) {
        const DropArgs a = args(n, n->out->grad, dbranch);
        tape_backend(n->tape)->drop(&a);
    }
    grad_pass(n, n->in[0]);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->out);
    return (OpCost){.elementwise = 2 * count, .bytes = 3 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    Tensor *x = sample_tensor(tape, 0, 2, (int64_t[]){7, 4}), *y = sample_tensor(tape, 1, 2, (int64_t[]){7, 4});
    const TokenRows *rows = sample_rows(tape, 3, (int[]){3, 2, 2});
    return rows == NULL ? op_add(tape, x, y) : op_drop_path(tape, x, y, rows, 0.5, 1);
}

Tensor *op_drop_path(Tape *tape, Tensor *residual, Tensor *branch, const TokenRows *rows, double rate, int layer) {
    CHECK(rate >= 0 && rate < 1, "drop_path: rate %g", rate);
    CHECK(tape_failed(tape) || tensor_count(residual) == tensor_count(branch), "drop_path: %lld elements and %lld",
          (long long)tensor_count(residual), (long long)tensor_count(branch));
    if (!tape_step(tape).training || rate <= 0) return op_add(tape, residual, branch);
    Node *n = node_begin(tape, &op_kind_drop_path, sizeof(DropPath));
    n->in[0] = residual; n->in[1] = branch;
    *(DropPath *)n->saved = (DropPath){rows, rate, layer};
    return node_run(n, tensor_new(tape, residual->n_dims, residual->dim));
}

const OpKind op_kind_drop_path = {"drop_path", forward, backward, cost, sample};
