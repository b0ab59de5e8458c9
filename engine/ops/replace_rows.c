/* Rows of a matrix replaced in place: row index[i] of base becomes rows_i; the indices are distinct.
 *   base (M,D), rows (n,D), index [n] -> (M,D), the memory of base;   costs n rows, whatever M
 *   dbase = dy, but zero in the replaced rows; drows_i = dy_index[i]
 * The backward pass puts the old rows back, so that what read base earlier still finds it (keys and values of an earlier
 * recursion). index must outlive the tape's step. */
#include "engine/ops.h"

typedef struct ReplaceRows { const int32_t *index; Real *old; } ReplaceRows;

static void forward(Node *n) {
    const ReplaceRows *op = n->saved;
    const Backend     *be = tape_backend(n->tape);
    const int64_t n_rows = n->in[1]->dim[0], D = n->out->dim[1];
    if (op->old != NULL) be->gather_rows(n_rows, D, n->out->data, op->index, op->old);
    be->put_rows(n_rows, D, n->in[1]->data, op->index, n->out->data);
}

static void undo(Node *n) {
    const ReplaceRows *op = n->saved;
    tape_backend(n->tape)->put_rows(n->in[1]->dim[0], n->out->dim[1], op->old, op->index, n->out->data);
}

static void backward(Node *n) {
    const ReplaceRows *op = n->saved;
    const Backend     *be = tape_backend(n->tape);
    const int64_t n_rows = n->in[1]->dim[0], D = n->out->dim[1];
    bool  assign;
    Real *drows = grad_cover(n, n->in[1], &assign);
    if (drows != NULL && assign) be->gather_rows(n_rows, D, n->out->grad, op->index, drows);
    else if (drows != NULL) {
        Real *arrived = tape_alloc(n->tape, (size_t)(n_rows * D) * sizeof *arrived);
        if (arrived == NULL) return;
        be->gather_rows(n_rows, D, n->out->grad, op->index, arrived);
        be->axpy(n_rows * D, 1, arrived, drows);
    }
    if (n->in[0]->needs_grad) {
        be->put_rows(n_rows, D, NULL, op->index, n->out->grad);
        grad_pass(n, n->in[0]);
    }
}

static OpCost cost(const Node *n) { return (OpCost){.bytes = 2 * tensor_count(n->in[1]) * (int64_t)sizeof(Real)}; }

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    Tensor *base = sample_tensor(tape, 0, 2, (int64_t[]){5, 3}), *rows = sample_tensor(tape, 1, 2, (int64_t[]){2, 3});
    return op_replace_rows(tape, base, rows, sample_index(tape, 2, (int32_t[]){3, 1}));
}

Tensor *op_replace_rows(Tape *tape, Tensor *base, Tensor *rows, const int32_t *index) {
    if (tape_failed(tape)) return tensor_new(tape, base->n_dims, base->dim);
    CHECK(base->n_dims == 2 && rows->n_dims == 2 && base->dim[1] == rows->dim[1], "replace_rows: rows are %lld wide, base %lld",
          (long long)tensor_width(rows), (long long)tensor_width(base));
    for (int64_t i = 0; i < rows->dim[0]; i++)
        CHECK(index[i] >= 0 && index[i] < base->dim[0], "replace_rows: index %lld is %d, rows are %lld", (long long)i, index[i],
              (long long)base->dim[0]);
    Node        *n  = node_begin(tape, &op_kind_replace_rows, sizeof(ReplaceRows));
    ReplaceRows *op = n->saved;
    n->in[0] = base; n->in[1] = rows;
    op->index = index;
    if (!tape_recording(tape)) return node_run(n, base);
    op->old = tape_alloc(tape, (size_t)tensor_count(rows) * sizeof(Real) + sizeof(Real));
    n->undo = undo;
    return node_run(n, tensor_from(tape, 2, base->dim, base->data, false));
}

const OpKind op_kind_replace_rows = {"replace_rows", forward, backward, cost, sample};
