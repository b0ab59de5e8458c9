/* y = x W_part^T + b_part, W_part being the rows first .. first+n_out-1 of W: part of a fused projection, such as the queries or
 * the keys and values of qkv.   x (M,K), W (N,K), b (N) or NULL -> y (M,n_out)
 *   dx = dy W_part,  dW_part += dy^T x,  db_part += column sums of dy */
#include "engine/ops.h"

typedef struct LinearPart { int64_t first; } LinearPart;

static void forward(Node *n) {
    const Tensor *x = n->in[0], *w = n->in[1], *bias = n->in[2];
    const int64_t first = ((const LinearPart *)n->saved)->first, K = x->dim[1], N = n->out->dim[1];
    tape_gemm(n->tape, &(Gemm){
        .M = x->dim[0], .N = N, .K = K, .trans_b = true, .a = x->data, .lda = K, .b = w->data + first * K, .ldb = K,
        .c = n->out->data, .ldc = N, .bias = bias != NULL ? bias->data + first : NULL, .parameter = w});
}

static void backward(Node *n) {
    Tensor       *x = n->in[0], *w = n->in[1];
    const int64_t first = ((const LinearPart *)n->saved)->first, M = x->dim[0], K = x->dim[1], N = n->out->dim[1];
    const Real   *dy = n->out->grad;
    bool  assign;
    Real *grad;
    if ((grad = grad_add(n, n->in[2])) != NULL) tape_backend(n->tape)->column_sums(M, N, dy, N, grad + first);
    if ((grad = grad_add(n, w)) != NULL)
        tape_gemm(n->tape, &(Gemm){.M = N, .N = K, .K = M, .trans_a = true, .a = dy, .lda = N, .b = x->data, .ldb = K,
                                   .beta = 1, .c = grad + first * K, .ldc = K});
    if ((grad = grad_cover(n, x, &assign)) != NULL)
        tape_gemm(n->tape, &(Gemm){.M = M, .N = K, .K = N, .a = dy, .lda = N, .b = w->data + first * K, .ldb = K,
                                   .beta = assign ? 0 : 1, .c = grad, .ldc = K, .parameter = w});
}

static OpCost cost(const Node *n) {
    const int64_t M = n->in[0]->dim[0], K = n->in[0]->dim[1], N = n->out->dim[1];
    return (OpCost){.macs = M * N * K, .elementwise = n->in[2] != NULL ? M * N : 0,
                    .bytes = (int64_t)sizeof(Real) * (M * K + N * K + N + M * N)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 1) return NULL;
    Tensor *x = sample_tensor(tape, 0, 2, (int64_t[]){5, 7}), *w = sample_tensor(tape, 1, 2, (int64_t[]){6, 7});
    return op_linear_part(tape, x, w, variant == 0 ? sample_tensor(tape, 2, 1, (int64_t[]){6}) : NULL, 2, 3);
}

Tensor *op_linear_part(Tape *tape, Tensor *x, Tensor *w, Tensor *bias, int64_t first, int64_t n_out) {
    CHECK(x->n_dims == 2 && w->n_dims == 2 && x->dim[1] == w->dim[1], "linear_part: x is (%lld,%lld) but w is (%lld,%lld)",
          (long long)x->dim[0], (long long)x->dim[1], (long long)w->dim[0], (long long)w->dim[1]);
    CHECK(tape_failed(tape) || (first >= 0 && n_out >= 1 && first + n_out <= w->dim[0]), "linear_part: rows %lld to %lld of %lld",
          (long long)first, (long long)(first + n_out), (long long)w->dim[0]);
    Node *n = node_begin(tape, &op_kind_linear_part, sizeof(LinearPart));
    n->in[0] = x; n->in[1] = w; n->in[2] = bias;
    ((LinearPart *)n->saved)->first = first;
    return node_run(n, tensor_matrix(tape, x->dim[0], n_out));
}

const OpKind op_kind_linear_part = {"linear_part", forward, backward, cost, sample};
