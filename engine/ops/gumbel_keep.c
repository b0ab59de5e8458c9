/* Keep or drop, sampled by Gumbel noise with a straight-through gradient (Jang et al. 2017), and kept only if kept before.
 *   logits (M,2) keep and drop (any shift of log-probabilities), before (M,1), noise [M,2] -> (M,1)
 *   s = softmax(logits + noise)_keep;  d = 1 if logits_0 + noise_0 >= logits_1 + noise_1 else 0;  y = d before
 *   dlogits_0 = -dlogits_1 = dy before s (1 - s), as if d were s;  dbefore = dy d.     With hard false, d is s itself.
 * An image that would lose all its rows keeps the one with the largest s among those it had: what follows divides by their
 * number, and the original turns to NaN there. Few numbers: computed here, on one thread. */
#include "engine/ops.h"

#include <math.h>

typedef struct GumbelKeep {
    const Real      *noise;
    const TokenRows *rows;
    bool             hard;
    Real            *soft, *decision;        /* (M) s and d */
} GumbelKeep;

static void keep_one(const GumbelKeep *op, const Real *before, int b) {
    int32_t best = -1;
    for (int32_t i = op->rows->offset[b]; i < op->rows->offset[b + 1]; i++) {
        if (before[i] > 0 && op->decision[i] > 0) return;
        if (before[i] > 0 && (best < 0 || op->soft[i] > op->soft[best])) best = i;
    }
    if (best >= 0) op->decision[best] = 1;
}

static void forward(Node *n) {
    const GumbelKeep *op = n->saved;
    const Real       *logits = n->in[0]->data, *before = n->in[1]->data;
    for (int64_t i = 0; i < n->out->dim[0]; i++) {
        const double margin = (double)(logits[2 * i] + op->noise[2 * i]) - (double)(logits[2 * i + 1] + op->noise[2 * i + 1]);
        op->soft[i]     = (Real)(1 / (1 + exp(-margin)));
        op->decision[i] = op->hard ? (margin >= 0 ? 1 : 0) : op->soft[i];
    }
    for (int b = 0; op->hard && b < op->rows->n_images; b++) keep_one(op, before, b);
    for (int64_t i = 0; i < n->out->dim[0]; i++) n->out->data[i] = op->decision[i] * before[i];
}

static void backward(Node *n) {
    const GumbelKeep *op = n->saved;
    const Real       *dy = n->out->grad, *before = n->in[1]->data;
    Real *dlogits = grad_add(n, n->in[0]), *dbefore = grad_add(n, n->in[1]);
    for (int64_t i = 0; i < n->out->dim[0]; i++) {
        if (dbefore != NULL) dbefore[i] += dy[i] * op->decision[i];
        if (dlogits == NULL) continue;
        const Real slope = dy[i] * before[i] * op->soft[i] * (1 - op->soft[i]);
        dlogits[2 * i]     += slope;
        dlogits[2 * i + 1] -= slope;
    }
}

static OpCost cost(const Node *n) { return (OpCost){.elementwise = 2 * n->out->dim[0], .bytes = 6 * n->out->dim[0] * (int64_t)sizeof(Real)}; }

/* Soft: a step has no slope that differences could find. What hard adds is in tests/test_dynamic_vit.c. */
static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    Tensor          *logits = sample_tensor(tape, 0, 2, (int64_t[]){7, 2}), *before = sample_tensor(tape, 1, 2, (int64_t[]){7, 1});
    const Tensor    *noise  = sample_tensor(tape, 2, 2, (int64_t[]){7, 2});
    const TokenRows *rows   = sample_rows(tape, 2, (int[]){5, 2});
    return rows == NULL ? op_gelu(tape, logits) : op_gumbel_keep(tape, logits, before, noise->data, rows, false);
}

Tensor *op_gumbel_keep(Tape *tape, Tensor *logits, Tensor *before, const Real *noise, const TokenRows *rows, bool hard) {
    CHECK(tape_failed(tape) || (logits->dim[1] == 2 && logits->dim[0] == token_rows_count(rows) && tensor_count(before) == logits->dim[0]),
          "gumbel_keep: logits are (%lld,%lld), decided before were %lld", (long long)logits->dim[0], (long long)logits->dim[1],
          (long long)tensor_count(before));
    Node       *n  = node_begin(tape, &op_kind_gumbel_keep, sizeof(GumbelKeep));
    GumbelKeep *op = n->saved;
    n->in[0] = logits; n->in[1] = before;
    *op = (GumbelKeep){.noise = noise, .rows = rows, .hard = hard};
    op->soft     = tape_alloc(tape, (size_t)(logits->dim[0] + 1) * sizeof(Real));
    op->decision = tape_alloc(tape, (size_t)(logits->dim[0] + 1) * sizeof(Real));
    return node_run(n, tensor_matrix(tape, logits->dim[0], 1));
}

const OpKind op_kind_gumbel_keep = {"gumbel_keep", forward, backward, cost, sample};
