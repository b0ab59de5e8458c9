/* morbench bench: speed, memory and cost of models, measured in turns.
 *
 * A cell is a model at a batch size (with --train: a training step of it). Rounds hold one turn of every cell, in a random
 * order drawn anew from the seed; a turn of a fast cell is several passes, about as long as the slowest cell's one, so that
 * all end in the same round and drift of the machine falls on all alike. Every sample is kept, with its place in the whole.
 * Warm-up rounds come first. Timing, and the passes that are profiled, are separate. */
#include "engine/backends/packed.h"
#include "engine/clock.h"
#include "engine/digest.h"
#include "engine/file.h"
#include "harness/commands.h"
#include "harness/interrupt.h"
#include "harness/loader.h"
#include "harness/options.h"
#include "harness/progress.h"
#include "harness/session.h"
#include "harness/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MODELS = 32, MAX_BATCHES = 16, MAX_CELLS = 128, PROFILE_PASSES = 3, DISTINCT_BATCHES = 4 };

/* How long a cell is measured: at least so many samples and seconds. */
typedef struct Effort { const char *name; int min_samples, max_samples, warmups; double min_seconds; } Effort;
static const Effort efforts[] = {
    {"smoke",    6,   200,    2, 0.3},
    {"standard", 30,  20000,  5, 3},
    {"paper",    100, 100000, 10, 60},
};
enum { N_EFFORTS = sizeof efforts / sizeof *efforts };

typedef struct Arm {                     /* one model with what it needs */
    Model   *model;
    char     label[96], weights_sha256[65], warning[512];
    Dataset *data;
    float   *images;                     /* (n_images,C,H,W) normalised */
    int32_t *labels;
    int64_t *ids;
    int      n_images, image_floats;
} Arm;

typedef struct Cell {
    Arm    *arm;
    int     batch, turn;
    double *sample_ns, *position;        /* of each pass: its time; how many passes of any cell came before */
    int     n_samples, capacity;
    int     passes;                      /* in one turn */
    double  fastest_ns;                  /* of the warm-up */
    double  total_ns;
    int64_t macs;                        /* executed in one pass, forward and backward */
    size_t  peak_bytes;
    int64_t packed_bytes;
} Cell;

typedef struct Bench {
    Arm            arm[MAX_MODELS];
    Cell           cell[MAX_CELLS];
    int            n_arms, n_cells, batch[MAX_BATCHES], n_batches;
    const Effort  *effort;
    bool           train, quiet;
    TrainSettings  settings;
    const Optimizer *optimizer;
    int64_t        step;
    Tape          *tape;
    uint64_t       seed;
    const char    *data_name, *preprocess, *out_dir;
} Bench;

static void bench_free(Bench *b) {
    if (b == NULL) return;
    for (int i = 0; i < b->n_cells; i++) {
        free(b->cell[i].sample_ns);
        free(b->cell[i].position);
    }
    for (int i = 0; i < b->n_arms; i++) {
        free(b->arm[i].images);
        free(b->arm[i].labels);
        free(b->arm[i].ids);
        dataset_close(b->arm[i].data);
        model_destroy(b->arm[i].model);
    }
    tape_destroy(b->tape);
    free(b);
}

/* ---------------------------------------------------------------- preparing */

/* Enough images in memory for the largest batch a few times over, so that no batch repeats at once. */
static bool arm_images(Bench *b, Arm *a, int largest, Error *err) {
    int channels, height, width, classes;
    char synthetic[64];
    a->model->kind->image_shape(a->model->self, &channels, &height, &width, &classes);
    snprintf(synthetic, sizeof synthetic, "synthetic:%dx%dx%d:%d:%d", height, width, channels, classes, DISTINCT_BATCHES * largest);
    const DataChoice choice = {.name_or_dir = b->data_name != NULL ? b->data_name : synthetic, .preprocess = b->preprocess};
    if (!session_data(&a->data, &choice, a->model, err) || !model_fits_data(a->model, a->data, b->train, err)) return false;
    const int64_t wanted = (int64_t)DISTINCT_BATCHES * largest;
    a->n_images     = (int)(wanted < a->data->n_images ? wanted : a->data->n_images);
    a->image_floats = channels * height * width;
    if (a->n_images < largest) a->n_images = largest;                /* a small folder is gone through again */
    a->images = malloc((size_t)a->n_images * (size_t)a->image_floats * sizeof *a->images);
    a->labels = malloc((size_t)a->n_images * sizeof *a->labels);
    a->ids    = malloc((size_t)a->n_images * sizeof *a->ids);
    uint8_t *pixels = malloc((size_t)a->image_floats);
    float   *table  = malloc((size_t)channels * 256 * sizeof *table);
    bool     ok     = a->images != NULL && a->labels != NULL && a->ids != NULL && pixels != NULL && table != NULL;
    if (!ok) FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d images", a->n_images);
    if (ok) loader_table(a->data->mean, a->data->sd, channels, table);
    for (int i = 0; ok && i < a->n_images; i++) {
        int label;
        a->ids[i] = i % a->data->n_images;
        ok = dataset_read(a->data, a->ids[i], pixels, &label, err);
        a->labels[i] = label;
        if (ok) loader_normalise(pixels, height, width, channels, table, a->images + (int64_t)i * a->image_floats);
    }
    free(pixels);
    free(table);
    return ok;
}

/* The n-th item of a comma-separated list into item[size], "" between two commas; false past the end. */
static bool list_item(const char *list, int n, char *item, size_t size) {
    for (; n > 0; n--) {
        list = strchr(list, ',');
        if (list == NULL) return false;
        list++;
    }
    snprintf(item, size, "%.*s", (int)strcspn(list, ","), list);
    return true;
}

static int list_length(const char *list) {
    int n = 1;
    for (; (list = strchr(list, ',')) != NULL; list++) n++;
    return n;
}

static bool add_arms(Bench *b, const char *presets, const char *config, const char *weights, Error *err) {
    char preset[96], file[4096];
    const int n_models = config != NULL ? 1 : list_length(presets);
    if (weights != NULL && list_length(weights) != n_models)
        return FAIL(err, "--weights", "must name one file for each of the %d models, - for random; got %d", n_models, list_length(weights));
    for (int i = 0; config != NULL ? i < 1 : list_item(presets, i, preset, sizeof preset); i++) {
        if (config == NULL && preset[0] == '\0') return FAIL(err, "--preset", "name %d of the list is empty", i + 1);
        if (b->n_arms == MAX_MODELS) return FAIL(err, "--preset", "at most %d models at once", MAX_MODELS);
        Arm *a = &b->arm[b->n_arms++];
        const bool has_weights = weights != NULL && list_item(weights, i, file, sizeof file) && strcmp(file, "-") != 0;
        const ModelChoice choice = {.preset = config != NULL ? NULL : preset, .config = config, .weights = has_weights ? file : NULL, .seed = b->seed};
        if (!session_model(&a->model, &choice, a->weights_sha256, a->warning, err)) return false;
        snprintf(a->label, sizeof a->label, "%s", config != NULL ? a->model->kind->name : preset);
        if (b->train && (!params_want_grads(a->model->params, err) || !params_want_state(a->model->params, err))) return false;
    }
    return true;
}

/* ---------------------------------------------------------------- measuring */

/* One pass of a cell, timed from images in memory to logits (training: to updated weights). */
static bool run_once(Bench *b, Cell *c, double *elapsed_ns, Error *err) {
    Arm      *a     = c->arm;
    const int first = (int)((int64_t)c->turn++ * c->batch % (a->n_images - c->batch + 1));
    const float *images = a->images + (int64_t)first * a->image_floats;
    int channels, height, width, classes;
    a->model->kind->image_shape(a->model->self, &channels, &height, &width, &classes);
    const uint64_t started_ns = clock_now_ns();
    if (b->train) {
        StepReport report;
        if (!train_gradients(a->model, b->tape, &b->settings, b->step, &(TrainBatch){images, a->labels + first, a->ids + first, c->batch}, &report, err)) return false;
        b->step++;
        train_update(a->model, b->tape, &b->settings, b->optimizer, b->step, b->settings.lr, report.grad_norm);
    } else {
        ModelOutput y;
        tape_begin(b->tape, false, (TapeStep){0});
        a->model->kind->forward(a->model->self, b->tape, &(ModelInput){.images = batch_tensor(b->tape, images, c->batch, channels, height, width), .image_id = a->ids + first}, &y);
        if (tape_failed(b->tape)) return interrupted(err) ? false : FAIL_STATUS(err, EXIT_MACHINE, "", "%s: out of memory at batch size %d", a->label, c->batch);
    }
    *elapsed_ns = (double)(clock_now_ns() - started_ns);
    return true;
}

static bool add_sample(Cell *c, double ns, int64_t position, Error *err) {
    if (c->n_samples == c->capacity) {
        const int capacity = c->capacity > 0 ? 2 * c->capacity : 256;
        double   *samples  = realloc(c->sample_ns, (size_t)capacity * sizeof *samples);
        if (samples != NULL) c->sample_ns = samples;
        double   *places   = realloc(c->position, (size_t)capacity * sizeof *places);
        if (places != NULL) c->position = places;
        if (samples == NULL || places == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for samples");
        c->capacity = capacity;
    }
    c->sample_ns[c->n_samples]  = ns;
    c->position[c->n_samples++] = (double)position;
    c->total_ns += ns;
    return true;
}

static bool enough(const Bench *b, const Cell *c) {
    return c->n_samples >= b->effort->max_samples || (c->n_samples >= b->effort->min_samples && c->total_ns >= b->effort->min_seconds * 1e9);
}

static bool measure(Bench *b, Error *err) {
    Progress progress;
    double   ns, slowest_ns = 0;
    int64_t  n_before = 0;
    for (int w = 0; w < b->effort->warmups; w++)
        for (int i = 0; i < b->n_cells; i++) {
            Cell *c = &b->cell[i];
            if (interrupted(err) || !run_once(b, c, &ns, err)) return false;
            c->fastest_ns = w == 0 ? ns : fmin(c->fastest_ns, ns);
        }
    for (int i = 0; i < b->n_cells; i++) slowest_ns = fmax(slowest_ns, b->cell[i].fastest_ns);
    for (int i = 0; i < b->n_cells; i++) {
        const double fits = slowest_ns / b->cell[i].fastest_ns, most = (double)b->effort->max_samples / b->effort->min_samples;
        b->cell[i].passes = (int)fmax(1, fmin(fits, most));
    }
    progress_begin(&progress, "bench", 0, b->n_cells, b->quiet);
    for (int64_t round = 0;; round++) {
        int64_t order[MAX_CELLS];
        int     n_done = 0;
        rng_permutation(rng_stream(b->seed, "bench"), round, b->n_cells, order);
        for (int i = 0; i < b->n_cells; i++) n_done += enough(b, &b->cell[i]);
        if (n_done == b->n_cells) break;
        for (int i = 0; i < b->n_cells; i++) {
            Cell *c = &b->cell[order[i]];
            for (int k = 0; k < c->passes && !enough(b, c); k++)
                if (interrupted(err) || !run_once(b, c, &ns, err) || !add_sample(c, ns, n_before++, err)) return false;
        }
        char text[64];
        snprintf(text, sizeof text, "round %lld, %d cells", (long long)round + 1, b->n_cells);
        progress_show(&progress, n_done, false, text);
    }
    progress_end(&progress);
    return true;
}

/* ---------------------------------------------------------------- results */

static bool experiment_json(const Bench *b, const Cell *c, json_t **out, Error *err) {
    JsonSink root, model;
    json_sink_begin(&root);
    json_put_text(&root, "mode", b->train ? "train_step" : "forward");
    json_put_text(&root, "model_kind", c->arm->model->kind->name);
    json_put_text(&root, "preset", c->arm->model->preset);
    json_put_object(&root, "model", &model);
    result_put_settings(&model, c->arm->model->kind->fields, c->arm->model->self);
    json_put_text(&root, "data", c->arm->data->name);
    json_put_text(&root, "preprocess", c->arm->data->preprocess_text);
    json_put_count(&root, "batch_size_count", c->batch);
    json_put_count(&root, "threads_requested_count", runtime_threads());
    json_put_text(&root, "backend", runtime_backend()->name);
    json_put_text(&root, "profile", b->effort->name);
    json_put_count(&root, "seed", (int64_t)b->seed);
    return json_sink_finish(&root, out, err);
}

static bool cell_begin(const Bench *b, const Cell *c, int argc, char *const *argv, Result **out, Error *err) {
    json_t    *experiment = NULL;
    const Arm *a          = c->arm;
    const bool ok = experiment_json(b, c, &experiment, err) && session_result(out, "bench", experiment, true, argc, argv, err)
                 && result_set_model(*out, a->model, a->weights_sha256[0] != '\0' ? a->weights_sha256 : NULL, err) && result_set_data(*out, a->data, err);
    json_decref(experiment);
    return ok;
}

static void cell_dir(const Bench *b, const Cell *c, char dir[4400]) {
    snprintf(dir, 4400, "%s/%s_b%d_t%d%s", b->out_dir, c->arm->label, c->batch, runtime_threads(), b->train ? "_train" : "");
}

/* A directory that holds another run is refused before the measuring, not after it. */
static bool check_out(const Bench *b, int argc, char *const *argv, Error *err) {
    bool ok = true, done;
    for (int i = 0; ok && b->out_dir != NULL && i < b->n_cells; i++) {
        Result *r = NULL;
        char    dir[4400];
        cell_dir(b, &b->cell[i], dir);
        ok = cell_begin(b, &b->cell[i], argc, argv, &r, err) && result_is_done(r, dir, &done, err);
        result_destroy(r);
    }
    return ok;
}

/* Runs the profiled passes of a cell and makes its result. */
static bool cell_result(Bench *b, Cell *c, int argc, char *const *argv, Result **out, Error *err) {
    Result *r = NULL;
    Arm    *a = c->arm;
    double  ns;
    bool    ok = cell_begin(b, c, argc, argv, &r, err);
    profile_clear(tape_profile(b->tape));
    tape_begin(b->tape, false, (TapeStep){0});           /* hands back what the last pass held, perhaps another cell's */
    arena_reset_peak(tape_arena(b->tape));
    for (int i = 0; ok && i < PROFILE_PASSES; i++) ok = run_once(b, c, &ns, err);
    if (ok) {
        c->peak_bytes = arena_peak_bytes(tape_arena(b->tape));
        c->macs = (profile_total(tape_profile(b->tape), 0, 0).macs + profile_total(tape_profile(b->tape), 0, 1).macs) / PROFILE_PASSES;
        result_set_profile(r, tape_profile(b->tape), PROFILE_PASSES, (int64_t)PROFILE_PASSES * c->batch);
        const double forward = (double)(profile_total(tape_profile(b->tape), 0, 0).macs / PROFILE_PASSES) / c->batch;
        result_set_macs_executed(r, forward, forward, forward);
        JsonSink *metrics = result_block(r, "metrics");
        json_put_count(metrics, "batch_size_count", c->batch);
        json_put_count(metrics, "peak_activation_bytes", (int64_t)c->peak_bytes);
        json_put_count(metrics, "weights_bytes", params_bytes(a->model->params));
        if (b->train) json_put_count(metrics, "train_step_macs_count", c->macs);
        if (b->n_cells == 1) {
            json_put_count(metrics, "peak_resident_bytes", session_peak_resident_bytes());
            if (strcmp(runtime_backend()->name, "packed") == 0) json_put_count(metrics, "packed_weights_bytes", packed_bytes());
        }
        if (strcmp(b->effort->name, "smoke") == 0) result_warn(r, WARN_smoke_profile);
        if (a->data->synthetic) result_warn(r, WARN_synthetic_data);
        session_warn_loading(r, a->warning);
        result_warn_damaged(r, a->data);
        result_set_samples(r, "latency_position_count", c->position, (size_t)c->n_samples);
        ok = result_set_latency(r, &(ResultLatency){.samples_ns = c->sample_ns, .n = (size_t)c->n_samples, .batch_size = c->batch, .train_step = b->train,
                                                   .clock_overhead_ns = clock_overhead_ns(clock_real())}, err);
    }
    if (ok) *out = r;
    else    result_destroy(r);
    return ok;
}

static double number_of(Result *r, const char *key) {
    return json_number_value(json_object_get(result_block(r, "metrics")->at, key));
}

static void print_row(const Bench *b, const Cell *c, Result *r) {
    const double per_image = (double)c->macs / c->batch;
    printf("%-28s %5d %10.3f [%9.3f, %9.3f] %10.1f %9.3f %9.2f %8.1f %9.1f  %s\n", c->arm->label, c->batch, number_of(r, "latency_ns") / 1e6,
           number_of(r, "latency_low_ns") / 1e6, number_of(r, "latency_high_ns") / 1e6, number_of(r, "images_per_s"), per_image / 1e9,
           (double)params_elements(c->arm->model->params) / 1e6, 2 * (double)c->macs / number_of(r, "latency_ns"), (double)c->peak_bytes / 1048576.0,
           verdict_name(result_verdict(r)));
    (void)b;
}

static void print_profile(const Bench *b, const Cell *c) {
    const Profile *p = tape_profile(b->tape);
    double total_ns = (double)profile_total(p, 0, 0).elapsed_ns + (double)profile_total(p, 0, 1).elapsed_ns;
    printf("\n%s, batch %d: time by op\n", c->arm->label, c->batch);
    for (int i = 0; i < p->n_kinds; i++) {
        const ProfileWork *f = &p->kind[i].forward, *g = &p->kind[i].backward;
        const double ns = (double)(f->elapsed_ns + g->elapsed_ns);
        if (ns > 0)
            printf("  %-16s %8.3f ms  %5.1f %%  %10.3f MMAC  %7.1f GFLOP/s as 2 per MAC\n", p->kind[i].name, ns / PROFILE_PASSES / 1e6, 100 * ns / total_ns,
                   (double)(f->macs + g->macs) / PROFILE_PASSES / 1e6, 2 * (double)(f->macs + g->macs) / ns);
    }
    printf("%s, batch %d: time by layer\n", c->arm->label, c->batch);
    for (int s = 1; s < p->n_scopes; s++) {
        const ProfileWork f = profile_total(p, s, 0), g = profile_total(p, s, 1);
        if (p->scope[s].parent != 0 || f.calls == 0) continue;
        char path[128];
        profile_path(p, s, path, sizeof path);
        const double ns = (double)(f.elapsed_ns + g.elapsed_ns);
        printf("  %-16s %8.3f ms  %5.1f %%  %10.3f MMAC  %9.2f MB\n", path, ns / PROFILE_PASSES / 1e6, 100 * ns / total_ns,
               (double)(f.macs + g.macs) / PROFILE_PASSES / 1e6, (double)f.bytes / PROFILE_PASSES / 1e6);
    }
}

static bool report(Bench *b, bool json, bool profile, int argc, char *const *argv, Error *err) {
    if (json) printf("[\n");
    else printf("%-28s %5s %10s %24s %10s %9s %9s %8s %9s  %s\n", b->train ? "model (training step)" : "model", "batch", "median ms", "95 % interval",
                "images/s", "GMAC/img", "params M", "GFLOP/s*", "peak MiB", "verdict");
    for (int i = 0; i < b->n_cells; i++) {
        Cell   *c = &b->cell[i];
        Result *r = NULL;
        if (!cell_result(b, c, argc, argv, &r, err)) return false;
        char dir[4400];
        if (b->out_dir != NULL) cell_dir(b, c, dir);
        const bool written = b->out_dir == NULL || result_write(r, dir, err);
        bool printed = written;
        if (written && json) {
            printed = result_print(r, err);
            if (i + 1 < b->n_cells) printf(",\n");
        } else if (written) {
            print_row(b, c, r);
            if (profile) print_profile(b, c);
        }
        result_destroy(r);
        if (!printed) return false;
    }
    if (json) printf("]\n");
    else printf("* executed multiply-accumulates of matrix products and convolutions, 2 operations each, over the median time; peak: of a pass's tensors, without weights\n");
    if (!json && b->out_dir != NULL) printf("written: %s/*/run.json\n", b->out_dir);
    return true;
}

static bool set_up(Bench *b, const char *presets, const char *config, const char *weights, const char *batches, const char *effort, Error *err) {
    char item[32];
    int  largest = 0;
    for (int i = 0; i < N_EFFORTS; i++)
        if (strcmp(efforts[i].name, effort) == 0) b->effort = &efforts[i];
    if (b->effort == NULL) return FAIL(err, "--profile", "must be smoke, standard or paper; got \"%.40s\"", effort);
    for (; list_item(batches, b->n_batches, item, sizeof item); b->n_batches++) {
        if (b->n_batches == MAX_BATCHES) return FAIL(err, "--batch", "at most %d sizes at once", MAX_BATCHES);
        if (!option_count("batch", item, 1, 65536, &b->batch[b->n_batches], err)) return false;
        for (int k = 0; k < b->n_batches; k++)
            if (b->batch[k] == b->batch[b->n_batches]) return FAIL(err, "--batch", "%d is given twice", b->batch[k]);
        if (b->batch[b->n_batches] > largest) largest = b->batch[b->n_batches];
    }
    if (b->out_dir != NULL && !file_make_output_dir(b->out_dir, err)) return false;
    fields_default(train_fields, &b->settings);
    OptimizerSettings unused;
    if (!train_optimizer(&b->settings, &b->optimizer, &unused, err) || !runtime_begin(err) || !add_arms(b, presets, config, weights, err)
        || !tape_create(&b->tape, runtime_backend(), err))
        return false;
    for (int i = 0; i < b->n_arms; i++) {
        for (int k = 0; b->out_dir != NULL && k < i; k++)        /* a cell's directory is called after its preset */
            if (strcmp(b->arm[k].label, b->arm[i].label) == 0)
                return FAIL(err, "--preset", "%s is given twice, which --out has one directory for; measure them apart", b->arm[i].label);
        if (!arm_images(b, &b->arm[i], largest, err)) return false;
        for (int k = 0; k < b->n_batches; k++) {
            if (b->n_cells == MAX_CELLS) return FAIL(err, "", "at most %d models times batch sizes at once", MAX_CELLS);
            b->cell[b->n_cells++] = (Cell){.arm = &b->arm[i], .batch = b->batch[k]};
        }
    }
    tape_set_stop(b->tape, interrupt_raised);
    int n_pinned;
    return runtime_pin(true, &n_pinned, err);
}

int cmd_bench(int argc, char **argv, Error *err) {
    const char *presets = NULL, *config = NULL, *weights = NULL, *batches = "1", *effort = "standard", *seed_text = NULL;
    bool json = false, profile = false;
    int  seed = 1, status = EXIT_BAD_INPUT;
    Bench *b = calloc(1, sizeof *b);
    if (b == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory"), EXIT_MACHINE;
    const Option options[] = {
        {.name = "preset", .value = "NAME,...", .help = "models by name", .text = &presets},
        {.name = "config", .value = "MODEL.json", .help = "one model by its settings, instead", .text = &config},
        {.name = "weights", .value = "FILE,...", .help = "one for each model, - for random; default random", .text = &weights},
        {.name = "data", .value = "NAME|DIR", .help = "real images; default generated ones", .text = &b->data_name},
        {.name = "preprocess", .value = "PRESET", .help = "default: deit for folders, none for named sets", .text = &b->preprocess},
        {.name = "batch", .value = "N,...", .help = "batch sizes, default 1", .text = &batches},
        {.name = "train", .help = "time training steps instead of inference", .flag = &b->train},
        {.name = "profile", .value = "smoke|standard|paper", .help = "how long to measure, default standard", .text = &effort},
        {.name = "layers", .help = "print the time by op and layer too (it is always in the JSON)", .flag = &profile},
        {.name = "seed", .value = "N", .help = "of the order of turns and of random weights, default 1", .text = &seed_text},
        {.name = "out", .value = "DIR", .help = "write DIR/<cell>/run.json", .text = &b->out_dir},
        {.name = "json", .help = "print the results as a JSON array", .flag = &json},
        {.name = "quiet", .help = "no progress", .flag = &b->quiet},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"bench", "", "Measures speed, memory and cost of models, in turns.", options, 0, 0}, err);
    if (first <= 0) {
        bench_free(b);
        return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    }
    interrupt_catch();
    if ((presets == NULL) == (config == NULL)) FAIL(err, "", "give either --preset NAME,... or --config MODEL.json");
    else if (seed_text != NULL && !option_count("seed", seed_text, 0, 2147483647, &seed, err)) status = EXIT_BAD_INPUT;
    else {
        b->seed = (uint64_t)seed;
        if (set_up(b, presets, config, weights, batches, effort, err) && check_out(b, argc, argv, err) && measure(b, err) && report(b, json, profile, argc, argv, err)) status = EXIT_OK;
    }
    bench_free(b);
    return status;
}
