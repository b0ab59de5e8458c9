/* Local and global features side by side (Rao et al. 2021, DynamicViT, eqs. 1-3): the first half of a row stays, the second
 * becomes the mean over its image, weighted by the policy.
 *   x (M,D), policy (M,1) or NULL (all 1) -> y (M,D) = [x_i first half, sum_j p_j x_j / sum_j p_j of the second halves]
 *   With G = sum_i dy_i of the second halves:  dx_j = p_j G / sum p,  dp_j = G . (x_j - mean) / sum p.
 * An image whose policy is zero everywhere has a mean of zeros and passes no gradient: the original divides 0 by 0. */
#include "engine/ops.h"

typedef struct PoolHalf { const TokenRows *rows; } PoolHalf;

static PoolHalfArgs args(const Node *n) {
    const TokenRows *rows = ((const PoolHalf *)n->saved)->rows;
    return (PoolHalfArgs){.n_sequences = rows->n_images, .D = n->out->dim[1], .offset = rows->offset, .x = n->in[0]->data,
                          .policy = n->in[1] != NULL ? n->in[1]->data : NULL, .y = n->out->data};
}

static void forward(Node *n) {
    const PoolHalfArgs a = args(n);
    tape_backend(n->tape)->pool_half(&a);
}

static void backward(Node *n) {
    PoolHalfArgs a = args(n);
    a.dy      = n->out->grad;
    a.dx      = grad_add(n, n->in[0]);
    a.dpolicy = grad_add(n, n->in[1]);
    if (!tape_failed(n->tape)) tape_backend(n->tape)->pool_half_backward(&a);
}

static OpCost cost(const Node *n) {
    return (OpCost){.elementwise = tensor_count(n->out) / 2, .bytes = 2 * tensor_count(n->out) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 1) return NULL;
    Tensor          *x    = sample_tensor(tape, 0, 2, (int64_t[]){7, 6}), *policy = sample_tensor(tape, 1, 2, (int64_t[]){7, 1});
    const TokenRows *rows = sample_rows(tape, 2, (int[]){5, 2});
    for (int i = 0; policy->data != NULL && i < 7; i++) policy->data[i] = (Real)(0.3 + 0.1 * i);
    return rows == NULL ? op_gelu(tape, x) : op_pool_half(tape, x, variant == 1 ? NULL : policy, rows);
}

Tensor *op_pool_half(Tape *tape, Tensor *x, Tensor *policy, const TokenRows *rows) {
    CHECK(x->dim[1] % 2 == 0, "pool_half: rows of %lld have no halves", (long long)x->dim[1]);
    CHECK(tape_failed(tape) || (x->dim[0] == token_rows_count(rows) && (policy == NULL || tensor_count(policy) == x->dim[0])),
          "pool_half: %lld rows, a policy of %lld", (long long)x->dim[0], (long long)(policy != NULL ? tensor_count(policy) : 0));
    Node *n  = node_begin(tape, &op_kind_pool_half, sizeof(PoolHalf));
    n->in[0] = x; n->in[1] = policy;
    ((PoolHalf *)n->saved)->rows = rows;
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_pool_half = {"pool_half", forward, backward, cost, sample};
