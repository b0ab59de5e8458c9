/* What loading and augmenting cost beside the training step they serve, from a training file:
 *
 *   bench_loading CONFIG.json [KEY=VALUE ...]              OMP_NUM_THREADS: threads of the step
 *
 * Batches are made by the calling thread itself, with the augmentation of the file, and each is then trained on, in turns: processor
 * time of making one against processor time of its step (forward, loss, backward, update; mixing of images and targets counts as
 * loading). Processor time, since a loader's threads work beside the step and other programs on the machine are not in it. The first
 * epoch's decoding is not in it where pixels are kept afterwards; `decode` says what it is. Prints one JSON object. */
#include "harness/config.h"
#include "harness/data/loader.h"
#include "harness/train/train.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCHES = 40, WARMUP = 4 };

static void need(bool ok, Error *err) {
    char text[1024];
    if (ok) return;
    error_text(err, text, sizeof text);
    fprintf(stderr, "bench_loading: %s\n", text);
    exit(err->exit_status);
}

static double cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b; }
static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_value);
    return n % 2 != 0 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: bench_loading CONFIG.json [KEY=VALUE ...]\n");
        return EXIT_BAD_INPUT;
    }
    Config        config;
    DataSettings  data;
    TrainSettings s;
    Model        *m    = NULL;
    Tape         *tape = NULL;
    Dataset      *d    = NULL;
    Loader       *loader = NULL;
    Error         err  = {0};
    const Optimizer  *o;
    OptimizerSettings settings;
    need(config_load(&config, argv[1], argc - 2, argv + 2, &err) && config_data(&config, &data, &err) && config_train(&config, &s, &err)
         && config_model(&config, &m, &err), &err);
    int channels, height, width, classes;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    if (data.image_size == 0 && strcmp(data.preprocess, "none") != 0) data.image_size = height;
    const DatasetOptions options = data_settings_options(&data, true);
    params_init(m->params, (uint64_t)s.seed);
    need(dataset_open(&d, &options, &err) && model_fits_data(m, d, true, &err) && tape_create(&tape, backend_default(), &err) && train_optimizer(&s, &o, &settings, &err)
         && params_want_grads(m->params, &err) && params_want_state(m->params, &err), &err);
    const int n = BATCHES + WARMUP;
    if (d->n_images < s.batch_size) {
        fprintf(stderr, "bench_loading: %lld images make no batch of %d\n", (long long)d->n_images, s.batch_size);
        return EXIT_BAD_INPUT;
    }
    Augment       augment = augment_create(&s.augment, (uint64_t)s.seed, d->mean, d->channels);
    LoaderOptions how     = {.batch_size = s.batch_size, .drop_last = true};
    augment_hook(&augment, &how);
    int64_t *order = malloc((size_t)d->n_images * sizeof *order);
    float   *soft  = malloc((size_t)s.batch_size * (size_t)classes * sizeof *soft);
    static double decode[BATCHES + WARMUP], load[BATCHES + WARMUP], step[BATCHES + WARMUP];
    need(loader_create(&loader, d, &how, &err), &err);
    augment_epoch_order(&augment, 0, d->n_images, order);
    /* as many images as are trained on below, decoded and perhaps kept; then the same again, drawn anew */
    const int64_t n_used = d->n_images / s.batch_size < n ? d->n_images / s.batch_size * s.batch_size : (int64_t)n * s.batch_size;
    int64_t       t      = 0;
    for (int epoch = 0, k[2] = {0, 0}; k[1] < n; epoch++) {
        const LoaderBatch *b;
        need(loader_start(loader, order, n_used, epoch, &err), &err);
        for (;;) {
            const double from = cpu_ns();
            need(loader_next(loader, &b, &err), &err);
            if (b == NULL) break;
            const bool mixed = augment_batch(&augment, b->images, b->n_images, channels, height, width, b->labels, classes, s.label_smoothing, epoch, b->index, soft);
            const double loaded = cpu_ns();
            if (epoch == 0) {
                if (k[0] < n) decode[k[0]++] = loaded - from;
                continue;
            }
            if (k[1] == n) break;
            StepReport       report;
            const TrainBatch batch = {b->images, b->labels, b->ids, b->n_images};
            need(train_gradients_soft(m, tape, &s, t, &batch, mixed ? soft : NULL, &report, &err), &err);
            train_update(m, tape, &s, o, ++t, s.lr, report.grad_norm);
            load[k[1]]   = loaded - from;
            step[k[1]++] = cpu_ns() - loaded;
        }
    }
    const int    n_decoded = (int)(n_used / s.batch_size) < n ? (int)(n_used / s.batch_size) : n;
    const double load_ns   = median(load + WARMUP, BATCHES), step_ns = median(step + WARMUP, BATCHES), decode_ns = median(decode, n_decoded);
    printf("{\"tool\": \"bench_loading\", \"data\": \"%s\", \"model\": \"%s\", \"batch_size_count\": %d, \"threads_count\": %d, \"backend\": \"%s\", \"batches_count\": %d,\n"
           " \"time_of\": \"processor\", \"first_epoch_load_ns\": %.0f, \"load_ns\": %.0f, \"step_ns\": %.0f, \"load_over_step_ratio\": %.5f, \"images_loaded_per_s\": %.0f}\n",
           d->name, m->preset[0] != '\0' ? m->preset : m->kind->name, s.batch_size, omp_get_max_threads(), backend_default()->name, BATCHES, decode_ns, load_ns, step_ns, load_ns / step_ns,
           1e9 * s.batch_size / load_ns);
    free(order);
    free(soft);
    loader_destroy(loader);
    dataset_close(d);
    tape_destroy(tape);
    model_destroy(m);
    config_release(&config);
    return 0;
}
