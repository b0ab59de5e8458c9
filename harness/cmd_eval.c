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
    Config       config = {0};
    DataSettings settings;
    int          channels, height, width, classes;
    if (data->name_or_dir != NULL) return session_data(out, data, m, err);
    if (model->config == NULL || !config_load(&config, model->config, 0, NULL, err) || config_block(&config, "data") == NULL) {
        config_release(&config);
        return FAIL(err, "--data", "must be given: NAME|DIR, a data set or an image folder; or --config of a file with a block data");
    }
    bool ok = config_data(&config, &settings, err);
    config_release(&config);
    if (!ok) return false;
    m->kind->image_shape(m->self, &channels, &height, &width, &classes);
    DatasetOptions options = data_settings_options(&settings, false);
    if (options.image_size == 0 && strcmp(settings.preprocess, "none") != 0) options.image_size = height;
    if (data->limit > 0) options.limit = data->limit;
    return dataset_open(out, &options, err);
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

int cmd_eval(int argc, char **argv, Error *err) {
    ModelChoice choice = {.seed = 1};
    DataChoice  data   = {0};
    const char *out_dir = NULL, *batch_text = NULL, *limit_text = NULL, *depths_path = NULL;
    MapChoice   maps = {0};
    bool        json = false, quiet = false, done;
    const Option options[] = {
        {.name = "preset", .value = "NAME", .help = "model by name (`morbench list models`)", .text = &choice.preset},
        {.name = "config", .value = "MODEL.json", .help = "model by its settings", .text = &choice.config},
        {.name = "weights", .value = "FILE", .help = "safetensors", .text = &choice.weights, .required = true},
        {.name = "data", .value = "NAME|DIR", .help = "data set or image folder; default: the block data of --config", .text = &data.name_or_dir},
        {.name = "split", .value = "train|test", .help = "default test", .text = &data.split},
        {.name = "preprocess", .value = "PRESET", .help = "default: deit for folders, none for named sets", .text = &data.preprocess},
        {.name = "batch", .value = "N", .help = "images at once, default 100", .text = &batch_text},
        {.name = "limit", .value = "N", .help = "only N images, evenly spread", .text = &limit_text},
        {.name = "classes", .value = "LIST", .help = "only images of these classes, 0-4,7, numbered anew (data.classes of a training)", .text = &data.classes},
        {.name = "out", .value = "DIR", .help = "write DIR/run.json", .text = &out_dir},
        {.name = "depths", .value = "FILE", .help = "write the depth of every token, and the histogram, of every image (safetensors)", .text = &depths_path},
        {.name = "depth-maps", .value = "DIR", .help = "draw depth over images: DIR/extremes.png, the 8 deepest and 8 shallowest", .text = &maps.dir},
        {.name = "images", .value = "N,N,...", .help = "with --depth-maps: and DIR/image-N.png of these, counted from 0", .text = &maps.images_text},
        {.name = "other-recursions", .help = "the weights are of another number of recursions: further ones route as the last trained one", .flag = &choice.other_recursions},
        {.name = "json", .help = "print the result as JSON instead of a table", .flag = &json},
        {.name = "quiet", .help = "no progress", .flag = &quiet},
        OPTIONS_END,
    };
    const int first = options_parse(argc, argv, &(Usage){"eval", "", "Measures the accuracy of weights on a data set.", options, 0, 0}, err);
    if (first <= 0) return first == 0 ? EXIT_OK : EXIT_BAD_INPUT;
    int         batch = 100, status = EXIT_BAD_INPUT;
    Model      *m = NULL;
    Dataset    *d = NULL;
    Tape       *tape = NULL;
    Result     *r = NULL;
    json_t     *experiment = NULL;
    char        sha256[65], warning[512];
    DepthRecord   *depths = NULL;
    DepthRelation *relation = NULL;
    Evaluation *e = malloc(sizeof *e);
    if (e == NULL) {
        FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory");
        goto done;
    }
    interrupt_catch();
    if (!depth_record_create(&depths, err) || !depth_relation_create(&relation, err)) goto done;
    if (depths_path != NULL || maps.dir != NULL) depth_record_keep(depths);
    if ((batch_text != NULL && !option_count("batch", batch_text, 1, 65536, &batch, err))
        || (limit_text != NULL && !option_count("limit", limit_text, 1, 1 << 30, &data.limit, err))
        || !runtime_begin(err) || !session_model(&m, &choice, sha256, warning, err) || !open_data(&choice, &data, m, &d, err)
        || !maps_check(&maps, d->n_images, err) || !tape_create(&tape, runtime_backend(), err)
        || !experiment_json(m, d, batch, choice.other_recursions, &experiment, err)
        || !session_result(&r, "eval", experiment, false, argc, argv, err) || !result_set_model(r, m, sha256, err) || !result_set_data(r, d, err)
        || (out_dir != NULL && (!file_make_output_dir(out_dir, err) || !result_is_done(r, out_dir, &done, err)))    /* told before the work, not after */
        || !evaluate(m, tape, d, &(EvaluateOptions){batch, 1, quiet, depths, relation}, e, err))
        goto done;
    session_warn_loading(r, warning);
    result_warn_damaged(r, d);
    if (d->n_images < d->n_images_split) result_warn(r, WARN_data_limited);
    result_set_accuracy(r, &(ResultAccuracy){e->images_count, e->top1_count, d->n_classes > 5 ? e->top5_count : -1, e->loss});
    result_set_depth(r, e->depth_histogram, e->max_depth, e->images_count, e->n_tokens);
    if (!depth_record_put(depths, result_block(r, "depth_histogram"), err) || !depth_relation_put(relation, result_block(r, "depth_histogram"), err)) goto done;
    result_set_macs_of_images(r, e->macs_executed, e->macs_counted, e->images_count, e->macs_min, e->macs_max);
    result_set_elementwise_executed(r, (double)e->elementwise_executed / (double)e->images_count);
    result_set_profile(r, tape_profile(tape), (e->images_count + batch - 1) / batch, e->images_count);
    JsonSink *metrics = result_block(r, "metrics");
    json_put_count(metrics, "batch_size_count", batch);
    json_put_count(metrics, "peak_activation_bytes", (int64_t)e->peak_activation_bytes);
    json_put_count(metrics, "peak_resident_bytes", session_peak_resident_bytes());
    json_put_count(metrics, "weights_bytes", params_bytes(m->params));
    json_put_text(result_block(r, "accuracy"), "predictions_sha256", e->predictions_sha256);
    witness_put(&e->witness, result_block(r, "accuracy"));
    if (depths_path != NULL && !depth_record_save(depths, depths_path, err)) goto done;
    if (maps.dir != NULL && !depth_maps_write(d, depths, maps.dir, maps.images, maps.n, err)) goto done;
    if (out_dir != NULL && !result_write(r, out_dir, err)) goto done;
    if (json ? !result_print(r, err) : false) goto done;
    if (!json) {
        print(m, d, e);
        if (!depth_relation_print(relation, err)) goto done;
        maps_print(&maps, depths);
    }
    if (out_dir != NULL && !json) printf("%-22s %s/run.json\n", "written", out_dir);
    status = EXIT_OK;
done:
    result_destroy(r);
    json_decref(experiment);
    tape_destroy(tape);
    dataset_close(d);
    model_destroy(m);
    depth_record_destroy(depths);
    depth_relation_destroy(relation);
    free(maps.images);
    free(e);
    return status;
}
