/* The training loop: steps, epochs, tests, checkpoints, resume (train.h says what it promises). */
#include "harness/train/train.h"

#include "engine/clock.h"
#include "engine/file.h"
#include "harness/data/augment.h"
#include "harness/train/checkpoint.h"
#include "harness/interrupt.h"
#include "harness/data/loader.h"
#include "harness/progress.h"
#include "harness/train/train_groups.h"
#include "harness/data/sparse_labels.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

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
    const TrainSources  *from;
    const TrainSettings *s;
    const Optimizer     *optimizer;
    const char          *dir;
    Loader              *loader;
    int64_t             *order;              /* (n_images) the entries of the epoch in hand */
    Augment              augment;
    float               *soft;               /* (batch_size,classes) targets of a mixed batch, or the teacher's stored ones */
    StepReport           report;             /* of the step in hand: sums over its batches, until the last */
    SparseLabels        *sparse;             /* a teacher's stored labels, or NULL */
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

/* One batch of the step in hand: index counts from 0 to accumulate-1. */
static bool one_pass(Trainer *t, const LoaderBatch *batch, int index, Error *err) {
    TrainRun      *r    = t->run;
    const Dataset *d    = t->from->train;
    StepReport     report;
    const double   part = 1.0 / t->s->accumulate;
    const TrainBatch b  = {batch->images, batch->labels, batch->ids, batch->n_images};
    TrainPass      pass = {.step = r->step, .n_steps = r->n_steps, .index = index, .teacher = t->from->teacher};
    for (int i = 0; i < b.n; i++)
        if (b.labels[i] < 0) return FAIL(err, "/data", "image %lld of %s has no label", (long long)order_image(b.ids[i]), d->name);
    if (augment_batch(&t->augment, batch->images, b.n, d->channels, d->height, d->width, b.labels, t->n_classes, t->s->label_smoothing,
                      r->epoch, r->step_in_epoch * t->s->accumulate + index, t->soft))
        pass.soft = t->soft;
    if (t->sparse != NULL) {
        if (!sparse_labels_batch(t->sparse, r->epoch, b.ids, b.n, t->soft, err)) return false;
        pass.soft = t->soft;
    }
    if (!train_pass(t->model, t->tape, t->s, &pass, &b, &report, err)) return false;
    if (index == 0) t->report = (StepReport){0};
    t->report.loss          += part * report.loss;
    t->report.correct_count += report.correct_count;
    train_parts_add(&t->report.parts, &report.parts, part);
    return true;
}

/* MACs and memory of the step that has just ended. */
static void account(Trainer *t) {
    TrainRun *r       = t->run;
    Teacher  *teacher = t->from->teacher;
    int64_t   peak    = (int64_t)arena_peak_bytes(tape_arena(t->tape));
    r->macs_per_step = profile_total(tape_profile(t->tape), 0, 0).macs + profile_total(tape_profile(t->tape), 0, 1).macs;
    if (teacher != NULL) {
        r->macs_per_step += teacher_take_macs(teacher);
        peak             += (int64_t)teacher_peak_bytes(teacher);
    }
    if (r->epoch_macs >= 0) r->epoch_macs += r->macs_per_step;
    if (r->epoch_peak_bytes >= 0 && peak > r->epoch_peak_bytes) r->epoch_peak_bytes = peak;
    if ((size_t)peak > r->peak_activation_bytes) r->peak_activation_bytes = (size_t)peak;
}

/* After its last batch. started_ns: before the first was asked for, since waiting for images is part of what training takes. */
static bool end_step(Trainer *t, uint64_t started_ns, Error *err) {
    TrainRun    *r      = t->run;
    StepReport  *report = &t->report;
    const int64_t n     = (int64_t)t->s->batch_size * t->s->accumulate;
    const double lr     = train_learning_rate(t->s, r->step, r->steps_per_epoch, r->n_steps);
    report->grad_norm = train_settle(t->model, t->tape, t->s);
    if (!isfinite(report->loss) || !isfinite(report->grad_norm))
        return FAIL_STATUS(err, EXIT_CELLS, "/train", "the loss is not finite at step %lld (epoch %lld); checkpoints written before are kept; "
                           "try a smaller lr or clip_grad", (long long)r->step, (long long)r->epoch);
    train_update(t->model, t->tape, t->s, t->optimizer, r->step + 1, lr, report->grad_norm);
    account(t);
    r->loss_sum      += report->loss * (double)n;
    r->grad_norm_sum += report->grad_norm * (double)n;
    r->correct_count += report->correct_count;
    r->seen_count    += n;
    train_parts_add(&r->parts_sum, &report->parts, (double)n);
    r->elapsed_epoch_ns += (int64_t)(clock_now_ns() - started_ns);
    r->step++;
    r->step_in_epoch++;
    char text[160];
    snprintf(text, sizeof text, "epoch %lld/%d  loss %.4f  top-1 %.2f %%  %.0f images/s", (long long)r->epoch + 1, (int)((r->n_steps + r->steps_per_epoch - 1) / r->steps_per_epoch),
             r->loss_sum / (double)r->seen_count, 100.0 * (double)r->correct_count / (double)r->seen_count,
             (double)r->seen_count / ((double)r->elapsed_epoch_ns / 1e9));
    progress_show(&t->progress, r->step, false, text);
    return true;
}

/* The weights that will be reported, on the curve's images. */
static bool test_for_curve(Trainer *t, TrainPoint *p, Error *err) {
    Evaluation e;
    train_take_reported(t->model, t->s);
    const bool ok = evaluate(t->model, t->tape, t->from->curve, &(EvaluateOptions){t->s->eval_batch_size, t->s->loader_threads, true, NULL, NULL}, &e, err);
    train_take_reported(t->model, t->s);                  /* and back */
    if (!ok) {
        if (err->exit_status >= EXIT_INTERRUPTED) save_interrupted(t, err);
        return false;
    }
    p->tested          = true;
    p->test_loss       = e.loss;
    p->test_top1_ratio = (double)e.top1_count / (double)e.images_count;
    return true;
}

/* Closes the epoch in hand: a point of the curve, with a test when one is due. */
static bool end_epoch(Trainer *t, Error *err) {
    TrainRun  *r    = t->run;
    const bool last = r->step == r->n_steps;
    TrainPoint p    = {.epoch = r->epoch + 1, .step = r->step, .train_loss = r->loss_sum / (double)r->seen_count,
                       .train_top1_ratio = (double)r->correct_count / (double)r->seen_count, .grad_norm = r->grad_norm_sum / (double)r->seen_count,
                       .lr = train_learning_rate(t->s, r->step - 1, r->steps_per_epoch, r->n_steps),
                       .images_per_s = (double)r->seen_count / ((double)r->elapsed_epoch_ns / 1e9), .macs_count = r->epoch_macs,
                       .peak_bytes = r->epoch_peak_bytes};
    const bool due  = last ? t->from->held_out : t->s->eval_every > 0 && (r->epoch + 1) % t->s->eval_every == 0;
    if (r->parts_sum.n > 1) train_parts_add(&p.parts, &r->parts_sum, 1 / (double)r->seen_count);
    if (due && !test_for_curve(t, &p, err)) return false;
    p.elapsed_ns = t->session_elapsed_ns + (clock_now_ns() - t->session_ns);
    char text[200], tested[64] = "";
    if (p.tested) snprintf(tested, sizeof tested, "  %s %.2f %%", t->from->held_out ? "held out" : "test", 100 * p.test_top1_ratio);
    snprintf(text, sizeof text, "epoch %lld  loss %.4f  top-1 %.2f %%%s  %.0f images/s", (long long)p.epoch, p.train_loss, 100 * p.train_top1_ratio,
             tested, p.images_per_s);
    progress_show(&t->progress, r->step, true, text);
    if (t->progress.terminal && !t->quiet) fprintf(stderr, "\n");
    if (!point_add(r, &p, err)) return false;
    r->epoch++;
    r->step_in_epoch = 0;
    r->loss_sum = r->grad_norm_sum = 0;
    r->parts_sum  = (TrainParts){0};
    r->epoch_macs = r->epoch_peak_bytes = 0;
    r->correct_count = r->seen_count = r->elapsed_epoch_ns = 0;
    return save(t, err);
}

/* The batches of one step and its update. False with nothing of the run changed, or after an error. */
static bool one_step(Trainer *t, Error *err) {
    const uint64_t started_ns = clock_now_ns();
    profile_clear(tape_profile(t->tape));
    for (int index = 0; index < t->s->accumulate; index++) {
        const LoaderBatch *batch;
        if (!loader_next(t->loader, &batch, err)) return false;
        CHECK(batch != NULL, "the loader ended before the epoch");
        if (!one_pass(t, batch, index, err)) return false;
    }
    return end_step(t, started_ns, err);
}

/* The rest of the epoch in hand, from step_in_epoch on. */
static bool run_epoch(Trainer *t, Error *err) {
    TrainRun     *r        = t->run;
    const int64_t n_images = t->from->train->n_images, skip = r->step_in_epoch * t->s->batch_size * t->s->accumulate;
    augment_epoch_order(&t->augment, r->epoch, n_images, t->order);
    if (!loader_start(t->loader, t->order + skip, n_images - skip, r->epoch, err)) return false;
    tape_begin(t->tape, false, (TapeStep){0});             /* a test's memory, or the last epoch's, is not this one's */
    arena_reset_peak(tape_arena(t->tape));
    while (r->step_in_epoch < r->steps_per_epoch && r->step < r->n_steps) {
        const bool done = one_step(t, err);
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

/* Settings, data, model and teacher fit each other; sets which tensors train, and their gradients, state and average. */
static bool prepare(Trainer *t, Error *err) {
    const TrainSettings *s = t->s;
    const TrainSources  *f = t->from;
    Params              *p = t->model->params;
    OptimizerSettings    settings;
    const int64_t        step_images = (int64_t)s->batch_size * s->accumulate;
    if (!train_settings_check(s, err) || !augment_check(&s->augment, err) || !model_fits_data(t->model, f->train, true, err)
        || !model_fits_data(t->model, f->curve, true, err) || !train_optimizer(s, &t->optimizer, &settings, err)
        || (f->teacher != NULL && !teacher_fits(f->teacher, t->model, t->tape, s, err)))
        return false;
    if (f->train->n_images < step_images)
        return s->accumulate == 1
            ? FAIL(err, "/train/batch_size", "must be at most the %lld training images, got %d", (long long)f->train->n_images, s->batch_size)
            : FAIL(err, "/train/accumulate", "times batch_size %d must be at most the %lld training images, got %d", s->batch_size,
                   (long long)f->train->n_images, s->accumulate);
    return train_groups_apply(p, s, f->train->n_images / step_images, err) && params_want_grads(p, err) && params_want_state(p, err)
        && (s->ema_decay == 0 || params_want_average(p, err));
}

bool train_run(Model *m, Tape *tape, const TrainSources *from, const TrainSettings *s, const char *dir, bool quiet, TrainRun *r, Error *err) {
    const Dataset *train = from->train;
    Trainer t  = {.model = m, .tape = tape, .from = from, .s = s, .dir = dir, .run = r, .quiet = quiet,
                  .augment = augment_create(&s->augment, (uint64_t)s->seed, train->mean, train->channels)};
    bool    ok = false, resumed = false;
    if (!prepare(&t, err) || !file_make_dirs(dir, err)) goto done;
    r->steps_per_epoch = train->n_images / ((int64_t)s->batch_size * s->accumulate);
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
