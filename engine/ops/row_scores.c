/* One number a row: s_i = x_index[i] . w, a linear router's score read where the rows lie.
 *   x (M,D), w (1,D), index [n] distinct -> s (n,1);   dx_index[i] += ds_i w,  dw += sum_i ds_i x_index[i]
 * index must outlive the tape's step. */
#include "engine/ops.h"

typedef struct RowScores { const int32_t *index; } RowScores;

static void forward(Node *n) {
    const int64_t n_rows = n->out->dim[0], D = n->in[0]->dim[1];
    tape_count_macs(n->tape, n_rows * D);
    tape_backend(n->tape)->row_dots(n_rows, D, n->in[0]->data, ((const RowScores *)n->saved)->index, n->in[1]->data, n->out->data);
}

static void backward(Node *n) {
    const int64_t n_rows = n->out->dim[0], D = n->in[0]->dim[1];
    Real *dx = grad_add(n, n->in[0]), *dw = grad_add(n, n->in[1]);
    if (tape_failed(n->tape)) return;
    tape_count_macs(n->tape, n_rows * D * ((dx != NULL) + (dw != NULL)));
    tape_backend(n->tape)->row_dots_backward(n_rows, D, n->in[0]->data, ((const RowScores *)n->saved)->index, n->in[1]->data, n->out->grad, dx, dw);
}

static OpCost cost(const Node *n) {
    const int64_t n_rows = n->out->dim[0], D = n->in[0]->dim[1];
    return (OpCost){.macs = n_rows * D, .bytes = (n_rows * D + D + n_rows) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    Tensor *x = sample_tensor(tape, 0, 2, (int64_t[]){5, 19}), *w = sample_tensor(tape, 1, 2, (int64_t[]){1, 19});
    return op_row_scores(tape, x, w, sample_index(tape, 3, (int32_t[]){4, 0, 2}), 3);
}

Tensor *op_row_scores(Tape *tape, Tensor *x, Tensor *w, const int32_t *index, int64_t n_rows) {
    CHECK(tape_failed(tape) || (x->n_dims == 2 && tensor_count(w) == x->dim[1]), "row_scores: rows are %lld wide, w has %lld entries", (long long)x->dim[1],
          (long long)tensor_count(w));
    for (int64_t i = 0; !tape_failed(tape) && i < n_rows; i++)
        CHECK(index[i] >= 0 && index[i] < x->dim[0], "row_scores: index %lld is %d, rows are %lld", (long long)i, index[i], (long long)x->dim[0]);
    Node *n = node_begin(tape, &op_kind_row_scores, sizeof(RowScores));
    n->in[0] = x; n->in[1] = w;
    ((RowScores *)n->saved)->index = index;
    return node_run(n, tensor_matrix(tape, n_rows, 1));
}

const OpKind op_kind_row_scores = {"row_scores", forward, backward, cost, sample};
