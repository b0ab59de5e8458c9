/* morbench train: trains a model from a configuration; resumes what lies in the output directory.
 *
 * Writes DIR/weights.safetensors and DIR/run.json at the end, checkpoints on the way. The weights are those of the last
 * step, or their running average, as train.report says beforehand: nothing is chosen on test or held-out images. */
#include "engine/clock.h"
#include "engine/digest.h"
#include "engine/file.h"
#include "harness/commands.h"
#include "harness/config.h"
#include "harness/data/sparse_labels.h"
#include "harness/interrupt.h"
#include "harness/options.h"
#include "harness/session.h"
#include "harness/train/start_weights.h"
#include "harness/train/train.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Job {
    Config        config;
    DataSettings  data;
    TrainSettings train;
    Model        *model;
    Dataset      *train_data, *test_data, *held_out;            /* held_out NULL: none */
    int64_t       test_shared, held_out_shared;                 /* images trained on as well; -1: not counted */
    Teacher      *teacher;                                      /* NULL: none */
    Tape         *tape;
    json_t       *settings;
    Result       *result;
    TrainRun      run;
    Evaluation    evaluation;
    DepthRecord  *depths;
    DepthRelation *relation;
    StartingWeights starting;
    char          teacher_sha256[65];
    int           lock;
} Job;

static void job_free(Job *j) {
    train_run_free(&j->run);
    result_destroy(j->result);
    depth_record_destroy(j->depths);
    depth_relation_destroy(j->relation);
    json_decref(j->settings);
    json_decref(j->starting.source);
    tape_destroy(j->tape);
    dataset_close(j->train_data);
    dataset_close(j->test_data);
    dataset_close(j->held_out);
    teacher_destroy(j->teacher);
    model_destroy(j->model);
    config_release(&j->config);
    if (j->lock >= 0) close(j->lock);
    free(j);
}

/* The keys of fields that have their fallbacks; only: of these. A setting that came with a later version leaves the digests of earlier runs alone. */
static void drop_fallbacks(json_t *block, const Field *fields, const void *self, const char *const only[]) {
    for (const Field *f = fields; f->key != NULL; f++)
        if ((only == NULL || config_is_one_of(only, f->key)) && field_is_fallback(f, self)) json_object_del(block, f->key);
}

/* Settings, data, starting weights and machine decide the numbers; a checkpoint is only resumed under the same. Threads are among them, since
 * the order of sums depends on their number. How often is saved or shown is not. */
static bool settings_digest(Job *j, Error *err) {
    static const char *const later[] = {"held_out", "held_out_seed", "classes", NULL};
    json_t *copy = json_deep_copy(j->settings), *train = json_object_get(copy, "train");
    json_object_del(train, "checkpoint_s");
    json_object_del(train, "loader_threads");
    drop_fallbacks(train, train_fields, &j->train, NULL);
    drop_fallbacks(json_object_get(copy, "data"), data_fields, &j->data, later);
    char *text = copy != NULL ? json_canonical_text(copy) : NULL, digest[SHA256_TEXT_SIZE], all[512];
    bool  ok   = text != NULL ? digest_sha256(text, strlen(text), digest, err) : FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    if (ok) {
        snprintf(all, sizeof all, "%s %s %s %s %d%s%s", digest, j->train_data->digest, j->test_data->digest, runtime_backend()->name,
                 runtime_threads(), j->starting.sha256[0] != '\0' ? " " : "", j->starting.sha256);
        ok = digest_sha256(all, strlen(all), digest, err);
    }
    if (ok) snprintf(j->run.config_digest, sizeof j->run.config_digest, "%.16s", digest);
    free(text);
    json_decref(copy);
    return ok;
}

/* A distilled pair learns from a teacher's answers; training it on labels alone would be something else under its name. */
static bool check_distilled(const Model *m, const TrainSettings *s, Error *err) {
    const Field *f = field_find(m->kind->fields, "distilled");
    if (f == NULL || field_number(f, m->self) == 0 || s->distill != DISTILL_NONE) return true;
    return FAIL(err, "/model/distilled", "is a pair whose second head learns from a teacher: give train.teacher, train.teacher_weights and "
                "train.distill (soft or hard)");
}

/* Training the base of many cells would silently leave out the rest. */
static bool check_single(const Config *c, Error *err) {
    char        where[32];
    const char *block = config_is_sweep(c);
    if (block == NULL) return true;
    snprintf(where, sizeof where, "/%s", block);
    return FAIL(err, where, "makes this an experiment of many cells: `morbench run` runs it");
}

/* What another model is, in place of the files it was read from: {"model": settings, "weights_sha256": ...}. Takes model. */
static void put_other_model(json_t *train, const char *key, const char *path_key, json_t *model, const char *sha256) {
    json_t *other = json_object();
    json_object_set_new(other, "model", model);
    json_object_set_new(other, "weights_sha256", json_string(sha256));
    json_object_set_new(train, key, other);
    json_object_del(train, path_key);
}

/* What stored labels are, in place of their path. */
static bool put_labels(Job *j, Error *err) {
    json_t *train = json_object_get(j->settings, "train");
    char    sha256[SHA256_TEXT_SIZE];
    if (j->train.sparse_labels[0] == '\0') return true;
    if (!sparse_labels_digest(j->train.sparse_labels, sha256, err)) return false;
    json_object_del(train, "sparse_labels");
    json_object_set_new(train, "sparse_labels_sha256", json_string(sha256));
    return true;
}

static bool open_data(Job *j, Error *err) {
    DataSettings *d = &j->data;
    int channels, height, width, classes;
    j->model->kind->image_shape(j->model->self, &channels, &height, &width, &classes);
    if (d->image_size == 0 && strcmp(d->preprocess, "none") != 0) d->image_size = height;
    const DatasetOptions train = data_settings_options(d, true), test = data_settings_options(d, false), held_out = data_settings_held_out(d);
    if (!dataset_open(&j->train_data, &train, err) || !dataset_open(&j->test_data, &test, err)
        || (d->held_out > 0 && !dataset_open(&j->held_out, &held_out, err)))
        return false;
    for (Dataset *const *set = (Dataset *[]){j->train_data, j->test_data, NULL}; *set != NULL; set++)
        if ((*set)->digest[0] == '\0' && !dataset_digest(*set, (*set)->digest, err)) return false;
    if (j->held_out != NULL) memcpy(j->held_out->digest, j->train_data->digest, sizeof j->held_out->digest);
    return true;
}

/* Noise shares nothing; of data with pixels or files it is counted. */
static bool count_shared(Job *j, Error *err) {
    j->test_shared = j->held_out_shared = -1;
    if (j->train_data->synthetic || j->test_data->synthetic) return true;
    return dataset_count_shared(j->train_data, j->test_data, &j->test_shared, err)
        && (j->held_out == NULL || dataset_count_shared(j->train_data, j->held_out, &j->held_out_shared, err));
}

static bool prepare(Job *j, const char *path, int n_overrides, char **override, const char *weights, Error *err) {
    if (!config_load(&j->config, path, n_overrides, override, err) || !check_single(&j->config, err) || !config_data(&j->config, &j->data, err)
        || !config_train(&j->config, &j->train, err) || !config_model(&j->config, &j->model, err)
        || !check_distilled(j->model, &j->train, err) || !data_settings_check(&j->data, err))
        return error_in(err, path);
    if (!open_data(j, err)) return false;
    j->settings = settings_to_json(&j->data, j->model, &j->train);
    if (j->settings == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    if (!start_weights(j->model, &j->train, weights, &j->starting, err)) return false;
    if (j->starting.source != NULL)
        put_other_model(json_object_get(j->settings, "train"), "init_from", "init_from_weights", json_incref(j->starting.source), j->starting.sha256);
    if (train_has_teacher(&j->train)) {
        if (!teacher_create(&j->teacher, &j->train, runtime_backend(), j->teacher_sha256, err)) return false;
        put_other_model(json_object_get(j->settings, "train"), "teacher", "teacher_weights", model_to_json(teacher_model(j->teacher)),
                        j->teacher_sha256);
    }
    if (!put_labels(j, err) || !settings_digest(j, err)) return false;
    if (json_object_set_new(j->settings, "backend", json_string(runtime_backend()->name)) != 0) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
    return count_shared(j, err) && tape_create(&j->tape, runtime_backend(), err);
}

static void put_curve(Job *j) {
    _Static_assert((int)TRAIN_PARTS_MAX <= (int)RESULT_PARTS_MAX, "every part of a loss finds room in a result");
    for (int i = 0; i < j->run.n_points; i++) {
        const TrainPoint *p = &j->run.point[i];
        ResultPoint out = {
            .epoch = p->epoch, .step = p->step, .train_loss = p->train_loss, .train_top1_ratio = p->train_top1_ratio, .tested = p->tested,
            .held_out = j->held_out != NULL, .test_loss = p->test_loss, .test_top1_ratio = p->test_top1_ratio, .learning_rate = p->lr,
            .elapsed_ns = p->elapsed_ns, .grad_norm = p->grad_norm, .images_per_s = p->images_per_s, .macs_count = p->macs_count,
            .peak_bytes = p->peak_bytes, .n_parts = p->parts.n};
        for (int k = 0; k < p->parts.n; k++) {
            out.part_name[k]  = p->parts.name[k];
            out.part_value[k] = p->parts.value[k];
        }
        result_add_point(j->result, &out);
    }
}

static bool write_result(Job *j, const char *dir, Error *err) {
    const Evaluation *e = &j->evaluation;
    const TrainRun   *r = &j->run;
    Result           *out = j->result;
    char path[4400], sha256[65];
    snprintf(path, sizeof path, "%s/weights.safetensors", dir);
    if (!model_save(j->model, path, sha256, err)) return false;
    result_set_trained_weights(out, sha256);
    put_curve(j);
    for (int i = 0; i < 3; i++) result_warn_damaged(out, (const Dataset *[]){j->train_data, j->test_data, j->held_out}[i]);
    result_set_accuracy(out, &(ResultAccuracy){e->images_count, e->top1_count, j->test_data->n_classes > 5 ? e->top5_count : -1, e->loss});
    json_put_text(result_block(out, "accuracy"), "predictions_sha256", e->predictions_sha256);
    witness_put(&e->witness, result_block(out, "accuracy"));
    result_set_depth(out, e->depth_histogram, e->max_depth, e->images_count, e->n_tokens);
    JsonSink *depths = result_block(out, "depth_histogram");
    if (!depth_record_put(j->depths, depths, err) || !depth_relation_put(j->relation, depths, err)) return false;
    result_set_macs_of_images(out, e->macs_executed, e->macs_counted, e->images_count, e->macs_min, e->macs_max);
    result_set_elementwise_executed(out, (double)e->elementwise_executed / (double)e->images_count);
    if (strstr(j->starting.warning, "resampled from") != NULL) result_warn_detail(out, WARN_resampled_weights, "%s", j->starting.warning);   /* a new head is trained here */
    if (r->resumed_count > 0) result_warn_detail(out, WARN_resumed, "%d times", r->resumed_count);
    if (j->data.limit > 0 || j->data.test_limit > 0) result_warn(out, WARN_data_limited);
    const int64_t step_images = (int64_t)j->train.batch_size * j->train.accumulate;
    double        trained_ns  = 0;
    for (int i = 0; i < r->n_points; i++) {
        const int64_t steps = r->point[i].step - (i > 0 ? r->point[i - 1].step : 0);
        trained_ns += (double)(steps * step_images) / r->point[i].images_per_s * 1e9;
    }
    JsonSink *metrics = result_block(out, "metrics");
    json_put_count (metrics, "batch_size_count", step_images);
    json_put_count (metrics, "epochs_count", r->epoch);
    json_put_count (metrics, "steps_count", r->step);
    json_put_number(metrics, "train_elapsed_ns", trained_ns);
    json_put_number(metrics, "train_images_per_s", (double)(r->step * step_images) / (trained_ns / 1e9));
    json_put_count (metrics, "train_step_macs_count", r->macs_per_step);
    json_put_count (metrics, "peak_activation_bytes", (int64_t)r->peak_activation_bytes);
    json_put_count (metrics, "peak_resident_bytes", session_peak_resident_bytes());
    json_put_count (metrics, "weights_bytes", params_bytes(j->model->params));
    return result_write(out, dir, err);
}

/* A run whose loss was not finite: run.json says so beside the checkpoints, which are kept. */
static void write_failure(Job *j, const char *dir, const Error *why) {
    Error unwritten = {0};
    put_curve(j);
    result_warn_detail(j->result, WARN_loss_not_finite, "step %lld of %lld", (long long)j->run.step, (long long)j->run.n_steps);
    result_set_status(j->result, "failed", why);
    if (!result_write(j->result, dir, &unwritten)) fprintf(stderr, "morbench: warning: %s/run.json could not be written: %s\n", dir, unwritten.message);
}

/* The result of a run that was finished before. */
static bool print_file(const char *dir, Error *err) {
    char   path[4400];
    void  *text;
    size_t n;
    snprintf(path, sizeof path, "%s/run.json", dir);
    if (!file_read_all(path, SIZE_MAX, &text, &n, err)) return false;
    const bool ok = fwrite(text, 1, n, stdout) == n;
    free(text);
    return ok || FAIL_STATUS(err, EXIT_IO, "", "cannot write to standard output");
}

int cmd_train(int argc, char **argv, Error *err) {
    const char *out_dir = NULL, *weights = NULL;
    bool        quiet = false, json = false, done = false;
    const Option options[] = {
        {.name = "out", .value = "DIR", .help = "where results and checkpoints go; default results/NAME of the configuration", .text = &out_dir},
        {.name = "weights", .value = "FILE", .help = "start from these weights; a classifier of another size stays new", .text = &weights},
        {.name = "json", .help = "print the result as JSON at the end", .flag = &json},
        {.name = "quiet", .help = "no progress", .flag = &quiet},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"train", "CONFIG.json [key=value ...]",
        "Trains a model as the file says; key=value overrides it (train.epochs=2). Resumes what lies in DIR.", options, 1, 256}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    char        named[512];
    const char *path = argv[first];
    if (out_dir == NULL) {
        const char *slash = strrchr(path, '/'), *base = slash != NULL ? slash + 1 : path, *dot = strrchr(base, '.');
        snprintf(named, sizeof named, "results/%.*s", dot != NULL ? (int)(dot - base) : (int)strlen(base), base);
        out_dir = named;
    }
    int  status = EXIT_BAD_INPUT;
    Job *j      = calloc(1, sizeof *j);
    if (j == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory"), EXIT_MACHINE;
    j->lock = -1;
    interrupt_catch();
    if (!depth_record_create(&j->depths, err) || !depth_relation_create(&j->relation, err) || !runtime_begin(err) || !prepare(j, path, argc - first - 1, argv + first + 1, weights, err)
        || !session_result(&j->result, "train", j->settings, false, argc, argv, err)
        || !result_set_model(j->result, j->model, j->starting.sha256, err)
        || !result_set_data(j->result, j->train_data, err) || !result_set_test_data(j->result, j->test_data, err))
        goto done;
    result_set_division(j->result, j->held_out, j->test_shared, j->held_out_shared);
    if (!result_is_done(j->result, out_dir, &done, err)) goto done;
    if (done) {
        train_forget(out_dir);
        if (json) {
            if (!print_file(out_dir, err)) goto done;
        } else {
            printf("%s/run.json is finished; nothing to do\n", out_dir);
        }
        status = EXIT_OK;
        goto done;
    }
    if (!train_lock(out_dir, &j->lock, err)) goto done;
    const TrainSources from = {j->train_data, j->held_out != NULL ? j->held_out : j->test_data, j->held_out != NULL, j->teacher};
    bool trained = train_run(j->model, j->tape, &from, &j->train, out_dir, quiet, &j->run, err);
    if (trained) {
        train_take_reported(j->model, &j->train);
        trained = evaluate(j->model, j->tape, j->test_data, &(EvaluateOptions){j->train.eval_batch_size, j->train.loader_threads, quiet, j->depths, j->relation}, &j->evaluation, err)
               && write_result(j, out_dir, err);
    }
    if (!trained) {
        if (err->exit_status == EXIT_CELLS) write_failure(j, out_dir, err);
        goto done;
    }
    train_forget(out_dir);
    if (json) {
        if (!result_print(j->result, err)) goto done;
    } else {
        printf("top-1 %.2f %% of %lld test images (%s) after %lld epochs; %s/weights.safetensors, %s/run.json\n",
               100.0 * (double)j->evaluation.top1_count / (double)j->evaluation.images_count, (long long)j->evaluation.images_count,
               j->test_data->name, (long long)j->run.epoch, out_dir, out_dir);
    }
    status = EXIT_OK;
done:
    job_free(j);
    return status;
}
