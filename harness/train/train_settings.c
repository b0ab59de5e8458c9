/* Every key of the block "train" with range and fallback, and the learning-rate schedule (train_settings.h). */
#include "harness/train/train_settings.h"

#include <math.h>

static const char *const schedules[] = {"cosine", "constant", "step", NULL};

static const char *const distillations[] = {"none", "soft", "hard", NULL};
static const char *const reported[] = {"final", "ema", NULL};

const Field train_fields[] = {
    INT_FIELD (TrainSettings, epochs,          1, 100000,  20,   "passes over the training images"),
    INT_FIELD (TrainSettings, steps,           0, 2000000000, 0, "optimizer steps, instead of epochs; 0: epochs decide"),
    INT_FIELD (TrainSettings, batch_size,      1, 65536,   128,  "images a step; the last ones of an epoch that fill no batch are left out"),
    INT_FIELD (TrainSettings, seed,            0, 2147483647, 1, "of initial weights, order, augmentation, dropout and drop path"),
    TEXT_FIELD(TrainSettings, optimizer,       "adamw",          "adamw or sgd"),
    REAL_FIELD(TrainSettings, lr,              0, 100,     1e-3, "highest learning rate"),
    REAL_FIELD(TrainSettings, min_lr,          0, 100,     1e-5, "where the cosine ends"),
    REAL_FIELD(TrainSettings, warmup_epochs,   0, 100000,  1,    "linear warm-up, may be a fraction"),
    REAL_FIELD(TrainSettings, warmup_lr,       0, 100,     1e-6, "where the warm-up begins"),
    WORD_FIELD(TrainSettings, schedule,        schedules,  SCHEDULE_COSINE, "after the warm-up: cosine to min_lr, constant, or step"),
    REAL_FIELD(TrainSettings, step_epochs,     0.001, 100000, 30, "schedule step: epochs between reductions"),
    REAL_FIELD(TrainSettings, step_factor,     0, 1,       0.1,  "schedule step: factor of each reduction"),
    REAL_FIELD(TrainSettings, weight_decay,    0, 100,     0.05, "of tensors of two or more dimensions, but class token and positions"),
    REAL_FIELD(TrainSettings, beta1,           0, 0.999999, 0.9, "adamw: decay of the mean gradient"),
    REAL_FIELD(TrainSettings, beta2,           0, 0.999999, 0.999, "adamw: decay of the mean squared gradient"),
    REAL_FIELD(TrainSettings, eps,             0, 1,       1e-8, "adamw: added to the root"),
    REAL_FIELD(TrainSettings, momentum,        0, 0.999999, 0.9, "sgd"),
    REAL_FIELD(TrainSettings, clip_grad,       0, 1e9,     0,    "largest L2 norm of all gradients together; 0: no clipping"),
    REAL_FIELD(TrainSettings, label_smoothing, 0, 1,       0.1,  "share of the target spread over all classes"),
    REAL_FIELD(TrainSettings, drop_path,       0, 0.99,    0,    "stochastic depth of the last block; earlier ones linearly less"),
    REAL_FIELD(TrainSettings, dropout,         0, 0.99,    0,    "after the GELU of every MLP"),
    AUGMENT_FIELDS(TrainSettings),
    INT_FIELD (TrainSettings, loader_threads,  0, 64,      1,    "threads that prepare batches; 0: the training thread itself"),
    INT_FIELD (TrainSettings, eval_every,      0, 100000,  1,    "epochs between tests for the curve; 0: only at the end"),
    REAL_FIELD(TrainSettings, checkpoint_s,    0, 1e9,     120,  "seconds between checkpoints; one is also written after every epoch"),
    INT_FIELD (TrainSettings, eval_batch_size, 1, 65536,   100,  "images a batch of the test"),
    INT_FIELD (TrainSettings, accumulate,      1, 65536,   1,    "batches whose gradients make one step: batch_size times accumulate images"),
    REAL_FIELD(TrainSettings, ema_decay,       0, 0.9999999, 0,  "decay of a running average of the weights, a step; 0: none is kept"),
    BOOL_FIELD(TrainSettings, ema_warmup,      false,            "decay of step t at most (1+t)/(10+t), so that a short run's average leaves its random beginning"),
    WORD_FIELD(TrainSettings, report,          reported, REPORT_FINAL, "weights that are tested, reported and saved: of the last step, or their average (ema)"),
    REAL_FIELD(TrainSettings, layer_decay,     0.01, 1,    1,    "factor of the learning rate from each block to the one below it; 1: one rate for all"),
    INT_FIELD (TrainSettings, freeze_depth,    0, 100000,  0,    "so many groups stay as they are, from the input on: 1 the embedding, 1+k also the first k blocks"),
    BOOL_FIELD(TrainSettings, freeze_bn,       false,            "batch norms use their running statistics, which stay, while gains and biases train: fine-tuning at another size"),
    TEXT_FIELD(TrainSettings, lr_scale,        "",               "factors of the learning rate by the beginning of a tensor's name, the first that fits: \"head=10 blocks.0.=0 *=0.1\"; 0 freezes"),
    TEXT_FIELD(TrainSettings, lr_delay,        "",               "epochs at rate 0 by the beginning of a tensor's name, likewise: \"score_predictor=0 *=5\"; means of gradients gather meanwhile"),
    TEXT_FIELD(TrainSettings, teacher,         "",               "distillation: the teacher, a preset or a model file (.json)"),
    TEXT_FIELD(TrainSettings, teacher_weights, "",               "distillation: the teacher's weights; their digest is recorded, not their path"),
    WORD_FIELD(TrainSettings, distill,         distillations, DISTILL_NONE, "from the teacher's logits: none, soft (divergence from its softened classes), hard (its best class as a label)"),
    REAL_FIELD(TrainSettings, label_weight,    0, 1000,    1,    "weight of the loss on labels"),
    REAL_FIELD(TrainSettings, distill_weight,  0, 1000,    0.5,  "weight of the loss on the teacher's logits"),
    REAL_FIELD(TrainSettings, distill_temperature, 0.01, 1000, 1, "soft: both logits are divided by it, the loss is multiplied by its square"),
    REAL_FIELD(TrainSettings, distill_tokens,  0, 1000,    0,    "weight of the mean squared distance of the patch tokens from the teacher's, after the last norm"),
    TEXT_FIELD(TrainSettings, init_from,       "",               "start from a trained model of another kind: a preset or a model file (.json)"),
    TEXT_FIELD(TrainSettings, init_from_weights, "",             "its weights; their digest is recorded, not their path"),
    TEXT_FIELD(TrainSettings, init_rule,       "",               "how its tensors become this model's; what there is depends on the kind"),
    BOOL_FIELD(TrainSettings, new_head,        false,            "starting weights of the same kind: the classifier stays new even where its size fits, for other classes"),
    TEXT_FIELD(TrainSettings, sparse_labels,   "",                "directory of a teacher's stored labels (`morbench labels`), learnt instead of the data's"),
    FIELDS_END,
};

bool train_has_teacher(const TrainSettings *s) { return s->distill != DISTILL_NONE || s->distill_tokens > 0; }

bool train_settings_check(const TrainSettings *s, Error *err) {
    if (s->report == REPORT_EMA && s->ema_decay == 0) return FAIL(err, "/train/report", "is ema, but ema_decay is 0: there is no average");
    if (train_has_teacher(s)) {
        if (s->teacher[0] == '\0') return FAIL(err, "/train/teacher", "must be given for distill and distill_tokens: a preset or a model file");
        if (s->teacher_weights[0] == '\0') return FAIL(err, "/train/teacher_weights", "must be given: a random teacher teaches nothing");
    } else if (s->teacher[0] != '\0' || s->teacher_weights[0] != '\0') {
        return FAIL(err, "/train/distill", "must be soft or hard, or distill_tokens above 0, when a teacher is given");
    }
    if (s->init_from[0] == '\0' && (s->init_from_weights[0] != '\0' || s->init_rule[0] != '\0'))
        return FAIL(err, "/train/init_from", "must be given beside init_from_weights and init_rule: a preset or a model file");
    if (s->init_from[0] != '\0' && s->init_from_weights[0] == '\0')
        return FAIL(err, "/train/init_from_weights", "must be given: there is nothing to take from a random model");
    return true;
}

double train_ema_decay(const TrainSettings *s, int64_t t) {
    return s->ema_warmup ? fmin(s->ema_decay, (1 + (double)t) / (10 + (double)t)) : s->ema_decay;
}

double train_learning_rate(const TrainSettings *s, int64_t step, int64_t steps_per_epoch, int64_t n_steps) {
    const double warmup = fmin(s->warmup_epochs * (double)steps_per_epoch, (double)n_steps);
    const double at     = (double)step;
    /* with a fraction of a step in the warm-up its last step would go past the top */
    if (at < warmup) return s->warmup_lr + (s->lr - s->warmup_lr) * fmin((at + 1) / warmup, 1);
    switch (s->schedule) {
    case SCHEDULE_COSINE: {
        const double left = (double)n_steps - warmup, done = left > 0 ? (at - warmup) / left : 1;
        return s->min_lr + 0.5 * (s->lr - s->min_lr) * (1 + cos(3.14159265358979323846 * done));
    }
    case SCHEDULE_STEP: return s->lr * pow(s->step_factor, floor(at / (s->step_epochs * (double)steps_per_epoch)));
    default:            return s->lr;
    }
}
