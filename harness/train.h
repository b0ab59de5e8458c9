/* Training: one step, and the whole run with resume.
 *
 * A run is deterministic at a fixed seed, backend and thread count: order, augmentation and drops are addressed by
 * (seed, epoch or step, image), so a resumed run ends with the same bytes as an undisturbed one. */
#ifndef HARNESS_TRAIN_H
#define HARNESS_TRAIN_H

#include "engine/optimizer.h"
#include "harness/dataset.h"
#include "harness/evaluate.h"
#include "harness/train_settings.h"
#include "models/model.h"

typedef struct TrainBatch {
    const float   *images;               /* (n,C,H,W) normalised */
    const int32_t *labels;               /* (n) */
    const int64_t *ids;                  /* (n) */
    int            n;
} TrainBatch;

typedef struct StepReport {
    double  loss, grad_norm, lr;         /* grad_norm before clipping */
    int64_t correct_count;               /* by the labels, also of mixed images */
} StepReport;

/* Gradients of the mean loss over the batch into the parameters. report->lr is left alone. */
bool train_gradients(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, StepReport *report, Error *err);
/* The same with soft targets (n,classes), rows that sum to 1 with their smoothing in them, in place of labels; NULL: labels. */
bool train_gradients_soft(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, const float *soft,
                          StepReport *report, Error *err);
/* Clipping and one optimizer step. t counts from 1. */
void train_update(Model *m, Tape *tape, const TrainSettings *s, const Optimizer *o, int64_t t, double lr, double grad_norm);
bool train_optimizer(const TrainSettings *s, const Optimizer **out, OptimizerSettings *settings, Error *err);

/* A point of the training curve. */
typedef struct TrainPoint {
    int64_t  epoch, step;
    double   train_loss, train_top1_ratio, grad_norm, lr, images_per_s;
    bool     tested;
    double   test_loss, test_top1_ratio;
    uint64_t elapsed_ns;
} TrainPoint;

typedef struct TrainRun {
    int64_t     epoch, step_in_epoch, step, steps_per_epoch, n_steps;
    double      loss_sum, grad_norm_sum;             /* of the epoch in hand */
    int64_t     correct_count, seen_count, elapsed_epoch_ns;
    uint64_t    elapsed_ns;                          /* all sessions together */
    TrainPoint *point;
    int         n_points, capacity;
    int64_t     macs_per_step;                       /* executed in the last step: forward and backward */
    size_t      peak_activation_bytes;
    int         resumed_count;
    char        config_digest[17];                   /* a checkpoint of other settings is refused */
} TrainRun;

/* Makes dir and holds it for this process until *fd is closed: two trainings in one directory would remove each other's files. */
bool train_lock(const char *dir, int *fd, Error *err);
/* Trains m on `train`, testing on `test`, in directory dir, which the caller holds, resuming from the newest good checkpoint
 * there. Interrupted: false with status 130 or 143, state saved. A loss, weight or logit that is not finite: false with
 * EXIT_CELLS, the checkpoints before it kept. */
bool train_run(Model *m, Tape *tape, const Dataset *train, const Dataset *test, const TrainSettings *s, const char *dir, bool quiet,
               TrainRun *run, Error *err);
void train_run_free(TrainRun *run);
/* Removes the checkpoints of a run whose weights and result are written. */
void train_forget(const char *dir);

#endif
