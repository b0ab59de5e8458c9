/* Scaled dot-product attention within each image and head (Vaswani et al. 2017), queries and keys with rows of their own.
 *   q (Mq, H E), k (Mk, H E), v (Mk, H Ev) as views; bias (H,Nq,Nk) or NULL -> out (Mq, H Ev), heads in order
 *   S = scale q k^T + bias;  P = softmax_keys(S);  out = P v
 *   dv = P^T dout;  dP = dout v^T;  dS = P (dP - rowsum(dP P));  dq = scale dS k;  dk = scale dS^T q;  dbias = sum_images dS
 * No (Nq,Nk) matrix is kept: recording keeps the log-sum-exp of each row and computes P again. */
#include "engine/ops.h"

#include <math.h>

typedef struct Attention {
    AttentionInput in;
    Real          *lse;          /* (Mq,H), NULL when not recorded */
} Attention;

static AttentionArgs args(const Node *n) {
    const Attention      *op = n->saved;
    const AttentionInput *in = &op->in;
    return (AttentionArgs){
        .n_sequences = in->query_rows->n_images, .H = in->n_heads, .E = in->qk_width, .Ev = in->v_width,
        .q_offset = in->query_rows->offset, .k_offset = in->key_rows->offset, .scale = (Real)in->scale,
        .q = in->q.rows->data + in->q.column, .k = in->k.rows->data + in->k.column, .v = in->v.rows->data + in->v.column,
        .q_ld = in->q.rows->dim[1], .k_ld = in->k.rows->dim[1], .v_ld = in->v.rows->dim[1],
        .q_head = in->q.head_stride, .k_head = in->k.head_stride, .v_head = in->v.head_stride,
        .bias = in->bias != NULL ? in->bias->data : NULL, .out = n->out->data, .lse = op->lse};
}

static void forward(Node *n) {
    const AttentionArgs a = args(n);
    tape_attention(n->tape, &a, false);
}

/* The three views tile one matrix, as thirds (timm) or head by head (TinyViT), so that every element of its gradient is written exactly once. */
static bool views_cover(const AttentionInput *in) {
    if (in->q.rows != in->k.rows || in->q.rows != in->v.rows || in->query_rows != in->key_rows) return false;
    const int E = in->qk_width, H = in->n_heads, thirds[] = {0, H * E, 2 * H * E}, each[] = {0, E, 2 * E};
    const int all = H * (2 * E + in->v_width), one = 2 * E + in->v_width;
    const HeadView *view[] = {&in->q, &in->k, &in->v};
    bool as_thirds = in->q.rows->dim[1] == all, as_heads = as_thirds;
    for (int i = 0; i < 3; i++) {
        as_thirds = as_thirds && view[i]->column == thirds[i] && (H == 1 || view[i]->head_stride == (i < 2 ? E : in->v_width));
        as_heads  = as_heads && view[i]->column == each[i] && (H == 1 || view[i]->head_stride == one);
    }
    return as_thirds || as_heads;
}

static void backward(Node *n) {
    const Attention      *op = n->saved;
    const AttentionInput *in = &op->in;
    AttentionArgs         a  = args(n);
    Real *dq, *dk, *dv;
    if (views_cover(in)) {
        dq = dk = dv = grad_cover(n, in->q.rows, &a.assign);
    } else {
        /* saved keys and values of a frozen part may want none while the queries do */
        dq = grad_or_nowhere(n, in->q.rows);
        dk = in->k.rows == in->q.rows ? dq : grad_or_nowhere(n, in->k.rows);
        dv = in->v.rows == in->k.rows ? dk : in->v.rows == in->q.rows ? dq : grad_or_nowhere(n, in->v.rows);
    }
    a.dbias = grad_add(n, in->bias);
    if (tape_failed(n->tape) || dq == NULL) return;      /* views of one matrix that wants none */
    a.dq   = dq + in->q.column;
    a.dk   = dk + in->k.column;
    a.dv   = dv + in->v.column;
    a.dout = n->out->grad;
    tape_attention(n->tape, &a, true);
}

static OpCost cost(const Node *n) {
    const AttentionInput *in = &((const Attention *)n->saved)->in;
    int64_t pairs = 0;
    for (int b = 0; b < in->query_rows->n_images; b++)
        pairs += (int64_t)(in->query_rows->offset[b + 1] - in->query_rows->offset[b])
               * (in->key_rows->offset[b + 1] - in->key_rows->offset[b]);
    const int64_t Mq = token_rows_count(in->query_rows), Mk = token_rows_count(in->key_rows);
    return (OpCost){.macs = pairs * in->n_heads * (in->qk_width + in->v_width), .elementwise = 2 * pairs * in->n_heads,
                    .bytes = (int64_t)sizeof(Real) * in->n_heads * ((Mq + Mk) * in->qk_width + (Mq + Mk) * in->v_width)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 2) return NULL;
    const TokenRows *rows = sample_rows(tape, 2, variant == 1 ? (int[]){3, 3} : (int[]){5, 2});
    if (variant < 2) {
        Tensor *qkv = sample_tensor(tape, 0, 2, (int64_t[]){variant == 1 ? 6 : 7, 24});
        if (rows == NULL) return op_gelu(tape, qkv);
        AttentionInput in = attention_qkv(qkv, 2, rows);
        if (variant == 1) in.bias = sample_tensor(tape, 1, 3, (int64_t[]){2, 3, 3});
        return op_attention(tape, in);
    }
    const TokenRows *queries = sample_rows(tape, 2, (int[]){2, 1});
    Tensor *q = sample_tensor(tape, 0, 2, (int64_t[]){3, 8}), *k = sample_tensor(tape, 1, 2, (int64_t[]){7, 8});
    Tensor *v = sample_tensor(tape, 2, 2, (int64_t[]){7, 6});
    if (rows == NULL || queries == NULL) return op_gelu(tape, q);
    return op_attention(tape, (AttentionInput){.q = {q, 0, 4}, .k = {k, 0, 4}, .v = {v, 0, 3}, .n_heads = 2, .qk_width = 4,
                                               .v_width = 3, .scale = 0.5, .query_rows = queries, .key_rows = rows});
}

AttentionInput attention_qkv(Tensor *qkv, int n_heads, const TokenRows *rows) {
    const int D = (int)(qkv->dim[1] / 3), E = D / n_heads;
    return (AttentionInput){.q = {qkv, 0, E}, .k = {qkv, D, E}, .v = {qkv, 2 * D, E}, .n_heads = n_heads, .qk_width = E,
                            .v_width = E, .scale = 1 / sqrt((double)E), .query_rows = rows, .key_rows = rows};
}

static void check_view(const char *name, const HeadView *v, int n_heads, int width, const TokenRows *rows, const Tape *tape) {
    const int64_t end = v->column + (int64_t)(n_heads - 1) * v->head_stride + width;
    CHECK(v->rows->n_dims == 2 && end <= v->rows->dim[1], "attention: heads of %s end at column %lld of %lld", name,
          (long long)end, (long long)v->rows->dim[1]);
    CHECK(tape_failed(tape) || v->rows->dim[0] == token_rows_count(rows), "attention: %s has %lld rows, its images %lld", name,
          (long long)v->rows->dim[0], (long long)token_rows_count(rows));
}

Tensor *op_attention(Tape *tape, AttentionInput in) {
    CHECK(in.query_rows->n_images == in.key_rows->n_images, "attention: queries of %d images, keys of %d",
          in.query_rows->n_images, in.key_rows->n_images);
    check_view("q", &in.q, in.n_heads, in.qk_width, in.query_rows, tape);
    check_view("k", &in.k, in.n_heads, in.qk_width, in.key_rows, tape);
    check_view("v", &in.v, in.n_heads, in.v_width, in.key_rows, tape);
    Node      *n  = node_begin(tape, &op_kind_attention, sizeof(Attention));
    Attention *op = n->saved;
    n->in[0] = in.q.rows; n->in[1] = in.k.rows; n->in[2] = in.v.rows; n->in[3] = in.bias;
    op->in = in;
    const int64_t Mq = in.q.rows->dim[0];
    if (tape_recording(tape)) op->lse = tape_alloc(tape, (size_t)(Mq * in.n_heads) * sizeof(Real));
    return node_run(n, tensor_matrix(tape, Mq, (int64_t)in.n_heads * in.v_width));
}

const OpKind op_kind_attention = {"attention", forward, backward, cost, sample};
