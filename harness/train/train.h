/* Training: one step (train_step.c), and the whole run with resume (train.c).
 *
 * A run is deterministic at a fixed seed, backend and thread count: order, augmentation and drops are addressed by
 * (seed, epoch or step, image), so a resumed run ends with the same bytes as an undisturbed one. */
#ifndef HARNESS_TRAIN_H
#define HARNESS_TRAIN_H

#include "engine/optimizer.h"
#include "harness/data/dataset.h"
#include "harness/measure/evaluate.h"
#include "harness/train/teacher.h"
#include "harness/train/train_settings.h"
#include "models/model.h"

typedef struct TrainBatch {
    const float   *images;               /* (n,C,H,W) normalised */
    const int32_t *labels;               /* (n) */
    const int64_t *ids;                  /* (n) */
    int            n;
} TrainBatch;

/* Where in a run a batch stands, and who else looks at it. */
typedef struct TrainPass {
    int64_t  step, n_steps;              /* n_steps 0: unknown */
    int      index;                      /* among the batches of this step: the gradients of 0 begin anew, others add up */
    Teacher *teacher;                    /* NULL: none */
    const float *soft;                   /* (n,classes) rows that sum to 1 with their smoothing in them, in place of labels; NULL: labels */
} TrainPass;

enum { TRAIN_PARTS_MAX = LOSS_PARTS_MAX + 4, TRAIN_PART_NAME = 32 };
/* The terms of a loss, weights included: together they are the loss. "labels", "deep", "logits" and "tokens" (of a teacher), then
 * the model's own (ModelOutput.loss_part). */
typedef struct TrainParts {
    int    n;
    char   name[TRAIN_PARTS_MAX][TRAIN_PART_NAME];
    double value[TRAIN_PARTS_MAX];
} TrainParts;
/* sum += weight value, by name; a name not there yet is added. */
void train_parts_add(TrainParts *sum, const TrainParts *parts, double weight);

typedef struct StepReport {
    double     loss, grad_norm, lr;      /* grad_norm before clipping */
    int64_t    correct_count;            /* by the labels, also of mixed images */
    int64_t    macs_counted, macs_min, macs_max;     /* closed form of the model's forward pass: of the batch; of its images */
    TrainParts parts;
} StepReport;

/* Gradients of the mean loss over one batch, into the parameters or added to what they hold (pass->index). grad_norm and lr are left
 * alone. False: out of memory, or interrupted. */
bool train_pass(Model *m, Tape *tape, const TrainSettings *s, const TrainPass *pass, const TrainBatch *batch, StepReport *report, Error *err);
/* L2 norm of the mean gradient of the s->accumulate batches passed; zeroes gradients nothing arrived at. */
double train_settle(Model *m, Tape *tape, const TrainSettings *s);
/* One pass that is a step of its own, and its norm. */
bool train_gradients(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, StepReport *report, Error *err);
/* The same with soft targets (TrainPass) in place of labels; NULL: labels. */
bool train_gradients_soft(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, const float *soft,
                          StepReport *report, Error *err);
/* Clipping, one optimizer step on the mean gradient, and the running average when there is one. t counts from 1. */
void train_update(Model *m, Tape *tape, const TrainSettings *s, const Optimizer *o, int64_t t, double lr, double grad_norm);
bool train_optimizer(const TrainSettings *s, const Optimizer **out, OptimizerSettings *settings, Error *err);

/* A point of the training curve. */
typedef struct TrainPoint {
    int64_t  epoch, step;
    double   train_loss, train_top1_ratio, grad_norm, lr, images_per_s;
    bool     tested;
    double   test_loss, test_top1_ratio; /* of held-out training images where there are any, else of the test split */
    uint64_t elapsed_ns;
    int64_t  macs_count;                 /* executed in the epoch's steps, the teacher's with them; -1: not known */
    int64_t  peak_bytes;                 /* most memory that tensors of a step took in the epoch, the teacher's with them; -1: not known */
    TrainParts parts;                    /* means; n 0 when the loss on labels is all there is */
} TrainPoint;

typedef struct TrainRun {
    int64_t     epoch, step_in_epoch, step, steps_per_epoch, n_steps;
    double      loss_sum, grad_norm_sum;             /* of the epoch in hand */
    int64_t     correct_count, seen_count, elapsed_epoch_ns;
    int64_t     epoch_macs, epoch_peak_bytes;        /* of the epoch in hand; -1: an older version's checkpoint did not say */
    TrainParts  parts_sum;
    uint64_t    elapsed_ns;                          /* all sessions together */
    TrainPoint *point;
    int         n_points, capacity;
    int64_t     macs_per_step;                       /* executed in the last step: forward and backward, and the teacher's forward */
    size_t      peak_activation_bytes;
    int         resumed_count;
    char        config_digest[17];                   /* a checkpoint of other settings is refused */
} TrainRun;

/* Makes dir and holds it for this process until *fd is closed: two trainings in one directory would remove each other's files. */
bool train_lock(const char *dir, int *fd, Error *err);
/* What a run learns from. */
typedef struct TrainSources {
    const Dataset *train;
    const Dataset *curve;                            /* tested after epochs, for the curve alone: nothing is chosen by it */
    bool           held_out;                         /* curve holds training images set apart: tested at the end as well. Else it is the
                                                        test split, whose last word is the caller's */
    Teacher       *teacher;                          /* NULL: none */
} TrainSources;

/* Trains m in directory dir, which the caller holds, resuming from the newest good checkpoint there. It ends with the last step's
 * weights in m (train_take_reported puts those that the settings ask for). Interrupted: false with status 130 or 143, state saved. A
 * loss, weight or logit that is not finite: false with EXIT_CELLS, the checkpoints before it kept. */
bool train_run(Model *m, Tape *tape, const TrainSources *from, const TrainSettings *s, const char *dir, bool quiet, TrainRun *run, Error *err);
/* Puts into m the weights that s->report names. */
void train_take_reported(Model *m, const TrainSettings *s);
void train_run_free(TrainRun *run);
/* Removes the checkpoints of a run whose weights and result are written. */
void train_forget(const char *dir);

#endif
