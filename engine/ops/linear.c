/* y = act(x W^T + b) + r, one product with its epilogue fused.
 *   x (M,K), W (N,K) as PyTorch stores it, or (N,K,1,1), b (N), r (M,N) -> y (M,N);   b and r may be NULL
 * With z = x W^T + b:  dr = dy,  dz = act'(z) dy,  dx = dz W,  dW = dz^T x,  db = column sums of dz.
 * Keeps z when an activation has to be differentiated. */
#include "engine/ops.h"

typedef struct Linear {
    Activation activation;
    Real      *z;                /* (M,N) or NULL */
    bool       onto;             /* out is the residual: accumulate */
} Linear;

static void forward(Node *n) {
    const Tensor *x = n->in[0], *w = n->in[1], *bias = n->in[2], *residual = n->in[3];
    const Linear *op = n->saved;
    const int64_t M = x->dim[0], K = x->dim[1], N = w->dim[0];
    tape_gemm(n->tape, &(Gemm){
        .M = M, .N = N, .K = K, .trans_b = true, .a = x->data, .lda = K, .b = w->data, .ldb = K, .c = n->out->data, .ldc = N,
        .bias = bias != NULL ? bias->data : NULL, .pre_activation = op->z, .activation = op->activation,
        .residual = residual != NULL && !op->onto ? residual->data : NULL, .beta = op->onto ? 1 : 0,
        .parameter = w});
}

static void backward(Node *n) {
    Tensor *x = n->in[0], *w = n->in[1], *bias = n->in[2], *residual = n->in[3];
    const Linear  *op = n->saved;
    const Backend *be = tape_backend(n->tape);
    const int64_t  M = x->dim[0], K = x->dim[1], N = w->dim[0];
    Real          *dz = n->out->grad;                      /* overwritten in place: its last reader is here */
    if (residual != NULL && op->activation != ACTIVATION_NONE) {
        Real *dr = grad_add(n, residual);
        if (dr != NULL) be->axpy(M * N, 1, dz, dr);
    }
    if (op->activation == ACTIVATION_GELU) be->gelu_backward(M * N, op->z, dz, dz, true);
    bool  assign;
    Real *grad;
    if ((grad = grad_add(n, bias)) != NULL) be->column_sums(M, N, dz, N, grad);
    if ((grad = grad_cover(n, w, &assign)) != NULL)
        tape_gemm(n->tape, &(Gemm){.M = N, .N = K, .K = M, .trans_a = true, .a = dz, .lda = N, .b = x->data, .ldb = K,
                                   .beta = assign ? 0 : 1, .c = grad, .ldc = K});
    if ((grad = grad_cover(n, x, &assign)) != NULL)
        tape_gemm(n->tape, &(Gemm){.M = M, .N = K, .K = N, .a = dz, .lda = N, .b = w->data, .ldb = K,
                                   .beta = assign ? 0 : 1, .c = grad, .ldc = K, .parameter = w});
    if (residual != NULL && op->activation == ACTIVATION_NONE) grad_pass(n, residual);
}

static OpCost cost(const Node *n) {
    const int64_t M = n->in[0]->dim[0], K = n->in[0]->dim[1], N = n->in[1]->dim[0];
    const Linear *op = n->saved;
    const int64_t per_output = (n->in[2] != NULL) + (op->activation != ACTIVATION_NONE) + (n->in[3] != NULL);
    return (OpCost){.macs = M * N * K, .elementwise = M * N * per_output,
                    .bytes = (int64_t)sizeof(Real) * (M * K + N * K + N + M * N * (n->in[3] != NULL ? 2 : 1))};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 3) return NULL;
    Tensor *x = sample_tensor(tape, 0, 2, (int64_t[]){5, 7});
    Tensor *w = sample_tensor(tape, 1, 2, (int64_t[]){6, 7});
    Tensor *b = variant == 1 ? NULL : sample_tensor(tape, 2, 1, (int64_t[]){6});
    Tensor *r = variant >= 2 ? sample_tensor(tape, 3, 2, (int64_t[]){5, 6}) : NULL;
    return op_linear(tape, x, w, b, variant == 0 || variant == 3 ? ACTIVATION_GELU : ACTIVATION_NONE, r);
}

Tensor *op_linear(Tape *tape, Tensor *x, Tensor *w, Tensor *bias, Activation activation, Tensor *residual) {
    CHECK(x->n_dims == 2 && w->n_dims >= 2 && w->dim[0] * x->dim[1] == tensor_count(w), "linear: x is (%lld,%lld) but w is (%lld,%lld)",
          (long long)x->dim[0], (long long)x->dim[1], (long long)w->dim[0], (long long)(w->dim[0] > 0 ? tensor_count(w) / w->dim[0] : 0));
    CHECK(tape_failed(tape) || bias == NULL || tensor_count(bias) == w->dim[0], "linear: w has %lld rows but the bias %lld entries",
          (long long)w->dim[0], (long long)tensor_count(bias));
    Node   *n  = node_begin(tape, &op_kind_linear, sizeof(Linear));
    Linear *op = n->saved;
    n->in[0] = x; n->in[1] = w; n->in[2] = bias; n->in[3] = residual;
    op->activation = activation;
    if (tape_recording(tape) && activation != ACTIVATION_NONE)
        op->z = tape_alloc(tape, (size_t)(x->dim[0] * w->dim[0]) * sizeof(Real));
    Tensor *out = tensor_matrix(tape, x->dim[0], w->dim[0]);
    CHECK(tape_failed(tape) || residual == NULL || tensor_count(residual) == tensor_count(out), "linear: residual of another size");
    return node_run(n, out);
}

Tensor *op_linear_onto(Tape *tape, Tensor *x, Tensor *w, Tensor *bias, Tensor *z) {
    if (tape_recording(tape) || tape_failed(tape)) return op_linear(tape, x, w, bias, ACTIVATION_NONE, z);
    CHECK(x->dim[1] == w->dim[1] && z->dim[0] == x->dim[0] && z->dim[1] == w->dim[0],
          "linear_onto: x is (%lld,%lld), w (%lld,%lld), z (%lld,%lld)", (long long)x->dim[0], (long long)x->dim[1],
          (long long)w->dim[0], (long long)w->dim[1], (long long)z->dim[0], (long long)z->dim[1]);
    Node *n = node_begin(tape, &op_kind_linear, sizeof(Linear));
    n->in[0] = x; n->in[1] = w; n->in[2] = bias; n->in[3] = z;
    ((Linear *)n->saved)->onto = true;
    return node_run(n, z);
}

const OpKind op_kind_linear = {"linear", forward, backward, cost, sample};
