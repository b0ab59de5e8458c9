/* Loss of the mean routing probabilities P_j = 1/M sum_i p_ij, p = softmax(z).   z (M,L) -> (1)
 *   switch:     L sum_j f_j P_j, f_j = share of the rows whose largest logit is j, without gradient (Fedus et al. 2022)
 *   hinge_var:  max(0, 1/L sum_j (P_j - 1/L)^2 - parameter), the MoR-ViT author's (P sums to 1, so its mean is 1/L)
 *   target:     (sum_j (j+1) P_j - parameter)^2, a budget of mean depth
 * With c_j = dloss/dP_j:  dz_ij = p_ij (c_j - sum_k p_ik c_k) / M.   M = 0: zero */
#include "engine/ops.h"

typedef struct BalanceLoss { Balance kind; double parameter; Real *p, *c; } BalanceLoss;

enum { MOST_CHOICES = 256 };

static int largest(int64_t L, const Real *z) {
    int best = 0;
    for (int j = 1; j < L; j++)
        if (z[j] > z[best]) best = j;
    return best;
}

/* The loss of P, and c (L). */
static double loss_of(const BalanceLoss *op, int64_t M, int64_t L, const Real *z, const double P[], Real c[]) {
    double loss = 0, count[MOST_CHOICES] = {0};
    switch (op->kind) {
    case BALANCE_SWITCH:
        for (int64_t i = 0; i < M; i++) count[largest(L, z + i * L)]++;
        for (int64_t j = 0; j < L; j++) {
            c[j]  = (Real)((double)L * count[j] / (double)M);
            loss += (double)L * count[j] / (double)M * P[j];
        }
        return loss;
    case BALANCE_HINGE_VAR:
        for (int64_t j = 0; j < L; j++) loss += (P[j] - 1.0 / (double)L) * (P[j] - 1.0 / (double)L) / (double)L;
        for (int64_t j = 0; j < L; j++) c[j] = (Real)(loss > op->parameter ? 2 * (P[j] - 1.0 / (double)L) / (double)L : 0);
        return loss > op->parameter ? loss - op->parameter : 0;
    default:
        for (int64_t j = 0; j < L; j++) loss += (double)(j + 1) * P[j];
        for (int64_t j = 0; j < L; j++) c[j] = (Real)(2 * (loss - op->parameter) * (double)(j + 1));
        return (loss - op->parameter) * (loss - op->parameter);
    }
}

static void forward(Node *n) {
    const BalanceLoss *op = n->saved;
    const int64_t      M = n->in[0]->dim[0], L = n->in[0]->dim[1];
    double             P[MOST_CHOICES] = {0};
    n->out->data[0] = 0;
    if (M == 0) return;
    tape_backend(n->tape)->softmax_rows(M, L, n->in[0]->data, op->p);
    for (int64_t i = 0; i < M * L; i++) P[i % L] += (double)op->p[i] / (double)M;
    n->out->data[0] = (Real)loss_of(op, M, L, n->in[0]->data, P, op->c);
}

static void backward(Node *n) {
    const BalanceLoss *op = n->saved;
    const int64_t      M = n->in[0]->dim[0], L = n->in[0]->dim[1];
    Real *dz = grad_add(n, n->in[0]), *dp = tape_alloc(n->tape, (size_t)(M * L + 1) * sizeof *dp);
    if (dz == NULL || dp == NULL) return;
    for (int64_t i = 0; i < M * L; i++) dp[i] = n->out->grad[0] * op->c[i % L] / (Real)M;
    tape_backend(n->tape)->softmax_rows_backward(M, L, op->p, dp, dz);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    return (OpCost){.elementwise = 3 * count, .bytes = (count + 1) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    static const Balance kinds[] = {BALANCE_SWITCH, BALANCE_HINGE_VAR, BALANCE_TARGET, BALANCE_HINGE_VAR};
    static const double  parameters[] = {0, 0, 2.5, 0.9};
    if (variant > 3) return NULL;
    return op_balance_loss(tape, sample_tensor(tape, 0, 2, (int64_t[]){5, 3}), kinds[variant], parameters[variant]);
}

Tensor *op_balance_loss(Tape *tape, Tensor *z, Balance kind, double parameter) {
    CHECK(z->n_dims == 2 && z->dim[1] <= MOST_CHOICES, "balance_loss: z has %lld columns", (long long)tensor_width(z));
    CHECK(kind == BALANCE_SWITCH || kind == BALANCE_HINGE_VAR || kind == BALANCE_TARGET, "balance_loss: kind %d is no loss", (int)kind);
    Node        *n  = node_begin(tape, &op_kind_balance_loss, sizeof(BalanceLoss));
    BalanceLoss *op = n->saved;
    n->in[0] = z;
    *op = (BalanceLoss){kind, parameter, tape_alloc(tape, (size_t)(tensor_count(z) + 1) * sizeof(Real)), tape_alloc(tape, (size_t)z->dim[1] * sizeof(Real))};
    return node_run(n, tensor_new(tape, 1, (int64_t[]){1}));
}

const OpKind op_kind_balance_loss = {"balance_loss", forward, backward, cost, sample};
