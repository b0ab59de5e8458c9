/* Self-attention under a policy: the masked softmax of DynamicViT's training (Rao et al. 2021, eqs. 9-11), eps as in its code.
 *   q, k, v as views of M rows, policy (M,1) -> out (M, H Ev):   e_ij = exp(s_ij - m_i), m_i = max_j s_ij over all keys,
 *   A_ij = e_ij G_ij, G_ij = 1 on the diagonal and p_j elsewhere,  S_i = sum_j A_ij + eps,  P_ij = (A_ij + eps/n) / S_i,  out = P v
 * Backward, with g = dout v^T and r_i = sum_j g_ij P_ij = dout_i . out_i:  dA_ij = (g_ij - r_i) / S_i,  ds_ij = dA_ij A_ij, of which
 * sum_j ds_ij is taken from the key that has the maximum;  dp_j = sum_{heads, i != j} dA_ij e_ij;  dv = P^T dout. */
#include "engine/ops.h"

#include <string.h>

typedef struct PolicyAttention {
    AttentionInput in;
    Real           eps;
    Real          *maximum, *sum;    /* (M,H), NULL when not recorded */
} PolicyAttention;

static PolicyAttentionArgs args(const Node *n) {
    const PolicyAttention *op = n->saved;
    const AttentionInput  *in = &op->in;
    return (PolicyAttentionArgs){
        .a = {.n_sequences = in->query_rows->n_images, .H = in->n_heads, .E = in->qk_width, .Ev = in->v_width,
              .q_offset = in->query_rows->offset, .k_offset = in->query_rows->offset, .scale = (Real)in->scale,
              .q = in->q.rows->data + in->q.column, .k = in->k.rows->data + in->k.column, .v = in->v.rows->data + in->v.column,
              .q_ld = in->q.rows->dim[1], .k_ld = in->k.rows->dim[1], .v_ld = in->v.rows->dim[1],
              .q_head = in->q.head_stride, .k_head = in->k.head_stride, .v_head = in->v.head_stride, .out = n->out->data},
        .policy = n->in[3]->data, .eps = op->eps, .maximum = op->maximum, .sum = op->sum};
}

static void forward(Node *n) {
    const PolicyAttentionArgs p = args(n);
    tape_policy_attention(n->tape, &p, false);
}

static void backward(Node *n) {
    const AttentionInput *in = &((const PolicyAttention *)n->saved)->in;
    PolicyAttentionArgs   p  = args(n);
    /* a frozen backbone wants no gradient of q, k and v, but its predictors want the policy's */
    Real *dq = grad_or_nowhere(n, in->q.rows), *dk = in->k.rows == in->q.rows ? dq : grad_or_nowhere(n, in->k.rows),
         *dv = in->v.rows == in->q.rows ? dq : grad_or_nowhere(n, in->v.rows);
    p.dpolicy = grad_add(n, n->in[3]);
    if (tape_failed(n->tape)) return;
    p.a.dq   = dq + in->q.column;
    p.a.dk   = dk + in->k.column;
    p.a.dv   = dv + in->v.column;
    p.a.dout = n->out->grad;
    tape_policy_attention(n->tape, &p, true);
}

static int64_t pairs(const TokenRows *rows) {
    int64_t sum = 0;
    for (int b = 0; b < rows->n_images; b++) {
        const int64_t n = rows->offset[b + 1] - rows->offset[b];
        sum += n * n;
    }
    return sum;
}

static OpCost cost(const Node *n) {
    const AttentionInput *in = &((const PolicyAttention *)n->saved)->in;
    const int64_t         scores = pairs(in->query_rows) * in->n_heads, M = token_rows_count(in->query_rows);
    return (OpCost){.macs = scores * (in->qk_width + in->v_width), .elementwise = 3 * scores,
                    .bytes = (int64_t)sizeof(Real) * (in->n_heads * 2 * M * (in->qk_width + in->v_width) + M)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 1) return NULL;
    Tensor          *qkv  = sample_tensor(tape, 0, 2, (int64_t[]){7, 24}), *policy = sample_tensor(tape, 1, 2, (int64_t[]){7, 1});
    const TokenRows *rows = sample_rows(tape, 2, (int[]){5, 2});
    if (rows == NULL) return op_gelu(tape, qkv);
    for (int i = 0; policy->data != NULL && i < 7; i++) policy->data[i] = (Real)(0.2 + 0.1 * i);
    return op_policy_attention(tape, attention_qkv(qkv, 2, rows), policy, variant == 0 ? 0.05 : 0);      /* an eps that shows */
}

Tensor *op_policy_attention(Tape *tape, AttentionInput in, Tensor *policy, double eps) {
    const bool failed = tape_failed(tape);
    CHECK(in.query_rows == in.key_rows && in.bias == NULL, "policy_attention: queries and keys are the same rows, without a bias");
    const int64_t M = in.q.rows->dim[0];
    CHECK(failed || (M == token_rows_count(in.query_rows) && in.k.rows->dim[0] == M && in.v.rows->dim[0] == M && tensor_count(policy) == M),
          "policy_attention: %lld rows, a policy of %lld", (long long)M, (long long)tensor_count(policy));
    Node            *n  = node_begin(tape, &op_kind_policy_attention, sizeof(PolicyAttention));
    PolicyAttention *op = n->saved;
    n->in[0] = in.q.rows; n->in[1] = in.k.rows; n->in[2] = in.v.rows; n->in[3] = policy;
    *op = (PolicyAttention){.in = in, .eps = (Real)eps};
    if (tape_recording(tape)) {
        op->maximum = tape_alloc(tape, (size_t)(M * in.n_heads + 1) * sizeof(Real));
        op->sum     = tape_alloc(tape, (size_t)(M * in.n_heads + 1) * sizeof(Real));
    }
    return node_run(n, tensor_matrix(tape, M, (int64_t)in.n_heads * in.v_width));
}

const OpKind op_kind_policy_attention = {"policy_attention", forward, backward, cost, sample};
