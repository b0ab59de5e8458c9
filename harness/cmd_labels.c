/* morbench labels: what a teacher says of every training image, stored sparsely for a student that trains by the same file.
 *
 * The images are those that `train` would show with this file: same data, same augmentation, same seed, epoch by epoch. */
#include "harness/commands.h"
#include "harness/config.h"
#include "harness/data/augment.h"
#include "harness/data/sparse_labels.h"
#include "harness/interrupt.h"
#include "harness/measure/evaluate.h"
#include "harness/options.h"
#include "harness/progress.h"
#include "harness/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Job {
    Config        config;
    DataSettings  data;
    TrainSettings train;
    Model        *teacher;
    Dataset      *images;
    Tape         *tape;
    Loader       *loader;
    Augment       augment;
    LoaderOptions loading;
    int64_t      *order;
    double       *probability;
    Progress      progress;
    int           K, n_epochs, channels, height, width, classes;
    int64_t       n_done, n_right;
} Job;

static void job_free(Job *j) {
    loader_destroy(j->loader);
    tape_destroy(j->tape);
    dataset_close(j->images);
    model_destroy(j->teacher);
    config_release(&j->config);
    free(j->order);
    free(j->probability);
    free(j);
}

static bool read_settings(Job *j, const char *path, int n_overrides, char **override, Error *err) {
    const bool ok = config_load(&j->config, path, n_overrides, override, err) && config_data(&j->config, &j->data, err)
                 && config_train(&j->config, &j->train, err) && data_settings_check(&j->data, err) && augment_check(&j->train.augment, err);
    if (!ok) return error_in(err, path);
    if (j->train.mixup > 0 || j->train.cutmix > 0)
        return FAIL(err, "/train/mixup", "mixup and cutmix must be 0: sparse labels are of single images"), error_in(err, path);
    return true;
}

static bool prepare(Job *j, const ModelChoice *teacher, const char *top, const char *epochs, Error *err) {
    char sha256[65], warning[512];
    if (!session_model(&j->teacher, teacher, sha256, warning, err)) return false;
    j->teacher->kind->image_shape(j->teacher->self, &j->channels, &j->height, &j->width, &j->classes);
    if (j->data.image_size == 0 && strcmp(j->data.preprocess, "none") != 0) j->data.image_size = j->height;
    const DatasetOptions options = data_settings_options(&j->data, true);
    if (!dataset_open(&j->images, &options, err) || !model_fits_data(j->teacher, j->images, false, err)) return false;
    j->augment = augment_create(&j->train.augment, (uint64_t)j->train.seed, j->images->mean, j->images->channels);
    j->loading = (LoaderOptions){.batch_size = j->train.eval_batch_size, .n_threads = j->train.loader_threads};
    augment_hook(&j->augment, &j->loading);
    const LoaderOptions *o = &j->loading;
    const bool           same = o->crop == NULL && o->transform == NULL && o->distort == NULL && o->finish == NULL;
    const int            most = j->classes < SPARSE_CLASSES_MAX ? j->classes : SPARSE_CLASSES_MAX;
    j->K        = most < 100 ? most : 100;
    j->n_epochs = same ? 1 : j->train.epochs;      /* without augmentation all epochs are alike */
    if ((top != NULL && !option_count("top", top, 1, most, &j->K, err)) || (epochs != NULL && !option_count("epochs", epochs, 1, 100000, &j->n_epochs, err)))
        return false;
    j->order       = malloc((size_t)j->images->n_images * sizeof *j->order + 1);
    j->probability = malloc((size_t)j->classes * sizeof *j->probability);
    if (j->order == NULL || j->probability == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %lld images", (long long)j->images->n_images);
    return loader_create(&j->loader, j->images, &j->loading, err) && tape_create(&j->tape, runtime_backend(), err);
}

static bool add_image(Job *j, SparseWriter *w, const Real *logits, int64_t id, int label, Error *err) {
    double max = -INFINITY, sum = 0;
    for (int c = 0; c < j->classes; c++) max = fmax(max, (double)logits[c]);
    for (int c = 0; c < j->classes; c++) sum += j->probability[c] = exp((double)logits[c] - max);
    if (!isfinite(sum)) return FAIL_STATUS(err, EXIT_CELLS, "", "the teacher's logits of image %lld are not finite", (long long)order_image(id));
    for (int c = 0; c < j->classes; c++) j->probability[c] /= sum;
    j->n_right += label >= 0 && logits_best(logits, j->classes) == label;
    return sparse_writer_add(w, id, j->train.seed, j->probability, j->classes, err);
}

static bool write_epoch(Job *j, int64_t epoch, const char *dir, Error *err) {
    SparseWriter *w  = NULL;
    bool          ok = false;
    augment_epoch_order(&j->augment, epoch, j->images->n_images, j->order);
    if (!sparse_writer_open(&w, dir, j->K, epoch, err) || !loader_start(j->loader, j->order, j->images->n_images, epoch, err)) goto done;
    for (;;) {
        const LoaderBatch *batch;
        if (interrupted(err) || !loader_next(j->loader, &batch, err)) goto done;
        if (batch == NULL) break;
        ModelOutput y;
        tape_begin(j->tape, false, (TapeStep){0});
        j->teacher->kind->forward(j->teacher->self, j->tape,
                                  &(ModelInput){.images = batch_tensor(j->tape, batch->images, batch->n_images, j->channels, j->height, j->width),
                                                .image_id = batch->ids}, &y);
        if (tape_failed(j->tape)) {
            FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory at batch size %d", batch->n_images);
            goto done;
        }
        for (int b = 0; b < batch->n_images; b++)
            if (!add_image(j, w, y.logits->data + (int64_t)b * j->classes, batch->ids[b], batch->labels[b], err)) goto done;
        j->n_done += batch->n_images;
        progress_show(&j->progress, j->n_done, false, "");
    }
    ok = sparse_writer_commit(w, err);
done:
    sparse_writer_close(w);
    return ok;
}

static bool print_json(const Job *j, const char *dir, Error *err) {
    JsonSink root;
    json_t  *tree = NULL;
    json_sink_begin(&root);
    json_put_text(&root, "schema", "morbench.labels/1");
    json_put_text(&root, "data", j->images->name);
    json_put_count(&root, "images_count", j->images->n_images);
    json_put_count(&root, "epochs_count", j->n_epochs);
    json_put_count(&root, "stored_classes_count", j->K);
    json_put_count(&root, "classes_count", j->classes);
    if (j->images->n_classes > 0) json_put_number(&root, "teacher_top1_ratio", (double)j->n_right / (double)j->n_done);
    else                          json_put_missing(&root, "teacher_top1_ratio", "not_supported");
    json_put_text(&root, "output", dir);
    const bool ok = json_sink_finish(&root, &tree, err) && json_print(tree, err);
    json_decref(tree);
    return ok;
}

int cmd_labels(int argc, char **argv, Error *err) {
    ModelChoice teacher = {0};
    const char *out = NULL, *top = NULL, *epochs = NULL;
    bool        quiet = false, json = false;
    const Option options[] = {
        {.name = "preset", .value = "NAME", .help = "the teacher by name", .text = &teacher.preset},
        {.name = "config", .value = "MODEL.json", .help = "the teacher by its settings", .text = &teacher.config},
        {.name = "weights", .value = "FILE", .help = "the teacher's weights", .text = &teacher.weights, .required = true},
        {.name = "out", .value = "DIR", .help = "receives logits_top{K}_epoch{e}/", .text = &out, .required = true},
        {.name = "top", .value = "K", .help = "likeliest classes stored, default 100 or all", .text = &top},
        {.name = "epochs", .value = "N", .help = "default train.epochs, or 1 where nothing is augmented", .text = &epochs},
        {.name = "json", .help = "say what was stored as JSON", .flag = &json},
        {.name = "quiet", .help = "no progress", .flag = &quiet},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"labels", "TRAIN.json [key=value ...]",
        "Stores what a teacher says of each training image, for train.sparse_labels=DIR. Data, augmentation and seed are those of the\n"
        "training file, which the student then trains by.", options, 1, 256}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    Job *j  = calloc(1, sizeof *j);
    bool ok = false;
    if (j == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory"), EXIT_MACHINE;
    interrupt_catch();
    if (!runtime_begin(err) || !read_settings(j, argv[first], argc - first - 1, argv + first + 1, err) || !prepare(j, &teacher, top, epochs, err))
        goto done;
    tape_set_stop(j->tape, interrupt_raised);
    progress_begin(&j->progress, "labels", 0, j->n_epochs * j->images->n_images, quiet);
    ok = true;
    for (int64_t e = 0; ok && e < j->n_epochs; e++) ok = write_epoch(j, e, out, err);
    progress_end(&j->progress);
    if (ok && json) ok = print_json(j, out, err);
    else if (ok && j->images->n_classes > 0)
        printf("%d epochs of %lld images (%s), top %d of %d classes: %s; the teacher is right on %.2f %%\n", j->n_epochs, (long long)j->images->n_images,
               j->images->name, j->K, j->classes, out, 100.0 * (double)j->n_right / (double)j->n_done);
    else if (ok)
        printf("%d epochs of %lld images (%s), top %d of %d classes: %s\n", j->n_epochs, (long long)j->images->n_images, j->images->name, j->K,
               j->classes, out);
done:
    job_free(j);
    return ok ? EXIT_OK : err->exit_status;
}
