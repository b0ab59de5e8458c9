/* Runs as train, eval and bench would write them, made up: for tests of what reads results. */
#ifndef TESTS_REPORT_FIXTURE_H
#define TESTS_REPORT_FIXTURE_H

#include "harness/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct FakeRun {
    const char *kind, *preset;
    const char *weights;          /* 64 hexadecimal digits; NULL: random */
    double      macs;             /* an image */
    int         batch;            /* of a timing; 0: not timed */
    double      latency_ms;
    int         top1;             /* right of 10000; 0: no accuracy */
    const char *predictions;      /* digest of the classes; NULL: none */
    int         epochs;           /* of a training curve */
    bool        profile;
    const char *router;           /* a setting of the model; NULL: it has none */
    int         seed;             /* of a training */
    const char *settings;         /* JSON, put over those of the experiment; NULL: none */
    const char *preprocess;       /* NULL: none */
    int         depths, recursions; /* tokens take up to so many steps; a setting of the model; 0: none */
    const char *depth_unit;       /* NULL: as files of before it are */
    Warning     warn;             /* N_WARNINGS: none */
} FakeRun;

static bool fake_run(const FakeRun *f, const char *dir, Error *err) {
    Result  *r = NULL;
    json_t  *experiment = json_pack("{s:s, s:s, s:i, s:i, s:i, s:s}", "kind", f->kind, "preset", f->preset, "batch_size_count", f->batch,
                                    "epochs", f->epochs, "seed", f->seed, "router", f->router != NULL ? f->router : "");
    if (strcmp(f->kind, "train") == 0) json_object_set_new(experiment, "train", json_pack("{s:i}", "seed", f->seed));
    if (f->settings != NULL) {
        json_t *more = json_loads(f->settings, 0, NULL);
        json_object_update_recursive(experiment, more);
        json_decref(more);
    }
    char     program[] = "morbench", command[32], *argv[] = {program, command};
    snprintf(command, sizeof command, "%s", f->kind);
    bool ok = result_begin(&r, &(ResultStart){.kind = f->kind, .experiment = experiment, .argc = 2, .argv = argv}, err);
    json_decref(experiment);
    if (!ok) return false;
    JsonSink *model = result_block(r, "model"), *data = result_block(r, "data"), *metrics = result_block(r, "metrics"), counts, none;
    json_put_text(model, "name", "vit");
    json_put_text(model, "preset", f->preset);
    json_put_object(model, "settings", &none);
    if (f->router != NULL) json_put_text(&none, "router", f->router);
    if (f->recursions > 0) json_put_count(&none, "recursions", f->recursions);
    if (f->depth_unit != NULL) json_put_text(model, "depth_unit", f->depth_unit);
    json_put_count(model, "params_count", 2710000);
    if (f->weights != NULL) json_put_text(model, "weights_sha256", f->weights);
    else                    json_put_missing(model, "weights_sha256", "not_requested");
    json_put_missing(model, "initial_weights_sha256", "not_requested");
    for (size_t i = 0; i < 4; i++)
        json_put_count(model, (const char *[]){"channels_count", "height_count", "width_count", "classes_count"}[i], 10);
    for (size_t i = 0; i < 6; i++)
        json_put_count(data, (const char *[]){"images_count", "images_split_count", "classes_count", "channels_count", "height_count",
                                              "width_count"}[i], 10);
    json_put_object(model, "counts", &counts);
    result_put_counts(&counts, &(ModelCounts){.macs = (int64_t)f->macs, .macs_attention = (int64_t)f->macs/10,
                                              .layer_norm_elements = 1000, .elementwise = 50000, .activations = 200000});
    result_set_macs_of_images(r, (int64_t)f->macs, (int64_t)f->macs, 1, (int64_t)(0.9*f->macs), (int64_t)(1.1*f->macs));
    json_put_text(data, "name", "fashion_mnist");
    json_put_text(data, "kind", "fashion_mnist");
    json_put_bool(data, "synthetic", false);
    json_put_text(data, "split", "test");
    json_put_text(data, "preprocess", f->preprocess != NULL ? f->preprocess : "none");
    json_put_text(data, "digest", "00000000000000000000000000000000000000000000000000000000000000aa");
    json_put_count(metrics, "threads_effective_count", 2);
    if (f->batch > 0) {
        double samples[24];
        for (int i = 0; i < 24; i++) samples[i] = 1e6*f->latency_ms*(1 + 0.04*sin(1.7*i));
        ok = result_set_latency(r, &(ResultLatency){.samples_ns = samples, .n = 24, .batch_size = f->batch}, err);
    }
    if (f->predictions != NULL) json_put_text(result_block(r, "accuracy"), "predictions_sha256", f->predictions);
    if (f->top1 > 0)
        result_set_accuracy(r, &(ResultAccuracy){.images_count = 10000, .top1_count = f->top1, .top5_count = 9900, .loss = 0.31});
    if (f->depths > 0) result_set_depth(r, (int64_t[16]){[1] = 10, [2] = 10}, f->depths, 4, 5);
    for (int e = 1; e <= f->epochs; e++)
        result_add_point(r, &(ResultPoint){.epoch = e, .step = 468*e, .train_loss = 0.3 + 1.2/e, .train_top1_ratio = 0.9 - 0.3/e,
                                           .tested = e % 2 == 0 || e == 1, .test_loss = 0.35 + 1.0/e,
                                           .test_top1_ratio = 0.0001*f->top1 - 0.25/e, .learning_rate = 1e-3, .grad_norm = NAN,
                                           .images_per_s = 1500, .elapsed_ns = 1000000000u*(unsigned)e});
    if (f->profile) {
        Profile *p = calloc(1, sizeof *p);
        if (p == NULL) ok = false;
        if (ok) {
            profile_clear(p);
            p->scope[profile_scope(p, 0, "patch_embed", -1)].forward = (ProfileWork){.calls = 1, .macs = 100, .elapsed_ns = 300000};
            for (int b = 0; b < 6; b++) {
                const int block = profile_scope(p, 0, "blocks", b);
                p->scope[block].forward = (ProfileWork){.calls = 2, .elapsed_ns = 100000};
                p->scope[profile_scope(p, block, "attn", -1)].forward = (ProfileWork){.calls = 4, .macs = 900, .elapsed_ns = 1400000};
                p->scope[profile_scope(p, block, "mlp", -1)].forward = (ProfileWork){.calls = 3, .macs = 1800, .elapsed_ns = 2100000};
            }
            p->scope[profile_scope(p, 0, "head", -1)].forward = (ProfileWork){.calls = 1, .macs = 10, .elapsed_ns = 90000};
            p->scope[0].forward = (ProfileWork){.calls = 1, .elapsed_ns = 200000};
            profile_kind(p, "linear")->forward = (ProfileWork){.calls = 24, .macs = 10000, .elapsed_ns = 9000000};
            result_set_profile(r, p, 1, f->batch > 0 ? f->batch : 16);
        }
        free(p);
    }
    if (f->warn != N_WARNINGS) result_warn(r, f->warn);
    ok = ok && result_write(r, dir, err);
    result_destroy(r);
    return ok;
}

#endif
