/* morbench eval: accuracy of weights on a data set, once through every image. */
#include "engine/file.h"
#include "engine/json.h"
#include "harness/commands.h"
#include "harness/config.h"
#include "harness/interrupt.h"
#include "harness/measure/evaluate.h"
#include "harness/options.h"
#include "harness/report/depth_maps.h"
#include "harness/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool experiment_json(const Model *m, const Dataset *d, int batch, bool other_recursions, json_t **out, Error *err) {
    JsonSink root, model;
    json_sink_begin(&root);
    json_put_text(&root, "model_kind", m->kind->name);
    json_put_text(&root, "preset", m->preset);
    json_put_object(&root, "model", &model);
    result_put_settings(&model, m->kind->fields, m->self);
    json_put_text(&root, "data", d->name);
    json_put_text(&root, "split", d->split);
    json_put_text(&root, "preprocess", d->preprocess_text);
    json_put_count(&root, "images_count", d->n_images);
    if (d->classes[0] != '\0') json_put_text(&root, "classes", d->classes);
    json_put_count(&root, "batch_size_count", batch);
    json_put_text(&root, "backend", runtime_backend()->name);
    if (other_recursions) json_put_bool(&root, "other_recursions", true);
    return json_sink_finish(&root, out, err);
}

/* The data named on the command line, else those of the configuration that the model is of. */
static bool open_data(const ModelChoice *model, const DataChoice *data, const Model *m, Dataset **out, Error *err) {
    if (data->name_or_dir != NULL) return session_data(out, data, m, err);
    if (model->config != NULL && !session_config_data(out, model->config, data, m, err)) return false;
    return *out != NULL || FAIL(err, "--data", "must be given: NAME|DIR, a data set or an image folder; or --config of a file with a block data");
}

static void print(const Model *m, const Dataset *d, const Evaluation *e) {
    printf("%-22s %s\n", "model", m->preset[0] != '\0' ? m->preset : m->kind->name);
    printf("%-22s %s, %s, %lld images\n", "data", d->name, d->split, (long long)e->images_count);
    printf("%-22s %.2f %%  (%lld right)\n", "top-1", 100.0 * (double)e->top1_count / (double)e->images_count, (long long)e->top1_count);
    if (d->n_classes > 5) printf("%-22s %.2f %%\n", "top-5", 100.0 * (double)e->top5_count / (double)e->images_count);
    printf("%-22s %.4f\n", "loss", e->loss);
    printf("%-22s %.3f MMAC executed an image\n", "cost", (double)e->macs_executed / (double)e->images_count / 1e6);
    printf("%-22s %.0f images/s, loading included\n", "speed", (double)e->images_count / ((double)e->elapsed_ns / 1e9));
    printf("%-22s", "depth histogram");
    int64_t tokens = 0;
    for (int k = 0; k <= e->max_depth; k++) tokens += e->depth_histogram[k];
    for (int k = 0; k <= e->max_depth; k++)
        if (e->depth_histogram[k] > 0) printf(" %d: %.1f %%", k, 100.0 * (double)e->depth_histogram[k] / (double)tokens);
    printf(" of tokens took that many blocks\n");
}

/* Of a model whose images all take the same work, the deepest and shallowest are just the first. */
static bool equal_depths(const DepthRecord *depths) {
    for (int64_t i = 1; i < depth_record_images(depths); i++)
        if (depth_record_image_depth(depths, i) != depth_record_image_depth(depths, 0)) return false;
    return true;
}

typedef struct MapChoice {
    const char *dir, *images_text;
    int64_t    *images;
    int         n;
} MapChoice;

/* Told before the work, not after. */
static bool maps_check(MapChoice *c, int64_t n_images, Error *err) {
    if (c->dir == NULL) return c->images_text == NULL || FAIL(err, "--images", "needs --depth-maps DIR to write their maps to");
    return image_can_write(err) && depth_maps_parse(c->images_text, n_images, &c->images, &c->n, err) && file_make_output_dir(c->dir, err);
}

static void maps_print(const MapChoice *c, const DepthRecord *depths) {
    if (c->dir == NULL) return;
    printf("%-22s %s/extremes.png", "depth maps", c->dir);
    for (int i = 0; i < c->n && i < 3; i++) printf(", image-%lld.png", (long long)c->images[i]);
    printf("%s\n", c->n > 3 ? ", ..." : "");
    if (equal_depths(depths)) printf("%-22s all images have one mean depth: extremes.png shows the first ones\n", "");
}

typedef struct Eval {
    ModelChoice    choice;
    DataChoice     data_choice;
    MapChoice      maps;
    const char    *out_dir, *batch_text, *limit_text, *depths_path;
    bool           json, quiet;
    int            batch;
    Model         *model;
    Dataset       *data;
    Tape          *tape;
    Result        *result;
    json_t        *experiment;
    DepthRecord   *depths;
    DepthRelation *relation;
    char           sha256[65], warning[512];
    Evaluation     found;
} Eval;

static void eval_free(Eval *v) {
    if (v == NULL) return;
    result_destroy(v->result);
    json_decref(v->experiment);
    tape_destroy(v->tape);
    dataset_close(v->data);
    model_destroy(v->model);
    depth_record_destroy(v->depths);
    depth_relation_destroy(v->relation);
    free(v->maps.images);
    free(v);
}

/* Told before the work, not after it. */
static bool depths_check(const char *path, Error *err) {
    struct stat there;
    char        dir[4096];
    if (path == NULL) return true;
    const char *slash = strrchr(path, '/');
    snprintf(dir, sizeof dir, "%.*s", slash == NULL ? 1 : slash == path ? 1 : (int)(slash - path), slash == NULL ? "." : path);
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) return FAIL(err, "--depths", "%.200s is there and is no regular file", path);
    return file_make_output_dir(dir, err);
}

static bool set_up(Eval *v, int argc, char **argv, Error *err) {
    bool done;
    v->batch = 100;
    if (!depth_record_create(&v->depths, err) || !depth_relation_create(&v->relation, err)) return false;
    if (v->depths_path != NULL || v->maps.dir != NULL) depth_record_keep(v->depths);
    return (v->batch_text == NULL || option_count("batch", v->batch_text, 1, 65536, &v->batch, err))
        && (v->limit_text == NULL || option_count("limit", v->limit_text, 1, 1 << 30, &v->data_choice.limit, err))
        && runtime_begin(err) && session_model(&v->model, &v->choice, v->sha256, v->warning, err)
        && open_data(&v->choice, &v->data_choice, v->model, &v->data, err) && maps_check(&v->maps, v->data->n_images, err) && depths_check(v->depths_path, err)
        && tape_create(&v->tape, runtime_backend(), err) && experiment_json(v->model, v->data, v->batch, v->choice.other_recursions, &v->experiment, err)
        && session_result(&v->result, "eval", v->experiment, false, argc, argv, err) && result_set_model(v->result, v->model, v->sha256, err)
        && result_set_data(v->result, v->data, err)
        && (v->out_dir == NULL || (file_make_output_dir(v->out_dir, err) && result_is_done(v->result, v->out_dir, &done, err)));
}

static bool fill_result(const Eval *v, Error *err) {
    const Evaluation *e = &v->found;
    Result           *r = v->result;
    session_warn_loading(r, v->warning);
    result_warn_damaged(r, v->data);
    if (v->data->n_images < v->data->n_images_split) result_warn(r, WARN_data_limited);
    result_set_accuracy(r, &(ResultAccuracy){e->images_count, e->top1_count, v->data->n_classes > 5 ? e->top5_count : -1, e->loss});
    result_set_depth(r, e->depth_histogram, e->max_depth, e->images_count, e->n_tokens);
    if (!depth_record_put(v->depths, result_block(r, "depth_histogram"), err) || !depth_relation_put(v->relation, result_block(r, "depth_histogram"), err)) return false;
    result_set_macs_of_images(r, e->macs_executed, e->macs_counted, e->images_count, e->macs_min, e->macs_max);
    result_set_elementwise_executed(r, (double)e->elementwise_executed / (double)e->images_count);
    result_set_profile(r, tape_profile(v->tape), (e->images_count + v->batch - 1) / v->batch, e->images_count);
    JsonSink *metrics = result_block(r, "metrics");
    json_put_count(metrics, "batch_size_count", v->batch);
    json_put_count(metrics, "peak_activation_bytes", (int64_t)e->peak_activation_bytes);
    json_put_count(metrics, "peak_resident_bytes", session_peak_resident_bytes());
    json_put_count(metrics, "weights_bytes", params_bytes(v->model->params));
    json_put_text(result_block(r, "accuracy"), "predictions_sha256", e->predictions_sha256);
    witness_put(&e->witness, result_block(r, "accuracy"));
    return true;
}

/* Everything asked for, run.json first. What cannot be written leaves the rest; the first such is told. */
static bool write_all(const Eval *v, Error *err) {
    Error wrong[3] = {0};
    if (v->out_dir != NULL) result_write(v->result, v->out_dir, &wrong[0]);
    if (v->depths_path != NULL) depth_record_save(v->depths, v->depths_path, &wrong[1]);
    if (v->maps.dir != NULL) depth_maps_write(v->data, v->depths, v->maps.dir, v->maps.images, v->maps.n, &wrong[2]);
    for (int i = 0; i < 3; i++)
        if (wrong[i].message[0] != '\0') {
            *err = wrong[i];
            return false;
        }
    return true;
}

static bool tell(const Eval *v, Error *err) {
    if (v->json) return result_print(v->result, err);
    print(v->model, v->data, &v->found);
    if (!depth_relation_print(v->relation, err)) return false;
    maps_print(&v->maps, v->depths);
    return true;
}

int cmd_eval(int argc, char **argv, Error *err) {
    Eval *v = calloc(1, sizeof *v);
    if (v == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory"), EXIT_MACHINE;
    v->choice.seed = 1;
    const Option options[] = {
        {.name = "preset", .value = "NAME", .help = "model by name (`morbench list models`)", .text = &v->choice.preset},
        {.name = "config", .value = "MODEL.json", .help = "model by its settings", .text = &v->choice.config},
        {.name = "weights", .value = "FILE", .help = "safetensors", .text = &v->choice.weights, .required = true},
        {.name = "data", .value = "NAME|DIR", .help = "data set or image folder; default: the block data of --config", .text = &v->data_choice.name_or_dir},
        {.name = "split", .value = "train|test", .help = "default test", .text = &v->data_choice.split},
        {.name = "preprocess", .value = "PRESET", .help = "default: deit for folders, none for named sets", .text = &v->data_choice.preprocess},
        {.name = "batch", .value = "N", .help = "images at once, default 100", .text = &v->batch_text},
        {.name = "limit", .value = "N", .help = "only N images, evenly spread", .text = &v->limit_text},
        {.name = "classes", .value = "LIST", .help = "only images of these classes, 0-4,7, numbered anew (data.classes of a training)", .text = &v->data_choice.classes},
        {.name = "out", .value = "DIR", .help = "write DIR/run.json", .text = &v->out_dir},
        {.name = "depths", .value = "FILE", .help = "write the depth of every token, and the histogram, of every image (safetensors)", .text = &v->depths_path},
        {.name = "depth-maps", .value = "DIR", .help = "draw depth over images: DIR/extremes.png, the 8 deepest and 8 shallowest", .text = &v->maps.dir},
        {.name = "images", .value = "N,N,...", .help = "with --depth-maps: and DIR/image-N.png of these, counted from 0", .text = &v->maps.images_text},
        {.name = "other-recursions", .help = "the weights are of another number of recursions: further ones route as the last trained one", .flag = &v->choice.other_recursions},
        {.name = "json", .help = "print the result as JSON instead of a table", .flag = &v->json},
        {.name = "quiet", .help = "no progress", .flag = &v->quiet},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"eval", "", "Measures the accuracy of weights on a data set.", options, 0, 0}, err);
    bool      ok    = first == 0;
    if (first > 0) {
        interrupt_catch();
        ok = set_up(v, argc, argv, err)
          && evaluate(v->model, v->tape, v->data, &(EvaluateOptions){v->batch, 1, v->quiet, v->depths, v->relation}, &v->found, err) && fill_result(v, err);
        if (ok) {
            Error      unwritten = {0};
            const bool written   = write_all(v, &unwritten);
            ok = tell(v, err);
            if (ok && written && v->out_dir != NULL && !v->json) printf("%-22s %s/run.json\n", "written", v->out_dir);
            if (ok && !written) *err = unwritten;
            ok = ok && written;
        }
    }
    eval_free(v);
    return ok ? EXIT_OK : err->exit_status != EXIT_OK ? err->exit_status : EXIT_BAD_INPUT;
}
