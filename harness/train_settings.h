/* The block "train" of an experiment: every key, range and fallback. */
#ifndef HARNESS_TRAIN_SETTINGS_H
#define HARNESS_TRAIN_SETTINGS_H

#include "harness/augment.h"

enum { SCHEDULE_COSINE, SCHEDULE_CONSTANT, SCHEDULE_STEP };

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
    FieldText sparse_labels;
} TrainSettings;

extern const Field train_fields[];

/* Learning rate of step `step` (from 0) of n_steps: linear warm-up, then the schedule. */
double train_learning_rate(const TrainSettings *s, int64_t step, int64_t steps_per_epoch, int64_t n_steps);

#endif
