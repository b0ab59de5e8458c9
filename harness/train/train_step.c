/* One training step: the loss of a batch, its gradients, the update (train.h). */
#include "harness/train/train.h"

#include "harness/interrupt.h"

#include <stdio.h>
#include <string.h>

bool train_optimizer(const TrainSettings *s, const Optimizer **out, OptimizerSettings *settings, Error *err) {
    *out = optimizer_find(s->optimizer);
    if (*out == NULL) return FAIL(err, "/train/optimizer", "no optimizer '%.40s'; known: %s", s->optimizer, optimizer_names());
    *settings = (OptimizerSettings){.weight_decay = s->weight_decay, .beta1 = s->beta1, .beta2 = s->beta2, .eps = s->eps, .momentum = s->momentum};
    return true;
}

/* ---- the loss ---- */

void train_parts_add(TrainParts *sum, const TrainParts *parts, double weight) {
    for (int i = 0; i < parts->n; i++) {
        int k = 0;
        while (k < sum->n && strcmp(sum->name[k], parts->name[i]) != 0) k++;
        if (k == TRAIN_PARTS_MAX) continue;
        if (k == sum->n) {
            snprintf(sum->name[sum->n++], TRAIN_PART_NAME, "%s", parts->name[i]);
            sum->value[k] = 0;
        }
        sum->value[k] += weight * parts->value[i];
    }
}

/* Terms on the way to one loss. */
typedef struct Loss {
    Tape   *tape;
    Tensor *sum;                         /* NULL: none yet */
    int     n;
    struct { const char *name; const Tensor *value; double weight; } part[TRAIN_PARTS_MAX];
} Loss;

static void note(Loss *l, const char *name, const Tensor *value, double weight) {
    CHECK(l->n < TRAIN_PARTS_MAX, "more than %d parts of a loss", TRAIN_PARTS_MAX);
    l->part[l->n].name     = name;
    l->part[l->n].value    = value;
    l->part[l->n++].weight = weight;
}

static void add(Loss *l, const char *name, Tensor *value, double weight) {
    Tensor *weighted = weight == 1 ? value : op_scale(l->tape, value, weight);
    l->sum = l->sum == NULL ? weighted : op_add(l->tape, l->sum, weighted);
    note(l, name, value, weight);
}

/* soft (B,C), rows that sum to 1 with their smoothing in them, or NULL: labels, smoothed here. */
static Tensor *task_loss(Tape *tape, Tensor *logits, const TrainBatch *batch, const Tensor *soft, const TrainSettings *s) {
    return soft == NULL ? op_cross_entropy(tape, logits, batch->labels, NULL, s->label_smoothing)
                        : op_cross_entropy(tape, logits, NULL, soft, 0);
}

/* The teacher's best class of each image, (n) in the tape's memory; NULL: it ran out. */
static const int32_t *best_classes(Tape *tape, const Tensor *logits) {
    const int64_t n = logits->dim[0], C = logits->dim[1];
    int32_t      *best = tape_alloc(tape, (size_t)(n + 1) * sizeof *best);
    for (int64_t b = 0; best != NULL && b < n; b++) best[b] = logits_best(logits->data + b * C, (int)C);
    return best;
}

static void add_teacher(Loss *l, const TrainSettings *s, const ModelOutput *y, const ModelOutput *teacher) {
    Tape   *tape = l->tape;
    Tensor *head = y->logits_dist != NULL ? y->logits_dist : y->logits;
    if (tape_failed(tape)) return;
    if (s->distill == DISTILL_SOFT) {
        add(l, "logits", op_distill_logits(tape, head, teacher->logits, s->distill_temperature), s->distill_weight);
    } else if (s->distill == DISTILL_HARD) {
        const int32_t *labels = best_classes(tape, teacher->logits);
        if (labels != NULL) add(l, "logits", op_cross_entropy(tape, head, labels, NULL, 0), s->distill_weight);
    }
    if (s->distill_tokens > 0) {
        const int32_t *index = teacher_match_rows(tape, y->rows, teacher->rows);
        if (index != NULL) add(l, "tokens", op_distill_rows(tape, y->tokens, teacher->tokens, index), s->distill_tokens);
    }
}

static void add_own(Loss *l, const ModelOutput *y) {
    if (y->auxiliary_loss == NULL) return;
    l->sum = op_add(l->tape, l->sum, y->auxiliary_loss);
    if (y->n_loss_parts == 0) note(l, "auxiliary", y->auxiliary_loss, 1);
    for (int i = 0; i < y->n_loss_parts; i++) note(l, y->loss_part[i].name, y->loss_part[i].value, y->loss_part[i].weight);
}

static Tensor *loss_of(Loss *l, const TrainSettings *s, const TrainBatch *batch, const Tensor *soft, const ModelOutput *y, const ModelOutput *teacher) {
    Tape *tape = l->tape;
    /* a pair without a teacher (speed measurements) learns with the mean of its heads */
    Tensor *head = teacher != NULL && s->distill != DISTILL_NONE && y->logits_class != NULL ? y->logits_class : y->logits;
    add(l, "labels", task_loss(tape, head, batch, soft, s), s->label_weight);
    for (int i = 0; i < y->n_logits_deep; i++)
        add(l, "deep", task_loss(tape, y->logits_deep[i], batch, soft, s), y->deep_weight / y->n_logits_deep);
    if (teacher != NULL) add_teacher(l, s, y, teacher);
    add_own(l, y);
    return l->sum;
}

static void report_parts(const Loss *l, TrainParts *out) {
    *out = (TrainParts){0};
    for (int i = 0; i < l->n; i++) {
        TrainParts one = {.n = 1, .value = {l->part[i].value != NULL ? l->part[i].weight * (double)l->part[i].value->data[0] : 0}};
        snprintf(one.name[0], TRAIN_PART_NAME, "%s", l->part[i].name);
        train_parts_add(out, &one, 1);
    }
}

/* ---- a step ---- */

bool train_pass(Model *m, Tape *tape, const TrainSettings *s, const TrainPass *pass, const TrainBatch *batch, StepReport *report, Error *err) {
    int channels, height, width, classes;
    const bool want_tokens = pass->teacher != NULL && s->distill_tokens > 0;
    const ModelOutput *teacher = NULL;
    ModelOutput        y;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    if (pass->teacher != NULL && !teacher_answer(pass->teacher, batch->images, batch->ids, batch->n, want_tokens, &teacher, err)) return false;
    tape_begin(tape, true, (TapeStep){.seed = (uint64_t)s->seed, .step = pass->step, .n_steps = pass->n_steps, .training = true, .freeze_bn = s->freeze_bn,
                                      .dropout = s->dropout, .drop_path = s->drop_path});
    m->kind->forward(m->self, tape,
                     &(ModelInput){.images = batch_tensor(tape, batch->images, batch->n, channels, height, width), .image_id = batch->ids,
                                   .want_tokens = want_tokens}, &y);
    scope_open(tape, "loss", -1);
    const Tensor *soft = pass->soft != NULL ? batch_tensor(tape, pass->soft, batch->n, classes, 1, 1) : NULL;
    Loss          l    = {.tape = tape};
    Tensor       *loss = scope_close(tape, loss_of(&l, s, batch, soft, &y, teacher));
    if (pass->index == 0) params_zero_grads(m->params);
    tape_backward(tape, loss);
    if (tape_failed(tape))
        return interrupted(err) ? false : FAIL_STATUS(err, EXIT_MACHINE, "/train/batch_size", "out of memory in a training step of %d images; try a smaller batch", batch->n);
    if (m->kind->after_pass != NULL) m->kind->after_pass(m->self, pass->index);
    report->loss          = loss->data[0];
    report->correct_count = 0;
    for (int b = 0; b < batch->n; b++)
        report->correct_count += logits_best(y.logits->data + (int64_t)b * classes, classes) == batch->labels[b];
    report_parts(&l, &report->parts);
    report->macs_counted = report->macs_max = 0;
    report->macs_min     = INT64_MAX;
    model_count_images(m, &y, batch->n, true, &report->macs_counted, &report->macs_min, &report->macs_max);
    return true;
}

double train_settle(Model *m, Tape *tape, const TrainSettings *s) {
    params_settle_grads(m->params);
    return params_grad_norm(m->params, tape_backend(tape)) / s->accumulate;
}

bool train_gradients_soft(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, const float *soft,
                          StepReport *report, Error *err) {
    if (!train_pass(m, tape, s, &(TrainPass){.step = step, .soft = soft}, batch, report, err)) return false;
    report->grad_norm = train_settle(m, tape, s);
    return true;
}

bool train_gradients(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, StepReport *report, Error *err) {
    return train_gradients_soft(m, tape, s, step, batch, NULL, report, err);
}

void train_update(Model *m, Tape *tape, const TrainSettings *s, const Optimizer *o, int64_t t, double lr, double grad_norm) {
    const OptimizerSettings settings = {.weight_decay = s->weight_decay, .beta1 = s->beta1, .beta2 = s->beta2, .eps = s->eps, .momentum = s->momentum};
    const double            clip     = s->clip_grad > 0 && grad_norm > s->clip_grad ? s->clip_grad / grad_norm : 1;
    optimizer_step(o, m->params, tape_backend(tape),
                   &(OptimizerStep){.settings = &settings, .t = t, .lr = lr, .grad_scale = clip / s->accumulate});
    if (m->kind->after_step != NULL) m->kind->after_step(m->self);
    if (s->ema_decay > 0) params_average(m->params, tape_backend(tape), train_ema_decay(s, t));
}

void train_take_reported(Model *m, const TrainSettings *s) {
    if (s->report == REPORT_EMA) params_swap_average(m->params);
}
