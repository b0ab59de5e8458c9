/* Router z-loss (Zoph et al. 2022): keeps logits small.   z (M,L) -> (1)
 *   loss = 1/M sum_i (logsumexp_j z_ij)^2;   dz_ij = 2/M logsumexp_i softmax(z_i)_j.   M = 0: zero */
#include "engine/ops.h"

typedef struct ZLoss { Real *lse; } ZLoss;

static void forward(Node *n) {
    const ZLoss  *op = n->saved;
    const int64_t M  = n->in[0]->dim[0];
    double        sum = 0;
    tape_backend(n->tape)->log_sum_exp_rows(M, n->in[0]->dim[1], n->in[0]->data, op->lse);
    tape_backend(n->tape)->sum_squares(M, op->lse, &sum);
    n->out->data[0] = (Real)(M > 0 ? sum / (double)M : 0);
}

static void backward(Node *n) {
    const ZLoss  *op = n->saved;
    const int64_t M = n->in[0]->dim[0], L = n->in[0]->dim[1];
    Real *dz = grad_add(n, n->in[0]), *p = tape_alloc(n->tape, (size_t)(M * L + 1) * sizeof *p);
    if (dz == NULL || p == NULL) return;
    tape_backend(n->tape)->softmax_rows(M, L, n->in[0]->data, p);
    for (int64_t i = 0; i < M; i++)
        tape_backend(n->tape)->axpy(L, n->out->grad[0] * 2 * op->lse[i] / (Real)M, p + i * L, dz + i * L);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    return (OpCost){.elementwise = 2 * count, .bytes = (count + 1) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 0) return NULL;
    return op_z_loss(tape, sample_tensor(tape, 0, 2, (int64_t[]){4, 3}));
}

Tensor *op_z_loss(Tape *tape, Tensor *z) {
    CHECK(z->n_dims == 2, "z_loss: z has %d dimensions", z->n_dims);
    Node *n = node_begin(tape, &op_kind_z_loss, sizeof(ZLoss));
    n->in[0] = z;
    ((ZLoss *)n->saved)->lse = tape_alloc(tape, (size_t)(z->dim[0] + 1) * sizeof(Real));
    return node_run(n, tensor_new(tape, 1, (int64_t[]){1}));
}

const OpKind op_kind_z_loss = {"z_loss", forward, backward, cost, sample};
