/* The auxiliary loss of expert-choice routing: were a token's score a logit, would it tell who is chosen (Bae et al. 2025)?
 *   scores (any shape), at [n] their places, target [n] 0 or 1 -> (1)
 *   loss = 1/n sum_i BCE(sigmoid(s_i), target_i);   ds_i = (sigmoid(s_i) - target_i) / n.   n = 0: zero
 * at and target must outlive the tape's step. */
#include "engine/ops.h"

typedef struct SelectionBce { const int32_t *at; const uint8_t *target; int64_t n; } SelectionBce;

static BceArgs args(const Node *n) {
    const SelectionBce *op = n->saved;
    return (BceArgs){.n = op->n, .s = n->in[0]->data, .at = op->at, .target = op->target};
}

static void forward(Node *n) {
    BceArgs a = args(n);
    double  loss;
    a.loss = &loss;
    tape_backend(n->tape)->binary_cross_entropy(&a);
    n->out->data[0] = (Real)loss;
}

static void backward(Node *n) {
    BceArgs a = args(n);
    a.scale = n->out->grad[0];
    a.ds    = grad_add(n, n->in[0]);
    if (a.ds != NULL) tape_backend(n->tape)->binary_cross_entropy(&a);
}

static OpCost cost(const Node *n) {
    const int64_t count = ((const SelectionBce *)n->saved)->n;
    return (OpCost){.elementwise = 2 * count, .bytes = (count + 1) * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    static const uint8_t target[] = {1, 0, 0};
    if (variant > 0) return NULL;
    return op_selection_bce(tape, sample_tensor(tape, 0, 2, (int64_t[]){2, 3}), sample_index(tape, 3, (int32_t[]){5, 0, 2}), target, 3);
}

Tensor *op_selection_bce(Tape *tape, Tensor *scores, const int32_t *at, const uint8_t *target, int64_t count) {
    for (int64_t i = 0; !tape_failed(tape) && i < count; i++)
        CHECK(at[i] >= 0 && at[i] < tensor_count(scores), "selection_bce: place %d of %lld scores", at[i], (long long)tensor_count(scores));
    Node *n = node_begin(tape, &op_kind_selection_bce, sizeof(SelectionBce));
    n->in[0] = scores;
    *(SelectionBce *)n->saved = (SelectionBce){at, target, count};
    return node_run(n, tensor_new(tape, 1, (int64_t[]){1}));
}

const OpKind op_kind_selection_bce = {"selection_bce", forward, backward, cost, sample};
