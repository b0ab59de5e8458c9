/* Mean of each image's tokens, the first `skip` (class token) left out.
 *   x (M,D), rows of B images -> (B,D);   dx_i = dy_image / (tokens averaged) */
#include "engine/ops.h"

typedef struct MeanPool { int B; int32_t *first, *end; } MeanPool;

static void forward(Node *n) {
    const MeanPool *op = n->saved;
    tape_backend(n->tape)->segment_mean(op->B, op->first, op->end, n->out->dim[1], n->in[0]->data, n->out->data);
}

static void backward(Node *n) {
    const MeanPool *op = n->saved;
    Real *dx = grad_add(n, n->in[0]);
    if (dx != NULL) tape_backend(n->tape)->segment_mean_backward(op->B, op->first, op->end, n->out->dim[1], n->out->grad, dx);
}

static OpCost cost(const Node *n) {
    return (OpCost){.elementwise = tensor_count(n->in[0]),
                    .bytes = (tensor_count(n->in[0]) + tensor_count(n->out)) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 1) return NULL;
    Tensor          *x    = sample_tensor(tape, 0, 2, (int64_t[]){7, 3});
    const TokenRows *rows = sample_rows(tape, 2, (int[]){5, 2});
    return rows == NULL ? op_gelu(tape, x) : op_mean_pool(tape, x, rows, variant);
}

Tensor *op_mean_pool(Tape *tape, Tensor *x, const TokenRows *rows, int skip) {
    const int B = rows->n_images;
    Node     *n  = node_begin(tape, &op_kind_mean_pool, sizeof(MeanPool));
    MeanPool *op = n->saved;
    int32_t *first = tape_alloc(tape, (size_t)(B + 1) * sizeof *first), *end = tape_alloc(tape, (size_t)(B + 1) * sizeof *end);
    for (int b = 0; first != NULL && end != NULL && b < B; b++) {
        first[b] = rows->offset[b] + skip;
        end[b]   = rows->offset[b + 1];
        CHECK(first[b] < end[b], "mean_pool: image %d has %d tokens, %d are skipped", b, end[b] - rows->offset[b], skip);
    }
    n->in[0] = x;
    *op = (MeanPool){B, first, end};
    return node_run(n, tensor_matrix(tape, B, x->dim[1]));
}

const OpKind op_kind_mean_pool = {"mean_pool", forward, backward, cost, sample};
