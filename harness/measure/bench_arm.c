/* A model with images enough for passes that do not repeat at once, as a Subject (bench.h). */
#include "harness/measure/bench.h"

#include "harness/data/loader.h"
#include "harness/interrupt.h"
#include "harness/measure/evaluate.h"
#include "harness/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bench_arm_close(BenchArm *a) {
    free(a->images);
    free(a->fresh);
    free(a->labels);
    free(a->ids);
    free(a->pixels);
    free(a->table);
    free(a->logits);
    tape_destroy(a->tape);
    dataset_close(a->data);
    model_destroy(a->model);
    *a = (BenchArm){0};
}

/* Stored image i into images + (i) image_floats: what a pass end to end does for each of its images. */
static bool read_image(BenchArm *a, int64_t id, float *into, int *label, Error *err) {
    if (!dataset_read(a->data, id, a->pixels, label, err)) return false;
    loader_normalise(a->pixels, a->height, a->width, a->channels, a->table, into);
    return true;
}

static bool take_images(BenchArm *a, Error *err) {
    const int64_t wanted = (int64_t)BENCH_TURNS * a->batch;
    a->n_images = (int)(wanted < a->data->n_images ? wanted : a->data->n_images);
    if (a->n_images < a->batch) a->n_images = a->batch;              /* a small folder is gone through again */
    const size_t n = (size_t)a->n_images, floats = (size_t)a->image_floats;
    a->images = malloc(n * floats * sizeof *a->images);
    a->fresh  = malloc((size_t)a->batch * floats * sizeof *a->fresh);
    a->labels = malloc(n * sizeof *a->labels);
    a->ids    = malloc(n * sizeof *a->ids);
    a->pixels = malloc(floats);
    a->table  = malloc((size_t)a->channels * 256 * sizeof *a->table);
    a->logits = malloc((size_t)a->batch * (size_t)a->classes * sizeof *a->logits);
    if (a->images == NULL || a->fresh == NULL || a->labels == NULL || a->ids == NULL || a->pixels == NULL || a->table == NULL || a->logits == NULL)
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d images", a->n_images);
    loader_table(a->data->mean, a->data->sd, a->channels, a->table);
    a->fresh_turn = -1;
    for (int i = 0; i < a->n_images; i++) {
        int label;
        a->ids[i] = i % a->data->n_images;
        if (!read_image(a, a->ids[i], a->images + (int64_t)i * a->image_floats, &label, err)) return false;
        a->labels[i] = label;
    }
    return true;
}

bool bench_arm_open(BenchArm *a, const BenchChoice *c, bool without_images, Error *err) {
    char       synthetic[64];
    DataChoice data = c->data;
    *a = (BenchArm){.batch = c->batch, .train = c->train};
    if (!session_model(&a->model, &c->model, a->weights_sha256, a->warning, err)) goto failed;
    a->model->kind->image_shape(a->model->self, &a->channels, &a->height, &a->width, &a->classes);
    a->image_floats = (int64_t)a->channels * a->height * a->width;
    snprintf(synthetic, sizeof synthetic, "synthetic:%dx%dx%d:%d:%lld", a->height, a->width, a->channels, a->classes, (long long)BENCH_TURNS * c->batch);
    if (data.name_or_dir == NULL && c->model.config != NULL && !session_config_data(&a->data, c->model.config, &data, a->model, err)) goto failed;
    if (data.name_or_dir == NULL) data.name_or_dir = synthetic;
    if ((a->data == NULL && !session_data(&a->data, &data, a->model, err)) || !model_fits_data(a->model, a->data, c->train, err)) goto failed;
    if (without_images) return true;
    fields_default(train_fields, &a->settings);
    OptimizerSettings unused;
    if (c->train && (!train_optimizer(&a->settings, &a->optimizer, &unused, err) || !params_want_grads(a->model->params, err) ||
                     !params_want_state(a->model->params, err)))
        goto failed;
    if (!tape_create(&a->tape, runtime_backend(), err) || !take_images(a, err)) goto failed;
    tape_set_stop(a->tape, interrupt_raised);
    return true;
failed:
    bench_arm_close(a);
    return false;
}

static int first_image(const BenchArm *a, int turn) { return (int)((int64_t)turn * a->batch % (a->n_images - a->batch + 1)); }

static bool out_of_memory(const BenchArm *a, Error *err) {
    return interrupted(err) ? false : FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory at batch size %d", a->batch);
}

static bool forward(BenchArm *a, const float *images, const int64_t *ids, Error *err) {
    tape_begin(a->tape, false, (TapeStep){0});
    const ModelInput input = {.images = batch_tensor(a->tape, images, a->batch, a->channels, a->height, a->width), .image_id = ids};
    a->model->kind->forward(a->model->self, a->tape, &input, &a->output);
    if (tape_failed(a->tape)) return out_of_memory(a, err);
    memcpy(a->logits, a->output.logits->data, (size_t)a->batch * (size_t)a->classes * sizeof *a->logits);
    return true;
}

static bool step(BenchArm *a, const float *images, const int32_t *labels, const int64_t *ids, Error *err) {
    StepReport *report = &a->report;
    if (!train_gradients(a->model, a->tape, &a->settings, a->step, &(TrainBatch){images, labels, ids, a->batch}, report, err)) return false;
    a->step++;
    a->loss = report->loss;
    train_update(a->model, a->tape, &a->settings, a->optimizer, a->step, a->settings.lr, report->grad_norm);
    return true;
}

static bool run_model_only(void *self, int turn, Error *err) {
    BenchArm     *a      = self;
    const int     first  = first_image(a, turn % BENCH_TURNS);
    a->first = first;
    const float  *images = turn == a->fresh_turn ? a->fresh : a->images + (int64_t)first * a->image_floats;
    return a->train ? step(a, images, a->labels + first, a->ids + first, err) : forward(a, images, a->ids + first, err);
}

/* The images of turn modulo BENCH_TURNS, a little brighter: the same work, but numbers never seen before. */
static bool prepare_fresh(void *self, int turn, Error *err) {
    (void)err;
    BenchArm     *a     = self;
    const float  *from  = a->images + (int64_t)first_image(a, turn % BENCH_TURNS) * a->image_floats;
    const float   gain  = 1 + 0x1p-12f * (float)(turn + 1);
    for (int64_t i = 0; i < a->batch * a->image_floats; i++) a->fresh[i] = gain * from[i];
    a->fresh_turn = turn;
    return true;
}

static const void *logits_of(void *self, size_t *n_bytes) {
    BenchArm *a = self;
    for (int i = 0; i < a->batch; i++) witness_add(&a->witness, a->ids[a->first + i], a->logits + (size_t)i * (size_t)a->classes, a->classes);
    *n_bytes = (size_t)a->batch * (size_t)a->classes * sizeof *a->logits;
    return a->logits;
}

Subject bench_arm_model_only(BenchArm *a) {
    return (Subject){.self = a, .run = run_model_only, .prepare = prepare_fresh, .output = a->train ? NULL : logits_of};
}

static bool run_end_to_end(void *self, int turn, Error *err) {
    BenchArm  *a     = self;
    const int  first = first_image(a, turn % BENCH_TURNS);
    a->first = first;
    for (int i = 0; i < a->batch; i++) {
        int label;
        if (!read_image(a, a->ids[first + i], a->fresh + (int64_t)i * a->image_floats, &label, err)) return false;
    }
    a->fresh_turn = -1;
    return forward(a, a->fresh, a->ids + first, err);
}

Subject bench_arm_end_to_end(BenchArm *a) { return (Subject){.self = a, .run = run_end_to_end, .output = logits_of}; }
