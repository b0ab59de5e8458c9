/* The block "train" of an experiment: every key, range and fallback. */
#ifndef HARNESS_TRAIN_SETTINGS_H
#define HARNESS_TRAIN_SETTINGS_H

#include "harness/data/augment.h"

enum { SCHEDULE_COSINE, SCHEDULE_CONSTANT, SCHEDULE_STEP };
enum { DISTILL_NONE, DISTILL_SOFT, DISTILL_HARD };
enum { REPORT_FINAL, REPORT_EMA };

typedef struct TrainSettings {
    int       epochs, steps, batch_size, seed;
    FieldText optimizer;
    double    lr, min_lr, warmup_epochs, warmup_lr, step_epochs, step_factor;
    int       schedule;
    double    weight_decay, beta1, beta2, eps, momentum, clip_grad;
    double    label_smoothing, drop_path, dropout;
    AUGMENT_SETTINGS(augment);
    int       loader_threads, eval_every;
    double    checkpoint_s;
    int       eval_batch_size;
    int       accumulate;
    double    ema_decay;
    bool      ema_warmup;
    int       report;                                   /* REPORT_ */
    double    layer_decay;
    int       freeze_depth;
    bool      freeze_bn;
    FieldText lr_scale, lr_delay;
    FieldText teacher, teacher_weights;
    int       distill;                                  /* DISTILL_ */
    double    label_weight, distill_weight, distill_temperature, distill_tokens;
    FieldText init_from, init_from_weights, init_rule;
    bool      new_head;          /* starting weights: but for the classifier */
    FieldText sparse_labels;
} TrainSettings;

extern const Field train_fields[];

/* What no single field can say: settings that ask for each other, or exclude each other. */
bool train_settings_check(const TrainSettings *s, Error *err);

/* Whether anything is learned from a teacher's answers. */
bool train_has_teacher(const TrainSettings *s);

/* Decay of the running average at update t, from 1. */
double train_ema_decay(const TrainSettings *s, int64_t t);

/* Learning rate of step `step` (from 0) of n_steps: linear warm-up, then the schedule. */
double train_learning_rate(const TrainSettings *s, int64_t step, int64_t steps_per_epoch, int64_t n_steps);

#endif
