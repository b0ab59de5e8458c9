/* Distillation of tokens (Rao et al. 2021, DynamicViT): mean squared distance of rows of the student from rows of the teacher.
 *   student (M,D), teacher (N,D), index [M] in [0,N), or -1: the row has no counterpart -> (1)
 *   loss = 1/(K D) sum_{m: index_m >= 0} |student_m - teacher_{index_m}|^2,   K rows with a counterpart; 0 when there are none
 *   dstudent_m = dy 2/(K D) (student_m - teacher_{index_m}).   Nothing flows to the teacher, whose data must outlive the step. */
#include "engine/ops.h"

typedef struct DistillRows {
    const Tensor *teacher;
    int32_t      *own, *other;       /* (K) rows of the student, and their counterparts */
    int64_t       K;
    Real         *difference;        /* (K,D) student - teacher */
    Real         *rows;              /* (K,D) the teacher's rows; going back, the gradient's */
} DistillRows;

static void forward(Node *n) {
    const DistillRows *op = n->saved;
    const Backend     *be = tape_backend(n->tape);
    const int64_t      D = n->in[0]->dim[1], count = op->K * D;
    double             sum = 0;
    be->gather_rows(op->K, D, n->in[0]->data, op->own, op->difference);
    be->gather_rows(op->K, D, op->teacher->data, op->other, op->rows);
    be->axpy(count, -1, op->rows, op->difference);
    be->sum_squares(count, op->difference, &sum);
    n->out->data[0] = (Real)(count > 0 ? sum / (double)count : 0);
}

static void backward(Node *n) {
    const DistillRows *op = n->saved;
    const Backend     *be = tape_backend(n->tape);
    const int64_t      D = n->in[0]->dim[1], count = op->K * D;
    Real              *d = grad_add(n, n->in[0]);
    if (d == NULL || count == 0) return;
    be->scale(count, (Real)(2 * (double)n->out->grad[0] / (double)count), op->difference, op->rows);
    be->scatter_add_rows(op->K, D, op->rows, op->own, d);
}

static OpCost cost(const Node *n) {
    const DistillRows *op    = n->saved;
    const int64_t      count = op->K * n->in[0]->dim[1];
    return (OpCost){.elementwise = 3 * count, .bytes = (2 * count + 1) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    static const int32_t all[] = {0, 1, 2, 3}, some[] = {4, -1, 1, 1}, none[] = {-1, -1, -1, -1};
    if (variant > 2) return NULL;
    Tensor *student = sample_tensor(tape, 0, 2, (int64_t[]){4, 3}), *teacher = sample_tensor(tape, 1, 2, (int64_t[]){5, 3});
    teacher->needs_grad = false;
    return op_distill_rows(tape, student, teacher, (const int32_t *const[]){all, some, none}[variant]);
}

Tensor *op_distill_rows(Tape *tape, Tensor *student, const Tensor *teacher, const int32_t *index) {
    const bool failed = tape_failed(tape);
    CHECK(failed || (student->n_dims == 2 && teacher->n_dims == 2 && student->dim[1] == teacher->dim[1]),
          "distill_rows: rows of %lld and %lld", (long long)student->dim[1], (long long)teacher->dim[1]);
    const int64_t M = failed ? 0 : student->dim[0], D = student->dim[1];
    Node         *n  = node_begin(tape, &op_kind_distill_rows, sizeof(DistillRows));
    DistillRows  *op = n->saved;
    n->in[0] = student;
    *op = (DistillRows){.teacher = teacher, .own = tape_alloc(tape, (size_t)(M + 1) * sizeof *op->own),
                        .other = tape_alloc(tape, (size_t)(M + 1) * sizeof *op->other)};
    for (int64_t m = 0; m < M && !tape_failed(tape); m++) {
        CHECK(index[m] >= -1 && index[m] < teacher->dim[0], "distill_rows: row %d of %lld", index[m], (long long)teacher->dim[0]);
        if (index[m] < 0) continue;
        op->own[op->K]     = (int32_t)m;
        op->other[op->K++] = index[m];
    }
    op->difference = tape_alloc(tape, (size_t)(op->K * D + 1) * sizeof *op->difference);
    op->rows       = tape_alloc(tape, (size_t)(op->K * D + 1) * sizeof *op->rows);
    return node_run(n, tensor_new(tape, 1, (int64_t[]){1}));
}

const OpKind op_kind_distill_rows = {"distill_rows", forward, backward, cost, sample};
