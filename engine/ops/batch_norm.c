/* Batch normalisation over the rows (Ioffe & Szegedy 2015).
 *   x (M,C) -> y (M,C) = (x - mean) / sqrt(var + eps) gain + bias;   gain, bias (C)
 * Training: mean and variance (divisor M) of the batch, which are left in the statistics (variance with divisor M-1) for
 * whoever keeps running ones. Otherwise the running statistics are constants; a recorded pass then differentiates to x, gain and bias. */
#include "engine/ops.h"

typedef struct BatchNorm {
    BatchStatistics s;
    Real            eps;
    bool            training;
    Real           *mean, *variance;         /* (C) of the batch */
} BatchNorm;

static BatchNormArgs args(const Node *n) {
    const BatchNorm *op = n->saved;
    return (BatchNormArgs){.M = tensor_rows(n->in[0]), .C = tensor_width(n->in[0]), .eps = op->eps, .given = !op->training,
                           .x = n->in[0]->data, .gain = n->in[1]->data, .bias = n->in[2]->data, .y = n->out->data,
                           .mean = op->training ? op->mean : op->s.running_mean->data,
                           .variance = op->training ? op->variance : op->s.running_var->data};
}

static void forward(Node *n) {
    const BatchNorm    *op = n->saved;
    const BatchNormArgs a  = args(n);
    tape_backend(n->tape)->batch_norm(&a);
    const double unbiased = a.M > 1 ? (double)a.M / (double)(a.M - 1) : 1;
    for (int64_t c = 0; op->training && op->s.batch_mean != NULL && c < a.C; c++) {
        op->s.batch_mean->data[c] = a.mean[c];
        op->s.batch_var->data[c]  = (Real)(unbiased * (double)a.variance[c]);
    }
}

static void backward(Node *n) {
    BatchNormArgs a = args(n);
    a.dy    = n->out->grad;
    a.dgain = grad_add(n, n->in[1]);
    a.dbias = grad_add(n, n->in[2]);
    a.dx    = grad_cover(n, n->in[0], &a.dx_assign);
    if (!tape_failed(n->tape)) tape_backend(n->tape)->batch_norm_backward(&a);
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    return (OpCost){.elementwise = (((const BatchNorm *)n->saved)->training ? 5 : 2) * count, .bytes = 2 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    if (variant > 1) return NULL;
    Tensor         *x = sample_tensor(tape, 0, 2, (int64_t[]){7, 5}), *gain = sample_tensor(tape, 1, 1, (int64_t[]){5});
    Tensor         *bias = sample_tensor(tape, 2, 1, (int64_t[]){5});
    BatchStatistics s = {.frozen = variant == 1};
    if (s.frozen) {
        Tensor *variance = sample_tensor(tape, 3, 1, (int64_t[]){5});
        for (int c = 0; variance->data != NULL && c < 5; c++) variance->data[c] *= variance->data[c];
        s.running_mean = sample_tensor(tape, 4, 1, (int64_t[]){5});
        s.running_var  = variance;
    }
    return op_batch_norm(tape, x, gain, bias, s, 1e-5);
}

Tensor *op_batch_norm(Tape *tape, Tensor *x, Tensor *gain, Tensor *bias, BatchStatistics s, double eps) {
    const int64_t C = tensor_width(x);
    const bool    training = tape_step(tape).training && !s.frozen;
    CHECK(tape_failed(tape) || (tensor_count(gain) == C && tensor_count(bias) == C), "batch_norm: x is %lld wide, gain has %lld entries, bias %lld",
          (long long)C, (long long)tensor_count(gain), (long long)tensor_count(bias));
    CHECK(training || (s.running_mean != NULL && s.running_var != NULL), "batch_norm: no running statistics outside training");
    Node      *n  = node_begin(tape, &op_kind_batch_norm, sizeof(BatchNorm));
    BatchNorm *op = n->saved;
    n->in[0] = x; n->in[1] = gain; n->in[2] = bias;
    *op = (BatchNorm){.s = s, .eps = (Real)eps, .training = training};
    if (training) {
        op->mean     = tape_alloc(tape, (size_t)(C + 1) * sizeof(Real));
        op->variance = tape_alloc(tape, (size_t)(C + 1) * sizeof(Real));
    }
    return node_run(n, tensor_new(tape, x->n_dims, x->dim));
}

const OpKind op_kind_batch_norm = {"batch_norm", forward, backward, cost, sample};
