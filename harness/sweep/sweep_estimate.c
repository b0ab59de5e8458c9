/* How long cells take and what they write: from steps measured before, else from MACs and a rate (sweep.h). */
#include "harness/sweep/sweep.h"

#include "harness/measure/bench.h"
#include "harness/measure/evaluate.h"
#include "harness/options.h"
#include "harness/report/report.h"
#include "harness/result.h"
#include "harness/train/train.h"
#include "engine/clock.h"
#include "engine/tape.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Forward and backward of a step are about three forward passes. */
static const double step_of_forward = 3;

/* ---- images ---- */

typedef struct Images { char *key; int64_t n[2]; char missing[512]; } Images;

static int64_t open_split(const DataSettings *data, bool train, int image_size, char missing[512]) {
    Dataset       *d       = NULL;
    Error          wrong   = {0};
    DatasetOptions options = data_settings_options(data, train);
    if (options.image_size == 0 && strcmp(data->preprocess, "none") != 0) options.image_size = image_size;
    if (!dataset_open(&d, &options, &wrong)) {
        error_text(&wrong, missing, 512);
        return -1;
    }
    const int64_t n = d->n_images;
    dataset_close(d);
    return n;
}

/* Image counts of a cell's splits; each data block, as it is written, is opened once. A timing reads images of the test split where its file names data. */
static const Images *images_of(Images *known, int *n_known, const Cell *c) {
    char *key = json_canonical_text(json_object_get(c->kind == CELL_TIME ? c->config : c->settings, "data"));
    for (int i = 0; key != NULL && i < *n_known; i++) {
        if (strcmp(known[i].key, key) != 0) continue;
        free(key);
        return &known[i];
    }
    Images *out = &known[(*n_known)++];
    *out = (Images){.key = key, .n = {-1, -1}};
    const json_t *model = json_object_get(c->settings, "model");
    const int     side  = (int)json_integer_value(json_object_get(model, "img_size"));
    out->n[1] = open_split(&c->data, false, side, out->missing);
    if (c->kind == CELL_TRAIN && out->missing[0] == '\0') out->n[0] = open_split(&c->data, true, side, out->missing);
    return out;
}

/* ---- what was measured before ---- */

typedef struct Known {
    json_t *model;                   /* settings; NULL: unused */
    double  ns_per_image, macs_per_s;
    int     batch;
} Known;
enum { KNOWN_MAX = 512 };

/* One finished training with as many threads as now. */
static void learn(Known *k, int *n, const char *path) {
    json_t *run    = NULL;
    Error   unused = {0};
    if (*n == KNOWN_MAX || !result_load(&run, path, &unused)) return;
    const json_t *curve = json_object_get(run, "curves"), *point;
    const double  ns = report_number(run, "/metrics/train_elapsed_ns"), steps = report_number(run, "/metrics/steps_count"),
                  batch = report_number(run, "/metrics/batch_size_count");
    double macs = 0;
    size_t i;
    json_array_foreach(curve, i, point) macs += report_number(point, "/train_macs_count");
    const char *kind = json_string_value(json_object_get(run, "kind")), *status = json_string_value(json_object_get(run, "status"));
    if (strcmp(kind, "train") == 0 && strcmp(status, "ok") == 0 && (int)report_number(run, "/metrics/threads_requested_count") == runtime_threads() && ns > 0
        && steps * batch > 0 && macs > 0) {                  /* earlier versions did not count them */
        k[*n] = (Known){.model = json_deep_copy(report_at(run, "/experiment/model")), .ns_per_image = ns / (steps * batch), .macs_per_s = macs / ns * 1e9, .batch = (int)batch};
        ++*n;
    }
    json_decref(run);
}

static void learn_all(Known *k, int *n, const char *root) {
    struct dirent *a, *b;
    DIR *outer = opendir(root);
    while (outer != NULL && (a = readdir(outer)) != NULL) {
        char dir[SWEEP_PATH + 256], path[SWEEP_PATH + 600];
        if (a->d_name[0] == '.') continue;
        snprintf(dir, sizeof dir, "%s/%s", root, a->d_name);
        DIR *inner = opendir(dir);
        while (inner != NULL && (b = readdir(inner)) != NULL) {
            if (b->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s/run.json", dir, b->d_name);
            learn(k, n, path);
        }
        if (inner != NULL) closedir(inner);
    }
    if (outer != NULL) closedir(outer);
}

static int by_rate(const void *a, const void *b) {
    const double x = ((const Known *)a)->macs_per_s, y = ((const Known *)b)->macs_per_s;
    return (x > y) - (x < y);
}

/* ---- a rate where nothing was measured ---- */

/* MACs a second of a training step of the cell's model, on generated images; NAN where it cannot be had. */
static double time_step(const Cell *c) {
    Config        config = {.tree = c->config};
    TrainSettings s      = c->train;
    Model        *m      = NULL;
    Tape         *tape   = NULL;
    Error         wrong  = {0};
    StepReport    report;
    double        rate   = NAN;
    int           channels, height, width, classes;
    const int     n      = s.batch_size < 16 ? s.batch_size : 16;
    s.distill        = DISTILL_NONE;
    s.distill_tokens = 0;
    if (!config_model(&config, &m, &wrong) || !tape_create(&tape, runtime_backend(), &wrong)) goto done;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    float   *images = calloc((size_t)n * (size_t)channels * (size_t)height * (size_t)width, sizeof *images);
    int32_t *labels = calloc((size_t)n, sizeof *labels);
    int64_t *ids    = calloc((size_t)n, sizeof *ids);
    params_init(m->params, 1);
    if (images != NULL && labels != NULL && ids != NULL && params_want_grads(m->params, &wrong)) {
        const TrainBatch batch = {images, labels, ids, n};
        for (int turn = 0; turn < 3; turn++) {
            const uint64_t from = clock_now_ns();
            if (!train_gradients(m, tape, &s, 0, &batch, &report, &wrong)) break;
            const double r = step_of_forward * (double)c->macs * n / (double)(clock_now_ns() - from) * 1e9;
            if (turn > 0 && !(rate >= r)) rate = r;
        }
    }
    free(images);
    free(labels);
    free(ids);
done:
    tape_destroy(tape);
    model_destroy(m);
    return rate;
}

/* ---- the estimate ---- */

static double images_trained(const Cell *c, int64_t n_train) {
    const double step = (double)c->train.batch_size * c->train.accumulate;
    if (c->train.steps > 0) return c->train.steps * step;
    return c->train.epochs * floor((double)n_train / step) * step;
}

static double images_tested(const Cell *c, int64_t n_train, int64_t n_test) {
    const double step   = (double)c->train.batch_size * c->train.accumulate;
    const double epochs = c->train.steps > 0 ? ceil(c->train.steps * step / (double)n_train) : c->train.epochs;
    return (double)n_test * (1 + (c->train.eval_every > 0 ? floor(epochs / c->train.eval_every) : 1));
}

static int64_t disk_of(const Cell *c) {
    const int64_t result = 60000;
    return c->kind == CELL_TRAIN ? 4 * c->params + result : result;
}

static void estimate(Sweep *s, int i, const Images *images, const Known *known, int n_known) {
    const Cell *c = &s->e->cell[i];
    Place      *p = &s->at[i];
    double      trained = 0, tested = (double)images->n[1], per_image = NAN;
    p->disk_bytes = disk_of(c);
    if (images->missing[0] != '\0') return;
    if (c->kind == CELL_TRAIN) {
        trained = images_trained(c, images->n[0]);
        tested  = images_tested(c, images->n[0], images->n[1]);
        const json_t *model = json_object_get(c->settings, "model");
        for (int k = 0; k < n_known; k++)
            if (known[k].batch == c->train.batch_size * c->train.accumulate && json_equal(known[k].model, model)) per_image = known[k].ns_per_image;
    }
    p->work_macs = (step_of_forward * trained + tested) * (double)c->macs;
    p->seconds   = isfinite(per_image) ? (trained + tested / step_of_forward) * per_image / 1e9 : p->work_macs / s->macs_per_s;
}

/* MACs a second and thread of passes, where nothing is known better: about half of what an AVX-512 core does. */
static const double macs_per_s_guess = 50e9;

/* A timing takes its processes. Each starts, warms up, times passes of the model and as many from stored pixels, and takes some more:
 * outputs once more, inputs just seen against new ones, profiled and counted ones (cmd_bench_worker.c). */
static void estimate_timing(Sweep *s, int i) {
    const Cell   *c = &s->e->cell[i];
    Error         unused;
    const Effort *e = effort_find(c->profile, &unused);
    const double  rate = s->macs_per_s > 0 ? s->macs_per_s / runtime_threads() : macs_per_s_guess;
    const double  pass = (c->train_step ? step_of_forward : 1) * (double)c->macs * c->batch / (rate * c->threads);
    s->at[i].disk_bytes = 200000;
    if (e == NULL) return;
    const double timed = fmax(e->min_seconds, e->min_samples * pass), others = fmin(45 * pass, fmax(15 * pass, e->min_seconds)) + 12 * pass;
    s->at[i].seconds = e->processes * (0.3 + fmin(e->warmup_seconds, fmax(2 * e->warmup_passes * pass, 0.1 * e->min_seconds)) + (c->train_step ? 1 : 2) * timed + others);
}

bool sweep_estimate(Sweep *s, Error *err) {
    Images *images  = calloc((size_t)s->e->n_cells, sizeof *images);
    Known  *known   = calloc(KNOWN_MAX, sizeof *known);
    int     n_known = 0, n_images = 0, first = -1;
    if (images == NULL || known == NULL) {
        free(images);
        free(known);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    }
    learn_all(known, &n_known, s->root);
    qsort(known, (size_t)n_known, sizeof *known, by_rate);
    for (int i = 0; i < s->e->n_cells && first < 0; i++)
        if (s->e->cell[i].kind == CELL_TRAIN) first = i;
    if (n_known > 0) {
        s->macs_per_s = known[n_known / 2].macs_per_s;
        snprintf(s->rate_from, sizeof s->rate_from, "%d trainings finished in %.100s", n_known, s->root);
    } else if (first >= 0) {
        s->macs_per_s = time_step(&s->e->cell[first]);
        snprintf(s->rate_from, sizeof s->rate_from, "one training step of %.100s, timed just now", s->e->cell[first].name);
    }
    for (int i = 0; i < s->e->n_cells; i++) {
        const Cell   *c  = &s->e->cell[i];
        const Images *of = c->kind != CELL_TIME || json_object_get(c->config, "data") != NULL ? images_of(images, &n_images, c) : NULL;
        if (of != NULL && of->missing[0] != '\0') snprintf(s->data_missing, sizeof s->data_missing, "%s", of->missing);
        if (c->kind == CELL_TIME) estimate_timing(s, i);
        else                      estimate(s, i, of, known, n_known);
    }
    for (int k = 0; k < n_known; k++) json_decref(known[k].model);
    for (int k = 0; k < n_images; k++) free(images[k].key);
    free(images);
    free(known);
    return true;
}
