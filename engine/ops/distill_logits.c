/* Distillation of logits (Hinton, Vinyals & Dean 2015): divergence of the student's softened classes from the teacher's.
 *   student (B,C), teacher (B,C) logits -> (1)
 *   loss = T^2/B sum_b KL(softmax(teacher_b/T) || softmax(student_b/T)):  T^2 keeps the size of gradients whatever T
 *   dstudent = dy T/B (softmax(student/T) - softmax(teacher/T)).   Nothing flows to the teacher; its data must outlive the step.
 * DeiT's code divides by B C instead of B: its weight here is 1/C of that there. */
#include "engine/ops.h"

typedef struct DistillLogits {
    const Tensor *teacher;
    double        temperature;
    Real         *student_scaled, *target;      /* (B,C): student/T; softmax(teacher/T) */
    Real         *teacher_scaled;
    double       *loss;                         /* (2B): cross entropies with target, of the student and of the teacher itself */
} DistillLogits;

static void forward(Node *n) {
    const DistillLogits *op = n->saved;
    const Backend       *be = tape_backend(n->tape);
    const int64_t        B = n->in[0]->dim[0], C = n->in[0]->dim[1];
    const Real           inverse = (Real)(1 / op->temperature);
    be->scale(B * C, inverse, n->in[0]->data, op->student_scaled);
    be->scale(B * C, inverse, op->teacher->data, op->teacher_scaled);
    be->softmax_rows(B, C, op->teacher_scaled, op->target);
    /* the entropy of the target by the same kernel: a student with the teacher's logits has a loss of exactly 0 */
    be->cross_entropy(&(CrossEntropyArgs){.B = B, .C = C, .logits = op->student_scaled, .soft = op->target, .loss = op->loss});
    be->cross_entropy(&(CrossEntropyArgs){.B = B, .C = C, .logits = op->teacher_scaled, .soft = op->target, .loss = op->loss + B});
    double sum = 0;
    for (int64_t b = 0; b < B; b++) sum += op->loss[b] - op->loss[B + b];
    n->out->data[0] = (Real)(op->temperature * op->temperature * sum / (double)B);
}

static void backward(Node *n) {
    const DistillLogits *op = n->saved;
    const int64_t        B = n->in[0]->dim[0], C = n->in[0]->dim[1];
    Real                *d = grad_add(n, n->in[0]);
    if (d == NULL) return;
    tape_backend(n->tape)->cross_entropy(&(CrossEntropyArgs){.B = B, .C = C, .logits = op->student_scaled, .soft = op->target, .dlogits = d,
                                                             .scale = n->out->grad[0] * (Real)(op->temperature / (double)B)});
}

static OpCost cost(const Node *n) {
    const int64_t count = tensor_count(n->in[0]);
    return (OpCost){.elementwise = 7 * count, .bytes = 5 * count * (int64_t)sizeof(Real)};
}

static Tensor *sample(Tape *tape, int variant) {
    static const double temperature[] = {1, 3, 0.5};
    if (variant > 2) return NULL;
    Tensor *student = sample_tensor(tape, 0, 2, (int64_t[]){3, 4}), *teacher = sample_tensor(tape, 1, 2, (int64_t[]){3, 4});
    teacher->needs_grad = false;
    return op_distill_logits(tape, student, teacher, temperature[variant]);
}

Tensor *op_distill_logits(Tape *tape, Tensor *student, const Tensor *teacher, double temperature) {
    CHECK(tape_failed(tape) || (student->n_dims == 2 && tensor_count(student) == tensor_count(teacher) && temperature > 0),
          "distill_logits: %lld logits of a teacher for %lld, temperature %g", (long long)tensor_count(teacher),
          (long long)tensor_count(student), temperature);
    Node          *n     = node_begin(tape, &op_kind_distill_logits, sizeof(DistillLogits));
    DistillLogits *op    = n->saved;
    const size_t   bytes = (size_t)(tensor_count(student) + 1) * sizeof(Real);
    n->in[0] = student;
    *op = (DistillLogits){.teacher = teacher, .temperature = temperature, .student_scaled = tape_alloc(tape, bytes),
                          .target = tape_alloc(tape, bytes), .teacher_scaled = tape_alloc(tape, bytes),
                          .loss = tape_alloc(tape, (size_t)(2 * student->dim[0] + 1) * sizeof(double))};
    return node_run(n, tensor_new(tape, 1, (int64_t[]){1}));
}

const OpKind op_kind_distill_logits = {"distill_logits", forward, backward, cost, sample};
