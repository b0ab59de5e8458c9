/* Routed rows return to the residual stream, in place: row index[i] of h becomes
 *   delta: base_i + g_i (y_i - base_i)     dy = g dh,  dbase = (1-g) dh,  dg = <dh, y - base>
 *   paper: base_i + g_i y_i                dy = g dh,  dbase = dh,        dg = <dh, y>
 *   plain: y_i                             dy = dh
 *   h (M,D), y (n,D), base (n,D), gate (any shape, addressed by gate_at) -> (M,D), the memory of h;   other rows are not touched
 * base: the same rows before the recursion (or its input h0), as a tensor of their own while the tape records; NULL: h's rows.
 * The backward pass puts the rows of h back (rule.before), so that what read h earlier still finds it. */
#include "engine/ops.h"

typedef struct CombineRows { CombineRule rule; } CombineRows;

static CombineArgs args(const Node *n) {
    const CombineRule *r = &((const CombineRows *)n->saved)->rule;
    return (CombineArgs){.n = n->in[1]->dim[0], .D = n->in[1]->dim[1], .paper = r->paper, .index = r->index, .gate_at = r->gate_at,
                         .gate = n->in[3] != NULL ? n->in[3]->data : NULL, .constant = (Real)r->constant, .y = n->in[1]->data,
                         .base = n->in[2] != NULL ? n->in[2]->data : NULL, .h = n->out->data};
}

static void forward(Node *n) {
    const CombineArgs a = args(n);
    tape_backend(n->tape)->combine_rows(&a);
}

static void undo(Node *n) {
    const CombineArgs a = args(n);
    tape_backend(n->tape)->put_rows(a.n, a.D, ((const CombineRows *)n->saved)->rule.before->data, a.index, n->out->data);
}

static void backward(Node *n) {
    const Backend *be = tape_backend(n->tape);
    CombineArgs    a  = args(n);
    a.dh    = n->out->grad;
    a.dy    = grad_add(n, n->in[1]);
    a.dbase = grad_add(n, n->in[2]);
    a.dgate = grad_add(n, n->in[3]);
    if (tape_failed(n->tape)) return;
    be->combine_rows_backward(&a);
    grad_pass(n, n->in[0]);
}

static OpCost cost(const Node *n) {
    const CombineRule *r = &((const CombineRows *)n->saved)->rule;
    const int64_t      n_rows = n->in[1]->dim[0], D = n->in[1]->dim[1];
    int64_t            gated  = 0;
    for (int64_t i = 0; i < n_rows; i++) gated += r->gate_at[i] != COMBINE_PLAIN;
    return (OpCost){.elementwise = 2 * gated * D, .bytes = (2 * n_rows + gated) * D * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 2) return NULL;
    Tensor *h = sample_tensor(tape, 0, 2, (int64_t[]){6, 3}), *y = sample_tensor(tape, 1, 2, (int64_t[]){4, 3});
    Tensor *base = sample_tensor(tape, 2, 2, (int64_t[]){4, 3}), *gate = sample_tensor(tape, 3, 2, (int64_t[]){2, 2});
    const CombineRule rule = {.index = sample_index(tape, 4, (int32_t[]){0, 2, 3, 5}), .constant = 0.7, .paper = variant == 1,
                              .gate_at = sample_index(tape, 4, (int32_t[]){3, COMBINE_CONSTANT, COMBINE_PLAIN, 0})};
    if (variant < 2 || tape_failed(tape)) return op_combine_rows(tape, h, y, base, gate, rule);
    CombineRule plain = rule;
    plain.gate_at = sample_index(tape, 4, (int32_t[]){COMBINE_PLAIN, COMBINE_PLAIN, COMBINE_PLAIN, COMBINE_PLAIN});
    return op_combine_rows(tape, h, y, NULL, NULL, plain);
}

Tensor *op_combine_rows(Tape *tape, Tensor *h, Tensor *y, Tensor *base, Tensor *gate, CombineRule rule) {
    if (tape_failed(tape)) return tensor_new(tape, h->n_dims, h->dim);
    CHECK(h->n_dims == 2 && y->n_dims == 2 && h->dim[1] == y->dim[1], "combine_rows: y is (%lld,%lld), h (%lld,%lld)", (long long)y->dim[0],
          (long long)y->dim[1], (long long)h->dim[0], (long long)h->dim[1]);
    CHECK(base == NULL || (base->dim[0] == y->dim[0] && base->dim[1] == y->dim[1]), "combine_rows: base and y differ in size");
    for (int64_t i = 0; i < y->dim[0]; i++) {
        CHECK(rule.index[i] >= 0 && rule.index[i] < h->dim[0], "combine_rows: index %lld is %d, rows are %lld", (long long)i, rule.index[i],
              (long long)h->dim[0]);
        CHECK(rule.gate_at[i] < 0 || (gate != NULL && rule.gate_at[i] < tensor_count(gate)), "combine_rows: row %lld has gate %d", (long long)i,
              rule.gate_at[i]);
        CHECK(base != NULL || !tape_recording(tape) || rule.gate_at[i] == COMBINE_PLAIN, "combine_rows: no base to differentiate");
    }
    Node *n = node_begin(tape, &op_kind_combine_rows, sizeof(CombineRows));
    n->in[0] = h; n->in[1] = y; n->in[2] = base; n->in[3] = gate;
    ((CombineRows *)n->saved)->rule = rule;
    n->undo = rule.before != NULL ? undo : NULL;
    return node_run(n, tape_recording(tape) ? tensor_from(tape, 2, h->dim, h->data, false) : h);
}

const OpKind op_kind_combine_rows = {"combine_rows", forward, backward, cost, sample};
