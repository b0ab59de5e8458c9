/* The training loop: steps, epochs, tests, checkpoints, resume (train.h says what it promises). */
#include "harness/train.h"

#include "engine/clock.h"
#include "engine/file.h"
#include "harness/augment.h"
#include "harness/checkpoint.h"
#include "harness/interrupt.h"
#include "harness/loader.h"
#include "harness/progress.h"
#include "harness/sparse_labels.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

bool train_optimizer(const TrainSettings *s, const Optimizer **out, OptimizerSettings *settings, Error *err) {
    *out = optimizer_find(s->optimizer);
    if (*out == NULL) return FAIL(err, "/train/optimizer", "no optimizer '%.40s'; known: %s", s->optimizer, optimizer_names());
    *settings = (OptimizerSettings){.weight_decay = s->weight_decay, .beta1 = s->beta1, .beta2 = s->beta2, .eps = s->eps, .momentum = s->momentum};
    return true;
}

bool train_gradients(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, StepReport *report, Error *err) {
    return train_gradients_soft(m, tape, s, step, batch, NULL, report, err);
}

/* soft (B,C), rows that sum to 1 with their smoothing in them, or NULL: labels, smoothed here. */
static Tensor *task_loss(Tape *tape, Tensor *logits, const TrainBatch *batch, const Tensor *soft, const TrainSettings *s) {
    return soft == NULL ? op_cross_entropy(tape, logits, batch->labels, NULL, s->label_smoothing)
                        : op_cross_entropy(tape, logits, NULL, soft, 0);
}

bool train_gradients_soft(Model *m, Tape *tape, const TrainSettings *s, int64_t step, const TrainBatch *batch, const float *soft,
                          StepReport *report, Error *err) {
    int channels, height, width, classes;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    tape_begin(tape, true, (TapeStep){.seed = (uint64_t)s->seed, .step = step, .training = true, .dropout = s->dropout, .drop_path = s->drop_path});
    ModelOutput y;
    m->kind->forward(m->self, tape, &(ModelInput){.images = batch_tensor(tape, batch->images, batch->n, channels, height, width), .image_id = batch->ids}, &y);
    scope_open(tape, "loss", -1);
    const Tensor *soft_targets = soft != NULL ? batch_tensor(tape, soft, batch->n, classes, 1, 1) : NULL;
    Tensor       *loss         = task_loss(tape, y.logits, batch, soft_targets, s);
    for (int i = 0; i < y.n_logits_deep; i++)
        loss = op_add(tape, loss, op_scale(tape, task_loss(tape, y.logits_deep[i], batch, soft_targets, s), y.deep_weight / y.n_logits_deep));
    if (y.auxiliary_loss != NULL) loss = op_add(tape, loss, y.auxiliary_loss);
    loss = scope_close(tape, loss);
    params_zero_grads(m->params);
    tape_backward(tape, loss);
    if (tape_failed(tape))
        return interrupted(err) ? false : FAIL_STATUS(err, EXIT_MACHINE, "/train/batch_size", "out of memory in a training step of %d images; try a smaller batch", batch->n);
    params_settle_grads(m->params);
    report->loss          = loss->data[0];
    report->grad_norm     = params_grad_norm(m->params, tape_backend(tape));
    report->correct_count = 0;
    for (int b = 0; b < batch->n; b++)
        report->correct_count += logits_best(y.logits->data + (int64_t)b * classes, classes) == batch->labels[b];
    return true;
}

void train_update(Model *m, Tape *tape, const TrainSettings *s, const Optimizer *o, int64_t t, double lr, double grad_norm) {
    const OptimizerSettings settings = {.weight_decay = s->weight_decay, .beta1 = s->beta1, .beta2 = s->beta2, .eps = s->eps, .momentum = s->momentum};
    const double            clip     = s->clip_grad > 0 && grad_norm > s->clip_grad ? s->clip_grad / grad_norm : 1;
    optimizer_step(o, m->params, tape_backend(tape), &(OptimizerStep){.settings = &settings, .t = t, .lr = lr, .grad_scale = clip});
    if (m->kind->after_step != NULL) m->kind->after_step(m->self);
}

static bool point_add(TrainRun *r, const TrainPoint *p, Error *err) {
    if (r->n_points == r->capacity) {
        const int   capacity = r->capacity > 0 ? 2 * r->capacity : 64;
        TrainPoint *grown    = realloc(r->point, (size_t)capacity * sizeof *grown);
        if (grown == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the training curve");
        r->point    = grown;
        r->capacity = capacity;
    }
    r->point[r->n_points++] = *p;
    return true;
}

void train_run_free(TrainRun *r) {
    free(r->point);
    r->point    = NULL;
    r->n_points = r->capacity = 0;
}

/* What the loop needs besides the run's own state. */
typedef struct Trainer {
    Model               *model;
    Tape                *tape;
    const Dataset       *train, *test;
    const TrainSettings *s;
    const Optimizer     *optimizer;
    const char          *dir;
    Loader              *loader;
    int64_t             *order;              /* (n_images) the entries of the epoch in hand */
    Augment              augment;
    SparseLabels        *sparse;             /* a teacher's stored labels, or NULL */
    float               *soft;               /* (batch_size,classes) targets of a mixed batch, or the teacher's */
    Progress             progress;
    TrainRun            *run;
    uint64_t             session_ns, saved_ns, session_elapsed_ns;   /* when this process began and last saved; time of sessions before */
    int                  n_classes;
    bool                 quiet;
} Trainer;

/* The last update may have overflowed without a loss that tells. */
static bool weights_are_finite(const Model *m, Error *err) {
    for (int i = 0; i < params_count(m->params); i++) {
        const Param *p = params_at(m->params, i);
        for (int64_t k = 0; k < tensor_count(p->tensor); k++)
            if (!isfinite(p->tensor->data[k]))
                return FAIL_STATUS(err, EXIT_CELLS, p->name, "element %lld is not finite any more; checkpoints written before are kept; "
                                   "try a smaller lr or clip_grad", (long long)k);
    }
    return true;
}

static bool save(Trainer *t, Error *err) {
    if (!weights_are_finite(t->model, err)) return false;
    t->run->elapsed_ns = t->session_elapsed_ns + (clock_now_ns() - t->session_ns);
    t->saved_ns        = clock_now_ns();
    return checkpoint_save(t->model, t->run, t->dir, err);
}

/* After an interrupt: *err says so, and that nothing is lost; or why the state could not be saved. */
static void save_interrupted(Trainer *t, Error *err) {
    Error saving = {0};
    if (!save(t, &saving)) {
        *err = saving;
        return;
    }
    const size_t n = strlen(err->message);
    snprintf(err->message + n, sizeof err->message - n, "; saved at step %lld of %lld, the same command goes on", (long long)t->run->step,
             (long long)t->run->n_steps);
}

/* started_ns: before the batch was asked for, since waiting for images is part of what training takes. */
static bool one_step(Trainer *t, const LoaderBatch *batch, uint64_t started_ns, Error *err) {
    TrainRun        *r  = t->run;
    StepReport       report;
    const TrainBatch b  = {batch->images, batch->labels, batch->ids, batch->n_images};
    const double     lr = train_learning_rate(t->s, r->step, r->steps_per_epoch, r->n_steps);
    for (int i = 0; i < b.n; i++)
        if (b.labels[i] < 0) return FAIL(err, "/data", "image %lld of %s has no label", (long long)order_image(b.ids[i]), t->train->name);
    const bool mixed = augment_batch(&t->augment, batch->images, b.n, t->train->channels, t->train->height, t->train->width, b.labels,
                                     t->n_classes, t->s->label_smoothing, r->epoch, r->step_in_epoch, t->soft);
    if (t->sparse != NULL && !sparse_labels_batch(t->sparse, r->epoch, b.ids, b.n, t->soft, err)) return false;
    profile_clear(tape_profile(t->tape));
    if (!train_gradients_soft(t->model, t->tape, t->s, r->step, &b, mixed || t->sparse != NULL ? t->soft : NULL, &report, err)) return false;
    if (!isfinite(report.loss) || !isfinite(report.grad_norm))
        return FAIL_STATUS(err, EXIT_CELLS, "/train", "the loss is not finite at step %lld (epoch %lld); checkpoints written before are kept; "
                           "try a smaller lr or clip_grad", (long long)r->step, (long long)r->epoch);
    train_update(t->model, t->tape, t->s, t->optimizer, r->step + 1, lr, report.grad_norm);
    r->macs_per_step = profile_total(tape_profile(t->tape), 0, 0).macs + profile_total(tape_profile(t->tape), 0, 1).macs;
    r->loss_sum      += report.loss * b.n;
    r->grad_norm_sum += report.grad_norm * b.n;
    r->correct_count += report.correct_count;
    r->seen_count    += b.n;
    r->elapsed_epoch_ns += (int64_t)(clock_now_ns() - started_ns);
    r->step++;
    r->step_in_epoch++;
    const size_t peak = arena_peak_bytes(tape_arena(t->tape));
    if (peak > r->peak_activation_bytes) r->peak_activation_bytes = peak;
    char text[160];
    snprintf(text, sizeof text, "epoch %lld/%d  loss %.4f  top-1 %.2f %%  %.0f images/s", (long long)r->epoch + 1, (int)((r->n_steps + r->steps_per_epoch - 1) / r->steps_per_epoch),
             r->loss_sum / (double)r->seen_count, 100.0 * (double)r->correct_count / (double)r->seen_count,
             (double)r->seen_count / ((double)r->elapsed_epoch_ns / 1e9));
    progress_show(&t->progress, r->step, false, text);
    return true;
}

/* Closes the epoch in hand: a point of the curve, with a test when one is due. */
static bool end_epoch(Trainer *t, Error *err) {
    TrainRun  *r    = t->run;
    const bool last = r->step == r->n_steps;
    TrainPoint p    = {.epoch = r->epoch + 1, .step = r->step, .train_loss = r->loss_sum / (double)r->seen_count,
                       .train_top1_ratio = (double)r->correct_count / (double)r->seen_count, .grad_norm = r->grad_norm_sum / (double)r->seen_count,
                       .lr = train_learning_rate(t->s, r->step - 1, r->steps_per_epoch, r->n_steps),
                       .images_per_s = (double)r->seen_count / ((double)r->elapsed_epoch_ns / 1e9)};
    if (!last && t->s->eval_every > 0 && (r->epoch + 1) % t->s->eval_every == 0) {
        Evaluation e;
        if (!evaluate(t->model, t->tape, t->test, &(EvaluateOptions){t->s->eval_batch_size, t->s->loader_threads, true}, &e, err)) {
            if (err->exit_status >= EXIT_INTERRUPTED) save_interrupted(t, err);
            return false;
        }
        arena_reset_peak(tape_arena(t->tape));            /* a test's memory is not a step's */
        p.tested          = true;
        p.test_loss       = e.loss;
        p.test_top1_ratio = (double)e.top1_count / (double)e.images_count;
    }
    p.elapsed_ns = t->session_elapsed_ns + (clock_now_ns() - t->session_ns);
    char text[200], tested[64] = "";
    if (p.tested) snprintf(tested, sizeof tested, "  test %.2f %%", 100 * p.test_top1_ratio);
    snprintf(text, sizeof text, "epoch %lld  loss %.4f  top-1 %.2f %%%s  %.0f images/s", (long long)p.epoch, p.train_loss, 100 * p.train_top1_ratio,
             tested, p.images_per_s);
    progress_show(&t->progress, r->step, true, text);
    if (t->progress.terminal && !t->quiet) fprintf(stderr, "\n");
    if (!point_add(r, &p, err)) return false;
    r->epoch++;
    r->step_in_epoch = 0;
    r->loss_sum = r->grad_norm_sum = 0;
    r->correct_count = r->seen_count = r->elapsed_epoch_ns = 0;
    return save(t, err);
}

/* The rest of the epoch in hand, from step_in_epoch on. */
static bool run_epoch(Trainer *t, Error *err) {
    TrainRun     *r    = t->run;
    const int64_t skip = r->step_in_epoch * t->s->batch_size;
    augment_epoch_order(&t->augment, r->epoch, t->train->n_images, t->order);
    if (!loader_start(t->loader, t->order + skip, t->train->n_images - skip, r->epoch, err)) return false;
    while (r->step_in_epoch < r->steps_per_epoch && r->step < r->n_steps) {
        const uint64_t     started_ns = clock_now_ns();
        const LoaderBatch *batch;
        if (!loader_next(t->loader, &batch, err)) return false;
        CHECK(batch != NULL, "the loader ended before the epoch");
        const bool done = one_step(t, batch, started_ns, err);
        if (done ? interrupted(err) : err->exit_status >= EXIT_INTERRUPTED) {      /* a step given up has changed nothing */
            save_interrupted(t, err);
            return false;
        }
        if (!done) return false;
        if (t->s->checkpoint_s > 0 && (double)(clock_now_ns() - t->saved_ns) > t->s->checkpoint_s * 1e9 && !save(t, err)) return false;
    }
    return end_epoch(t, err);
}

bool train_lock(const char *dir, int *fd, Error *err) {
    if (!file_make_output_dir(dir, err)) return false;
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0) FAIL_STATUS(err, file_exit_status(errno), "", "cannot open: %s", strerror(errno));
    else if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return true;      /* a file system without locks: on trust */
    else {
        close(*fd);
        *fd = -1;
        FAIL(err, "", "another process trains in this directory; give another --out, or wait for it");
    }
    return error_in(err, dir);
}

bool train_run(Model *m, Tape *tape, const Dataset *train, const Dataset *test, const TrainSettings *s, const char *dir, bool quiet,
               TrainRun *r, Error *err) {
    Trainer           t  = {.model = m, .tape = tape, .train = train, .test = test, .s = s, .dir = dir, .run = r, .quiet = quiet,
                            .augment = augment_create(&s->augment, (uint64_t)s->seed, train->mean, train->channels)};
    OptimizerSettings settings;
    bool              ok = false, resumed = false;
    if (!augment_check(&s->augment, err) || !model_fits_data(m, train, true, err) || !model_fits_data(m, test, true, err) || !train_optimizer(s, &t.optimizer, &settings, err)) goto done;
    if (train->n_images < s->batch_size) {
        FAIL(err, "/train/batch_size", "must be at most the %lld training images, got %d", (long long)train->n_images, s->batch_size);
        goto done;
    }
    if (!params_want_grads(m->params, err) || !params_want_state(m->params, err) || !file_make_dirs(dir, err)) goto done;
    r->steps_per_epoch = train->n_images / s->batch_size;
    r->n_steps         = s->steps > 0 ? s->steps : s->epochs * r->steps_per_epoch;
    if (!checkpoint_load(m, r, dir, &resumed, err)) goto done;
    int channels, height, width;
    m->kind->image_shape(m->self, &channels, &height, &width, &t.n_classes);
    t.order = malloc((size_t)train->n_images * sizeof *t.order);
    t.soft  = malloc((size_t)s->batch_size * (size_t)t.n_classes * sizeof *t.soft);
    if (t.order == NULL || t.soft == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the order of %lld images and the targets of %d", (long long)train->n_images, s->batch_size);
        goto done;
    }
    LoaderOptions options = {.batch_size = s->batch_size, .n_threads = s->loader_threads, .drop_last = true};
    augment_hook(&t.augment, &options);
    if (!sparse_labels_open(&t.sparse, s, &options, t.n_classes, err)) goto done;
    if (!loader_create(&t.loader, train, &options, err)) goto done;
    if (resumed && !quiet) fprintf(stderr, "train: resuming at step %lld of %lld\n", (long long)r->step, (long long)r->n_steps);
    tape_set_stop(tape, interrupt_raised);
    t.session_ns         = t.saved_ns = clock_now_ns();
    t.session_elapsed_ns = r->elapsed_ns;
    progress_begin(&t.progress, "train", r->step, r->n_steps, quiet);
    while (r->step < r->n_steps || r->step_in_epoch > 0)      /* saved between an epoch's last step and its end: the end is to come */
        if (!run_epoch(&t, err)) goto done;
    r->elapsed_ns = t.session_elapsed_ns + (clock_now_ns() - t.session_ns);
    ok = true;
done:
    progress_end(&t.progress);                                /* also before an error's line */
    loader_destroy(t.loader);
    sparse_labels_close(t.sparse);
    free(t.order);
    free(t.soft);
    return ok;
}

void train_forget(const char *dir) { checkpoint_remove_all(dir); }
