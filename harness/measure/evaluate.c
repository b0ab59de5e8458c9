/* Top-1, top-5, cross entropy, executed MACs and depths over a whole data set (evaluate.h). */
#include "harness/measure/evaluate.h"

#include "engine/clock.h"
#include "engine/digest.h"
#include "harness/data/loader.h"
#include "harness/interrupt.h"
#include "harness/progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool model_fits_data(const Model *m, const Dataset *d, bool needs_labels, Error *err) {
    int channels, height, width, classes;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    if (d->channels != channels || d->height != height || d->width != width)
        return FAIL(err, "/data", "%s has images of %dx%dx%d, the model takes %dx%dx%d (height, width, channels)", d->name, d->height,
                    d->width, d->channels, height, width, channels);
    if (needs_labels && d->n_classes == 0) return FAIL(err, "/data", "%s has no labels", d->name);
    if (needs_labels && d->n_classes > classes)
        return FAIL(err, "/model/num_classes", "must be at least the %d classes of %s, got %d", d->n_classes, d->name, classes);
    return true;
}

Tensor *batch_tensor(Tape *tape, const float *images, int64_t n, int channels, int height, int width) {
    const int64_t dim[] = {n, channels, height, width};
#ifdef REAL_DOUBLE
    Tensor *x = tensor_new(tape, 4, dim);
    for (int64_t i = 0; x->data != NULL && i < tensor_count(x); i++) x->data[i] = images[i];
    return x;
#else
    return tensor_from(tape, 4, dim, (float *)(uintptr_t)images, false);     /* ops never write to an input */
#endif
}

int logits_best(const Real *logits, int n_classes) {
    int best = 0;
    for (int c = 1; c < n_classes; c++)
        if (logits[c] > logits[best]) best = c;
    return best;
}

/* How many logits come before the label's: larger, equal at a lower index, or not a number. */
static int label_rank(const Real *logits, int n_classes, int label) {
    int rank = 0;
    for (int c = 0; c < n_classes; c++)
        rank += !(logits[c] <= logits[label]) || (logits[c] == logits[label] && c < label);
    return rank;
}

static double cross_entropy(const Real *logits, int n_classes, int label) {
    double max = -INFINITY, sum = 0;
    for (int c = 0; c < n_classes; c++) max = fmax(max, (double)logits[c]);
    for (int c = 0; c < n_classes; c++) sum += exp((double)logits[c] - max);
    return max + log(sum) - (double)logits[label];
}

static void count_depths(Evaluation *out, const ModelOutput *y, int64_t B) {
    out->max_depth = y->max_depth;
    out->n_tokens  = y->n_tokens;
    CHECK(y->max_depth <= EVALUATE_MAX_DEPTH, "a depth of %d", y->max_depth);
    if (y->depth == NULL) {
        out->depth_histogram[y->max_depth] += B * y->n_tokens;
        return;
    }
    for (int64_t i = 0; i < B * y->n_tokens; i++) {
        CHECK(y->depth[i] >= 0 && y->depth[i] <= y->max_depth, "a token has depth %d of %d", y->depth[i], y->max_depth);
        out->depth_histogram[y->depth[i]]++;
    }
}

bool evaluate(Model *m, Tape *tape, const Dataset *d, const EvaluateOptions *options, Evaluation *out, Error *err) {
    Loader  *loader = NULL;
    int64_t *order  = NULL;
    Sha256  *digest = NULL;
    bool     ok     = false;
    double   loss   = 0;
    Progress progress = {0};
    int      channels, height, width, classes;
    *out = (Evaluation){.macs_min = INT64_MAX};
    if (!model_fits_data(m, d, true, err)) goto done;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    order = malloc((size_t)d->n_images * sizeof *order + 1);
    if (order == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the order of %lld images", (long long)d->n_images);
        goto done;
    }
    for (int64_t i = 0; i < d->n_images; i++) order[i] = i;
    if (!sha256_create(&digest, err)) goto done;
    if (!loader_create(&loader, d, &(LoaderOptions){.batch_size = options->batch_size, .n_threads = options->loader_threads}, err)
        || !loader_start(loader, order, d->n_images, 0, err))
        goto done;

    progress_begin(&progress, "eval", 0, d->n_images, options->quiet);
    tape_set_stop(tape, interrupt_raised);
    profile_clear(tape_profile(tape));
    tape_begin(tape, false, (TapeStep){0});              /* hands back what the step before held, so that it is no part of the peak */
    arena_reset_peak(tape_arena(tape));
    const uint64_t started_ns = clock_now_ns();
    for (;;) {
        const LoaderBatch *batch;
        if (!loader_next(loader, &batch, err)) goto done;
        if (batch == NULL) break;
        if (interrupted(err)) goto done;
        const int B = batch->n_images;
        tape_begin(tape, false, (TapeStep){0});
        ModelOutput y;
        m->kind->forward(m->self, tape, &(ModelInput){.images = batch_tensor(tape, batch->images, B, channels, height, width), .image_id = batch->ids}, &y);
        if (tape_failed(tape)) {
            if (!interrupted(err)) FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory at batch size %d", B);
            goto done;
        }
        for (int b = 0; b < B; b++) {
            const Real *logits = y.logits->data + (int64_t)b * classes;
            const int   label  = batch->labels[b];
            if (label < 0 || label >= classes) {
                FAIL(err, "/data", "image %lld of %s has label %d, the model has %d classes", (long long)batch->ids[b], d->name, label, classes);
                goto done;
            }
            const int     rank      = label_rank(logits, classes, label);
            const int32_t predicted = logits_best(logits, classes);
            const double  nats      = cross_entropy(logits, classes, label);
            if (!isfinite(nats)) {
                FAIL_STATUS(err, EXIT_CELLS, "", "the logits of image %lld of %s are not finite", (long long)batch->ids[b], d->name);
                goto done;
            }
            out->top1_count += rank < 1;
            out->top5_count += rank < 5;
            loss += nats;
            sha256_add(digest, &predicted, sizeof predicted);
            /* draws of a model are keyed by its image_id: only where that is the place in the split it is the same in every run */
            if (dataset_source(d, batch->ids[b]) == batch->ids[b]) witness_add(&out->witness, batch->ids[b], logits, classes);
        }
        count_depths(out, &y, B);
        model_count_images(m, &y, B, false, &out->macs_counted, &out->macs_min, &out->macs_max);
        if (options->depths != NULL && !depth_record_add(options->depths, &y, B, err)) goto done;
        if (options->relation != NULL && !depth_relation_add(options->relation, d, &y, batch->images, B, err)) goto done;
        out->images_count += B;
        char text[64];
        snprintf(text, sizeof text, "top-1 %.2f %%", 100.0 * (double)out->top1_count / (double)out->images_count);
        progress_show(&progress, out->images_count, false, text);
    }
    out->elapsed_ns            = clock_now_ns() - started_ns;
    out->loss                  = out->images_count > 0 ? loss / (double)out->images_count : NAN;
    out->macs_executed         = profile_total(tape_profile(tape), 0, 0).macs;
    out->elementwise_executed  = profile_total(tape_profile(tape), 0, 0).elementwise;
    out->peak_activation_bytes = arena_peak_bytes(tape_arena(tape));
    ok = sha256_finish(digest, out->predictions_sha256, err);
done:
    progress_end(&progress);
    sha256_destroy(digest);
    loader_destroy(loader);
    free(order);
    return ok;
}
