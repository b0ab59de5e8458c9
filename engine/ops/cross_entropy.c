/* Mean cross entropy over the batch, targets as labels or as soft rows, with label smoothing (Szegedy et al. 2016).
 *   logits (B,C), labels [B] in [0,C) or soft (B,C) rows that sum to 1 -> (1)
 *   loss = -1/B sum_b sum_c t_bc log softmax_c(logits_b),  t = (1-smoothing) target + smoothing/C
 *   dlogits = dy (softmax - t) / B.   labels and soft must outlive the tape's step. */
#include "engine/ops.h"

typedef struct CrossEntropy {
    const int32_t *labels;
    const Tensor  *soft;
    Real           smoothing;
    double        *loss;         /* (B) */
} CrossEntropy;

static CrossEntropyArgs args(const Node *n) {
    const CrossEntropy *op = n->saved;
    return (CrossEntropyArgs){.B = n->in[0]->dim[0], .C = n->in[0]->dim[1], .logits = n->in[0]->data, .labels = op->labels,
                              .soft = op->soft != NULL ? op->soft->data : NULL, .smoothing = op->smoothing};
}

static void forward(Node *n) {
    CrossEntropyArgs a = args(n);
    a.loss = ((const CrossEntropy *)n->saved)->loss;
    tape_backend(n->tape)->cross_entropy(&a);
    double sum = 0;
    for (int64_t b = 0; b < a.B; b++) sum += a.loss[b];
    n->out->data[0] = (Real)(sum / (double)a.B);
}

static void backward(Node *n) {
    CrossEntropyArgs a = args(n);
    a.scale   = n->out->grad[0] / (Real)a.B;
    a.dlogits = grad_add(n, n->in[0]);
    if (a.dlogits != NULL) tape_backend(n->tape)->cross_entropy(&a);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    return (OpCost){.elementwise = 2 * count, .bytes = count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 1) return NULL;
    Tensor *logits = sample_tensor(tape, 0, 2, (int64_t[]){3, 4});
    if (variant == 0) return op_cross_entropy(tape, logits, sample_index(tape, 3, (int32_t[]){0, 3, 1}), NULL, 0.1);
    Tensor *soft = sample_tensor(tape, 1, 2, (int64_t[]){3, 4});
    soft->needs_grad = false;
    return op_cross_entropy(tape, logits, NULL, op_softmax(tape, soft), 0);
}

Tensor *op_cross_entropy(Tape *tape, Tensor *logits, const int32_t *labels, const Tensor *soft, double smoothing) {
    CHECK(tape_failed(tape) || (logits->n_dims == 2 && (labels != NULL) != (soft != NULL)), "cross_entropy: either labels or soft targets");
    CHECK(soft == NULL || tape_failed(tape) || tensor_count(soft) == tensor_count(logits), "cross_entropy: %lld targets for %lld logits",
          (long long)(soft != NULL ? tensor_count(soft) : 0), (long long)tensor_count(logits));
    Node         *n  = node_begin(tape, &op_kind_cross_entropy, sizeof(CrossEntropy));
    CrossEntropy *op = n->saved;
    n->in[0] = logits;
    *op = (CrossEntropy){labels, soft, (Real)smoothing, tape_alloc(tape, (size_t)(logits->dim[0] + 1) * sizeof(double))};
    return node_run(n, tensor_new(tape, 1, (int64_t[]){1}));
}

const OpKind op_kind_cross_entropy = {"cross_entropy", forward, backward, cost, sample};
