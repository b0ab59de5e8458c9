/* Builds and writes run.json, see result.h. The blocks are sinks of one document, so that a value lost for want of
 * memory anywhere is told by result_write. */
#include "harness/result.h"

#include "engine/clock.h"
#include "engine/digest.h"
#include "engine/file.h"
#include "harness/blas_check.h"
#include "harness/measure/stats.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef MORBENCH_VERSION
#define MORBENCH_VERSION "unknown"
#endif
#ifndef MORBENCH_COMMIT
#define MORBENCH_COMMIT ""
#endif

/* Every block in the order of the file. */
#define BLOCKS(B)                                                                                                      \
    B(validity, json_object()) B(experiment, json_object()) B(model, json_object()) B(data, json_object())             \
    B(env, json_object()) B(provenance, json_object()) B(metrics, json_object()) B(samples, json_object())             \
    B(counters, json_object()) B(depth_histogram, json_object()) B(accuracy, json_object()) B(curves, json_array())    \
    B(profile, json_object()) B(warnings, json_array()) B(processes, json_array()) B(roofline, json_object())

enum {
#define BLOCK(name, empty) BLOCK_##name,
    BLOCKS(BLOCK)
#undef BLOCK
    N_BLOCKS
};

static const char *const block_name[N_BLOCKS] = {
#define BLOCK(name, empty) [BLOCK_##name] = #name,
    BLOCKS(BLOCK)
#undef BLOCK
};

struct Result {
    JsonSink root, block[N_BLOCKS];
    char     kind[16];
    char     weights[SHA256_TEXT_SIZE];    /* that the run starts from; "" random */
    char     data[SHA256_TEXT_SIZE], test_data[SHA256_TEXT_SIZE];
    uint64_t started_ns;
    bool     sealed;                       /* the digest is in: nothing is added any more */
    bool     warned[N_WARNINGS];
    char     sleeping[32];                 /* the variable that makes threads sleep; "" none */
    Verdict  verdict;
    char     status[16];
};

static const char *const verdict_names[] = {"VALID", "NOISY", "SPEED_ONLY", "SMOKE", "INVALID"};

static const struct {
    const char *code, *text, *advice;
    Verdict     verdict;
} warnings[N_WARNINGS] = {
#define WARNING(code, verdict, text, advice) {#code, text, advice, VERDICT_##verdict},
#include "harness/warnings.def"
#undef WARNING
};

const char *verdict_name(Verdict v) { return verdict_names[v]; }
const char *warning_code(Warning code) { return warnings[code].code; }
Verdict     warning_verdict(Warning code) { return warnings[code].verdict; }
const char *warning_text(Warning code) { return warnings[code].text; }
const char *warning_advice(Warning code) { return warnings[code].advice; }
Verdict     result_verdict(const Result *r) { return r->verdict; }

JsonSink *result_block(Result *r, const char *name) {
    for (int i = 0; i < N_BLOCKS; i++)
        if (strcmp(block_name[i], name) == 0) return &r->block[i];
    CHECK(false, "a result has no block '%s'", name);
    return NULL;
}

/* A new value for a block; takes the reference. */
static void replace(Result *r, int block, json_t *value) {
    r->block[block] = (JsonSink){.at = value, .parent = &r->root, .failed = value == NULL};
    if (!json_put(&r->root, block_name[block], value)) r->block[block].at = NULL;
}

static void put_number_or(JsonSink *s, const char *key, double value, const char *reason) {
    if (isfinite(value)) json_put_number(s, key, value);
    else                 json_put_missing(s, key, reason);
}

static void put_text_or(JsonSink *s, const char *key, const char *text, const char *reason) {
    if (text != NULL && text[0] != '\0') json_put_text(s, key, text);
    else                                 json_put_missing(s, key, reason);
}

bool result_begin(Result **out, const ResultStart *start, Error *err) {
    Result *r = calloc(1, sizeof *r);
    if (r == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory for a result");
    CHECK(json_is_object(start->experiment), "an experiment is a JSON object");
    snprintf(r->kind, sizeof r->kind, "%s", start->kind);
    snprintf(r->status, sizeof r->status, "ok");
    r->started_ns = clock_now_ns();
    json_sink_begin(&r->root);
    json_put_text(&r->root, "schema", RESULT_SCHEMA);
    /* put again with their values by result_write; put here for their places */
    for (size_t i = 0; i < 5; i++)
        json_put_text(&r->root, (const char *[]){"digest", "id", "env_id", "kind", "status"}[i], "");
#define BLOCK(name, empty) replace(r, BLOCK_##name, empty);
    BLOCKS(BLOCK)
#undef BLOCK
    replace(r, BLOCK_experiment, json_deep_copy(start->experiment));
#define KEY(block_, key, help) json_put_missing(&r->block[BLOCK_##block_], #key, "not_requested");
#define KEY_LATER KEY
#include "harness/result_keys.def"
#undef KEY
#undef KEY_LATER
    char      utc[CLOCK_UTC_SIZE];
    JsonSink *made = &r->block[BLOCK_provenance], words;
    clock_utc_text(utc);
    json_put_text(made, "version", MORBENCH_VERSION);
    put_text_or(made, "commit", MORBENCH_COMMIT, "not_supported");
    json_put_missing(made, "compiler", "not_requested");
    json_put_missing(made, "build_flags", "not_requested");
    json_put_array(made, "command_line", &words);
    for (int i = 0; i < start->argc; i++) json_put_text(&words, NULL, start->argv[i]);
    json_put_text(made, "started_utc", utc);
    json_put_missing(&r->block[BLOCK_model], "name", "not_requested");
    json_put_missing(&r->block[BLOCK_data], "name", "not_requested");
    json_put_missing(&r->block[BLOCK_env], "cpu_model", "not_requested");
    if (strstr(MORBENCH_COMMIT, "-dirty") != NULL) result_warn(r, WARN_dirty_build);
    *out = r;
    return true;
}

void result_destroy(Result *r) {
    if (r == NULL) return;
    json_sink_finish(&r->root, NULL, NULL);
    free(r);
}

/* -- verdict -- */

int result_warning_count(const Result *r) {
    int n = 0;
    for (int i = 0; i < N_WARNINGS; i++) n += r->warned[i];
    return n;
}

void result_warn(Result *r, Warning code) { result_warn_detail(r, code, "%s", ""); }

void result_warn_detail(Result *r, Warning code, const char *format, ...) {
    if (r->warned[code]) return;
    char     detail[512];
    JsonSink warning;
    va_list  arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    r->warned[code] = true;
    if (warnings[code].verdict > r->verdict) r->verdict = warnings[code].verdict;
    json_put_object(&r->block[BLOCK_warnings], NULL, &warning);
    json_put_text(&warning, "code", warnings[code].code);
    json_put_text(&warning, "lowers_to", verdict_names[warnings[code].verdict]);
    json_put_text(&warning, "text", warnings[code].text);
    json_put_text(&warning, "advice", warnings[code].advice);
    json_put_text(&warning, "detail", detail);
}

static bool is_by_chance(const char *code) {
    static const Warning some[] = {WARN_too_short, WARN_unsteady, WARN_caching, WARN_order_not_random, WARN_parts_disagree, WARN_above_peak};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        if (strcmp(warnings[some[i]].code, code) == 0) return true;
    return false;
}

bool warnings_invalidate(const json_t *list, const json_t *experiment) {
    const char *profile = json_string_value(json_object_get(experiment, "profile"));
    const bool  smoke   = profile != NULL && strcmp(profile, "smoke") == 0;
    size_t      i;
    json_t     *one;
    json_array_foreach(list, i, one) {
        const char *code = json_string_value(json_object_get(one, "code")), *lowers_to = json_string_value(json_object_get(one, "lowers_to"));
        if (code == NULL || lowers_to == NULL || strcmp(lowers_to, verdict_names[VERDICT_INVALID]) != 0) continue;
        if (!smoke || !is_by_chance(code)) return true;
    }
    return false;
}

void result_set_status(Result *r, const char *status, const Error *err) {
    static const char *const known[] = {"ok", "failed", "interrupted", "oom", "timeout"};
    bool found = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) found = found || strcmp(known[i], status) == 0;
    CHECK(found, "'%s' is no status of a run", status);
    snprintf(r->status, sizeof r->status, "%s", status);
    if (strcmp(status, "ok") != 0) result_warn_detail(r, WARN_failed, "%s", status);
    if (err == NULL) return;
    JsonSink what;
    json_put_object(&r->root, "error", &what);
    json_put_text(&what, "message", err->message);
    json_put_text(&what, "field", err->field);
    json_put_text(&what, "input", err->input);
}

/* -- blocks -- */

static bool optimised_build(void) {
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

bool result_set_machine(Result *r, const Machine *m, Error *err) {
    json_t *env = NULL;
    char    id[MACHINE_ENV_ID_SIZE];
    if (!machine_env_id(m, id, err) || !machine_to_json(m, &env, err)) return false;
    replace(r, BLOCK_env, env);
    json_put_text(&r->root, "env_id", id);
    JsonSink *made = &r->block[BLOCK_provenance];
    put_text_or(made, "compiler", m->compiler.reason == NULL ? m->compiler.value : NULL, "not_supported");
    put_text_or(made, "build_flags", m->build_flags.reason == NULL ? m->build_flags.value : NULL, "not_supported");
    char        blas[256];
    const char *sleeping = machine_sleeping_threads(m);
    snprintf(r->sleeping, sizeof r->sleeping, "%s", sleeping != NULL ? sleeping : "");
    if (blas_check(m, blas, sizeof blas) == BLAS_FORCED_NARROW) result_warn_detail(r, WARN_slow_blas_core, "%s", blas);
    if (strcmp(r->kind, "bench") == 0 && !optimised_build()) result_warn(r, WARN_unoptimised_build);
    return true;
}

void result_put_counts(JsonSink *into, const ModelCounts *c) {
    const int64_t norms = 5*c->layer_norm_elements;
    json_put_count(into, "macs", c->macs);
    json_put_count(into, "macs_fvcore", c->macs + norms + 2*c->batch_norm_elements);
    json_put_count(into, "macs_fvcore_folded", c->macs + norms);
    json_put_count(into, "macs_fvcore_sdpa", c->macs + norms + 2*c->batch_norm_elements - c->macs_attention);
    json_put_count(into, "macs_attention", c->macs_attention);
    json_put_count(into, "macs_router", c->macs_router);
    json_put_count(into, "flops_2x", 2*c->macs);
    json_put_count(into, "flops_all", 2*c->macs + c->elementwise);
    json_put_count(into, "elementwise_count", c->elementwise);
    json_put_count(into, "activations_count", c->activations);
}

static void put_reals(JsonSink *into, const char *key, const RealList *reals) {
    JsonSink list;
    json_put_array(into, key, &list);
    for (int i = 0; i < reals->n; i++) json_put_number(&list, NULL, reals->value[i]);
}

static void put_schedule(JsonSink *into, const char *key, const StepSchedule *s) {
    JsonSink rule;
    switch (s->form) {
    case SCHEDULE_UNSET:     break;                  /* the key is absent, as it was in the configuration */
    case SCHEDULE_LIST:      put_reals(into, key, &s->list); break;
    case SCHEDULE_LINEAR:    json_put_text(into, key, "linear"); break;
    case SCHEDULE_FLAT:      json_put_text(into, key, "flat"); break;
    case SCHEDULE_GEOMETRIC:
        json_put_object(into, key, &rule);
        json_put_number(&rule, "geometric", s->ratio);
        break;
    }
}

void result_put_settings(JsonSink *into, const Field *fields, const void *self) {
    for (const Field *f = fields; f->key != NULL; f++) {
        const void *at = (const char *)self + f->offset;
        JsonSink    list;
        switch (f->type) {
        case FIELD_INT:  json_put_count(into, f->key, *(const int *)at); break;
        case FIELD_REAL: json_put_number(into, f->key, *(const double *)at); break;
        case FIELD_BOOL: json_put_bool(into, f->key, *(const bool *)at); break;
        case FIELD_WORD: json_put_text(into, f->key, f->words[*(const int *)at]); break;
        case FIELD_TEXT: json_put_text(into, f->key, at); break;
        case FIELD_INTS:
            json_put_array(into, f->key, &list);
            for (int i = 0; i < ((const IntList *)at)->n; i++) json_put_count(&list, NULL, ((const IntList *)at)->value[i]);
            break;
        case FIELD_REALS:
            put_reals(into, f->key, at);
            break;
        case FIELD_SCHEDULE: put_schedule(into, f->key, at); break;
        }
    }
}

static void put_missing_executed(JsonSink *counts) {
    json_put_missing(counts, "macs_executed", "not_requested");
    json_put_missing(counts, "macs_executed_min", "not_requested");
    json_put_missing(counts, "macs_executed_max", "not_requested");
}

bool result_set_model(Result *r, const Model *model, const char *weights_sha256, Error *err) {
    JsonSink *s = &r->block[BLOCK_model], settings, counts;
    const bool training = strcmp(r->kind, "train") == 0;
    int channels, height, width, classes;
    if (model->params == NULL) return FAIL(err, "", "the model is not built");
    if (weights_sha256 != NULL && weights_sha256[0] == '\0') weights_sha256 = NULL;
    replace(r, BLOCK_model, json_object());
    model->kind->image_shape(model->self, &channels, &height, &width, &classes);
    json_put_text(s, "name", model->kind->name);
    put_text_or(s, "preset", model->preset, "not_requested");
    json_put_object(s, "settings", &settings);
    result_put_settings(&settings, model->kind->fields, model->self);
    json_put_count(s, "channels_count", channels);
    json_put_count(s, "height_count", height);
    json_put_count(s, "width_count", width);
    json_put_count(s, "classes_count", classes);
    json_put_count(s, "params_count", params_elements(model->params));
    json_put_count(s, "params_unrolled_count", params_elements_unrolled(model->params));
    put_text_or(s, "weights_sha256", training ? NULL : weights_sha256, "not_requested");
    put_text_or(s, "initial_weights_sha256", training ? weights_sha256 : NULL, "not_requested");
    const ModelTraits traits = model_traits(model);
    json_put_text(s, "depth_unit", traits.depth_unit);
    json_put_bool(s, "routed", traits.routed);
    json_put_bool(s, "decides_depth", traits.decides_depth);
    json_put_bool(s, "batch_dependent", traits.batch_dependent);
    json_put_object(s, "counts", &counts);
    ModelCounts   c     = {0};
    const RouteCounts nominal = {0};
    model->kind->count(model->self, &nominal, &c);
    result_put_counts(&counts, &c);
    put_missing_executed(&counts);
    snprintf(r->weights, sizeof r->weights, "%s", weights_sha256 != NULL ? weights_sha256 : "");
    json_put_count(&r->block[BLOCK_metrics], "weights_bytes", params_bytes(model->params));
    if (weights_sha256 == NULL && !training) result_warn(r, WARN_untrained);
    if (traits.batch_dependent) result_warn(r, WARN_batch_dependent);
    return true;
}

void result_set_trained_weights(Result *r, const char *weights_sha256) {
    json_put_text(&r->block[BLOCK_model], "weights_sha256", weights_sha256);
}

void result_set_macs_of_images(Result *r, int64_t executed, int64_t counted, int64_t images_count, int64_t min, int64_t max) {
    json_t *at = json_object_get(r->block[BLOCK_model].at, "counts");
    CHECK(at != NULL || r->root.failed, "the model of a result comes before what it executed");
    JsonSink counts = {.at = at, .parent = &r->block[BLOCK_model]};
    json_put_number(&counts, "macs_executed", (double)executed / (double)images_count);
    json_put_number(&counts, "macs_executed_min", (double)min);
    json_put_number(&counts, "macs_executed_max", (double)max);
    if (executed != counted)
        result_warn_detail(r, WARN_counts_disagree, "%lld executed, %lld counted over %lld images", (long long)executed, (long long)counted, (long long)images_count);
}

void result_set_elementwise_executed(Result *r, double mean) {
    json_t *at = json_object_get(r->block[BLOCK_model].at, "counts");
    CHECK(at != NULL || r->root.failed, "the model of a result comes before what it executed");
    JsonSink     counts = {.at = at, .parent = &r->block[BLOCK_model]};
    const double macs   = json_number_value(json_object_get(at, "macs_executed"));
    json_put_number(&counts, "flops_2x_executed", 2 * macs);
    json_put_number(&counts, "flops_all_executed", 2 * macs + mean);
}

/* digest: of the split's content, also handed back. */
static bool put_data(JsonSink *s, const Dataset *d, char digest[SHA256_TEXT_SIZE], Error *err) {
    if (d->digest[0] != '\0') memcpy(digest, d->digest, SHA256_TEXT_SIZE);
    else if (!dataset_digest(d, digest, err)) return false;
    json_put_text(s, "name", d->name);
    json_put_text(s, "kind", d->kind->name);
    json_put_text(s, "split", d->split);
    json_put_count(s, "images_count", d->n_images);
    json_put_count(s, "images_split_count", d->n_images_split);
    json_put_count(s, "classes_count", d->n_classes);
    json_put_count(s, "channels_count", d->channels);
    json_put_count(s, "height_count", d->height);
    json_put_count(s, "width_count", d->width);
    json_put_text(s, "digest", digest);
    json_put_text(s, "preprocess", d->preprocess_text);
    json_put_bool(s, "synthetic", d->synthetic);
    if (d->classes[0] != '\0') json_put_text(s, "classes", d->classes);
    return true;
}

/* What the data itself gives reason to say. */
static void warn_of_data(Result *r, const Dataset *d, const char *digest) {
    const char *known = d->kind->known_digest[strcmp(d->split, "train") == 0 ? 0 : 1];
    if (d->synthetic) result_warn(r, WARN_synthetic_data);
    if (known != NULL && strcmp(known, digest) != 0) result_warn_detail(r, WARN_data_unknown, "%s %s", d->name, d->split);
    const int64_t n = d->chosen != NULL ? d->n_images_limited : d->n_images;
    const int64_t whole = d->of_classes != NULL ? d->n_images_classes : d->n_images_split;      /* some classes are a task of their own */
    if (n < whole)
        result_warn_detail(r, WARN_data_limited, "%lld of the %lld images of %s %s", (long long)n,
                           (long long)whole, d->name, d->split);
}

bool result_set_data(Result *r, const Dataset *d, Error *err) {
    if (d == NULL) return true;
    replace(r, BLOCK_data, json_object());
    if (!put_data(&r->block[BLOCK_data], d, r->data, err)) return false;
    warn_of_data(r, d, r->data);
    return true;
}

bool result_set_test_data(Result *r, const Dataset *d, Error *err) {
    if (d == NULL) return true;
    JsonSink test;
    json_put_object(&r->block[BLOCK_data], "test", &test);
    if (!put_data(&test, d, r->test_data, err)) return false;
    warn_of_data(r, d, r->test_data);
    return true;
}

void result_set_threads(Result *r, const ThreadsUsed *used, int n_pinned) {
    JsonSink *s = &r->block[BLOCK_metrics];
    json_put_count(s, "threads_requested_count", used->requested);
    json_put_count(s, "threads_effective_count", used->distinct);
    json_put_count(s, "threads_pinned_count", n_pinned);
    if (strcmp(r->kind, "bench") != 0) return; /* accuracies do not depend on it */
    if (used->distinct < used->requested) result_warn_detail(r, WARN_threads_short, "%d of %d", used->distinct, used->requested);
    if (used->cpus < used->distinct) result_warn_detail(r, WARN_threads_take_turns, "%d on %d", used->distinct, used->cpus);
    if (used->distinct > 1 && r->sleeping[0] != '\0') result_warn_detail(r, WARN_threads_sleep, "%s", r->sleeping);
}

void result_set_samples(Result *r, const char *key, const double *samples, size_t n) {
    JsonSink list;
    json_put_array(&r->block[BLOCK_samples], key, &list);
    for (size_t i = 0; i < n; i++) json_put_number(&list, NULL, samples[i]);
}

static void put_processes(Result *r, const char *key, const ResultLatency *l) {
    JsonSink processes;
    json_put_array(&r->block[BLOCK_samples], key, &processes);
    for (size_t i = 0; i < l->n; i++) json_put_count(&processes, NULL, l->process[i]);
}

bool result_set_latency(Result *r, const ResultLatency *l, Error *err) {
    JsonSink     *s = &r->block[BLOCK_metrics];
    const double  batch = l->batch_size;
    Stats         stats;
    StatsInterval centre;
    if (!stats_summarise(&stats, l->samples_ns, l->n, err)) return false;
    if (l->n == 0) return FAIL(err, "", "no sample was taken");
    double trend_z = 0;
    if (l->process != NULL ? !stats_process_interval(&centre, l->samples_ns, l->process, l->n, err)
                           : !stats_block_interval(&centre, &trend_z, l->samples_ns, l->n, err))
        return false;
    if (fabs(trend_z) > 2.58) result_warn_detail(r, WARN_trend, "%s by rank, %.1f standard deviations", trend_z > 0 ? "slower and slower" : "faster and faster", fabs(trend_z));
    if (stats.median * (l->passes_per_sample > 1 ? l->passes_per_sample : 1) < 1000 * l->clock_overhead_ns)
        result_warn_detail(r, WARN_clock_coarse, "median %.0f ns, a reading %.0f ns", stats.median, l->clock_overhead_ns);
    if (l->n < 10) result_warn_detail(r, WARN_few_samples, "%zu", l->n);
    if (centre.n_units < STATS_INTERVAL_UNITS) result_warn_detail(r, WARN_no_interval, "%zu", centre.n_units);
    json_put_count(s, "batch_size_count", l->batch_size);
    if (l->end_to_end) {
        json_put_number(s, "end_to_end_latency_ns", centre.median);
        put_number_or(s, "end_to_end_latency_low_ns", centre.low, "not_supported");
        put_number_or(s, "end_to_end_latency_high_ns", centre.high, "not_supported");
        json_put_text(s, "end_to_end_includes", "from stored pixels to logits: reading, resizing, normalising, and what latency_ns includes");
        json_put_number(s, "end_to_end_images_per_s", 1e9*batch/centre.median);
        put_number_or(s, "end_to_end_images_low_per_s", 1e9*batch/centre.high, "not_supported");
        put_number_or(s, "end_to_end_images_high_per_s", 1e9*batch/centre.low, "not_supported");
        result_set_samples(r, "end_to_end_latency_ns", l->samples_ns, l->n);
        if (l->process != NULL) put_processes(r, "end_to_end_latency_process", l);
        return true;
    }
    json_put_number(s, "latency_ns", centre.median);
    put_number_or(s, "latency_low_ns", centre.low, "not_supported");
    put_number_or(s, "latency_high_ns", centre.high, "not_supported");
    json_put_text(s, "latency_interval_method", STATS_INTERVAL_METHOD);
    json_put_text(s, "latency_interval_level", centre.n_units == l->n ? "iteration" : l->process != NULL ? "process" : "block");
    json_put_text(s, "latency_of", l->train_step ? "train_step" : "forward");
    json_put_text(s, "latency_includes", l->train_step ? "from normalised images in memory to updated weights"
                                                       : "model only: from normalised images in memory to logits");
    json_put_number(s, "latency_min_ns", stats.min);
    json_put_number(s, "latency_max_ns", stats.max);
    json_put_number(s, "latency_mean_ns", stats.mean);
    put_number_or(s, "latency_sd_ns", stats.sd, "not_supported");
    json_put_number(s, "latency_mad_ns", stats.mad);
    const bool single = l->passes_per_sample <= 1;           /* means of several passes have no tails */
    put_number_or(s, "latency_p50_ns", single ? stats.p50 : NAN, "not_supported");
    put_number_or(s, "latency_p90_ns", single ? stats.p90 : NAN, "not_supported");
    put_number_or(s, "latency_p99_ns", single ? stats.p99 : NAN, "not_supported");
    json_put_count(s, "latency_passes_per_sample_count", single ? 1 : l->passes_per_sample);
    json_put_count(s, "latency_outliers_mild_count", (int64_t)stats.n_mild);
    json_put_count(s, "latency_outliers_severe_count", (int64_t)stats.n_severe);
    json_put_count(s, "latency_samples_count", (int64_t)l->n);
    json_put_count(s, "latency_units_count", (int64_t)centre.n_units);
    json_put_count(s, "latency_suspect_count", (int64_t)stats.n_suspect);
    json_put_number(s, "images_per_s", 1e9*batch/centre.median);
    put_number_or(s, "images_low_per_s", 1e9*batch/centre.high, "not_supported");
    put_number_or(s, "images_high_per_s", 1e9*batch/centre.low, "not_supported");
    result_set_samples(r, "latency_ns", l->samples_ns, l->n);
    if (l->process != NULL) put_processes(r, "latency_process", l);
    return true;
}

void result_set_accuracy(Result *r, const ResultAccuracy *a) {
    JsonSink    *s = &r->block[BLOCK_accuracy];
    const double z = 1.959963984540054, n = (double)a->images_count; /* normal quantile at 0.975 */
    CHECK(a->images_count > 0 && a->top1_count >= 0 && a->top1_count <= a->images_count, "%lld right of %lld images",
          (long long)a->top1_count, (long long)a->images_count);
    const double p = (double)a->top1_count/n, centre = (p + z*z/(2*n))/(1 + z*z/n);
    const double half = z*sqrt(p*(1 - p)/n + z*z/(4*n*n))/(1 + z*z/n);
    json_put_number(s, "top1_ratio", p);
    json_put_number(s, "top1_low_ratio", fmax(0, fmin(p, centre - half)));  /* min and max: rounding at p = 0 and 1 */
    json_put_number(s, "top1_high_ratio", fmin(1, fmax(p, centre + half)));
    json_put_text(s, "top1_interval_method", "wilson95");
    if (a->top5_count >= 0) json_put_number(s, "top5_ratio", (double)a->top5_count/n);
    else                    json_put_missing(s, "top5_ratio", "not_supported");
    json_put_count(s, "images_count", a->images_count);
    json_put_number(s, "loss", a->loss);
    if (!isfinite(a->loss)) result_warn(r, WARN_loss_not_finite);
}

void result_set_depth(Result *r, const int64_t tokens_count[], int max_depth, int64_t images_count, int tokens_per_image) {
    JsonSink *s = &r->block[BLOCK_depth_histogram], list;
    int64_t   total = 0;
    double    depth = 0;
    json_put_count(s, "images_count", images_count);
    json_put_count(s, "tokens_per_image_count", tokens_per_image);
    json_put_array(s, "tokens_count", &list);
    for (int d = 0; d <= max_depth; d++) {
        json_put_count(&list, NULL, tokens_count[d]);
        total += tokens_count[d];
        depth += (double)d*(double)tokens_count[d];
    }
    json_put_number(s, "mean_depth_count", depth/(double)total);
    if (total != images_count*tokens_per_image)
        result_warn_detail(r, WARN_depth_disagrees, "%lld, not %lld x %d", (long long)total, (long long)images_count,
                           tokens_per_image);
}

static void put_work(JsonSink *list, const char *key, const char *name, const char *pass, const ProfileWork *w) {
    JsonSink entry;
    if (w->calls == 0) return;
    json_put_object(list, NULL, &entry);
    json_put_text(&entry, key, name);
    json_put_text(&entry, "pass", pass);
    json_put_count(&entry, "calls_count", w->calls);
    json_put_count(&entry, "macs", w->macs);
    json_put_count(&entry, "elementwise_count", w->elementwise);
    json_put_count(&entry, "moved_bytes", w->bytes);
    json_put_count(&entry, "elapsed_ns", (int64_t)w->elapsed_ns);
}

/* Scopes by these names are parts of their own wherever they lie: what a router, a predictor or moving rows costs. */
static const char *const part_names[] = {"router", "predictor", "select", "gather", "combine"};
enum { N_PARTS = sizeof part_names / sizeof *part_names };

/* The part that scope s belongs to, by the nearest name; -1: none. So parts do not overlap. */
static int part_of(const Profile *p, int s) {
    for (; s > 0; s = p->scope[s].parent)
        for (int i = 0; i < N_PARTS; i++)
            if (strcmp(p->scope[s].name, part_names[i]) == 0) return i;
    return -1;
}

static void add_work(ProfileWork *sum, const ProfileWork *w) {
    sum->calls       += w->calls;
    sum->macs        += w->macs;
    sum->elementwise += w->elementwise;
    sum->bytes       += w->bytes;
    sum->elapsed_ns  += w->elapsed_ns;
}

void result_put_profile(JsonSink *s, const Profile *p, int64_t passes_count, int64_t images_count) {
    JsonSink    scopes, ops, parts;
    ProfileWork forward[N_PARTS] = {{0}}, backward[N_PARTS] = {{0}};
    json_put_count(s, "passes_count", passes_count);
    json_put_count(s, "images_count", images_count);
    json_put_array(s, "scopes", &scopes);
    json_put_array(s, "ops", &ops);
    json_put_array(s, "parts", &parts);
    for (int i = 0; i < p->n_scopes; i++) {
        char path[256];
        profile_path(p, i, path, sizeof path);
        if (path[0] == '\0') snprintf(path, sizeof path, "other");
        put_work(&scopes, "scope", path, "forward", &p->scope[i].forward);
        put_work(&scopes, "scope", path, "backward", &p->scope[i].backward);
        const int part = part_of(p, i);
        if (part < 0) continue;
        add_work(&forward[part], &p->scope[i].forward);
        add_work(&backward[part], &p->scope[i].backward);
    }
    for (int i = 0; i < p->n_kinds; i++) {
        put_work(&ops, "op", p->kind[i].name, "forward", &p->kind[i].forward);
        put_work(&ops, "op", p->kind[i].name, "backward", &p->kind[i].backward);
    }
    for (int i = 0; i < N_PARTS; i++) {
        put_work(&parts, "part", part_names[i], "forward", &forward[i]);
        put_work(&parts, "part", part_names[i], "backward", &backward[i]);
    }
}

void result_set_profile(Result *r, const Profile *p, int64_t passes_count, int64_t images_count) {
    result_put_profile(&r->block[BLOCK_profile], p, passes_count, images_count);
}

/* -- the file -- */

bool result_id(Result *r, char id[RESULT_ID_SIZE], Error *err) {
    JsonSink identity;
    json_t  *tree = NULL;
    char     sum[SHA256_TEXT_SIZE];
    json_sink_begin(&identity);
    json_put_text(&identity, "kind", r->kind);
    json_put_text(&identity, "version", MORBENCH_VERSION);
    json_put_text(&identity, "commit", MORBENCH_COMMIT);
    json_put_text(&identity, "weights", r->weights);
    json_put_text(&identity, "data", r->data);
    json_put_text(&identity, "test_data", r->test_data);
    json_put(&identity, "experiment", json_incref(r->block[BLOCK_experiment].at));
    if (!json_sink_finish(&identity, &tree, err)) return false;
    char *text = json_canonical_text(tree);
    bool  ok   = text != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory for the id of a run");
    ok = ok && digest_sha256(text, strlen(text), sum, err);
    if (ok) snprintf(id, RESULT_ID_SIZE, "%.16s", sum);
    free(text);
    json_decref(tree);
    return ok;
}

static bool run_path(const char *dir, char path[PATH_MAX], Error *err) {
    const int n = snprintf(path, PATH_MAX, "%s/run.json", dir);
    return (n > 0 && n < PATH_MAX) || FAIL(err, "", "the path of the output directory is too long");
}

static bool same_text(const json_t *a, const json_t *b, const char *key) {
    const char *x = json_string_value(json_object_get(a, key)), *y = json_string_value(json_object_get(b, key));
    return x != NULL && y != NULL && strcmp(x, y) == 0;
}

/* The finished run in DIR, NULL if there is none or only an unfinished one of ours. Another one is an error. */
static bool finished_in(Result *r, const char *path, json_t **found, Error *err) {
    char    id[RESULT_ID_SIZE];
    json_t *old = NULL;
    *found = NULL;
    if (access(path, F_OK) != 0 && errno == ENOENT) return true;
    if (!result_id(r, id, err)) return false;
    if (!r->sealed) json_put_text(&r->root, "id", id); /* sealed, it is the same */
    if (!result_load(&old, path, err)) return false;
    if (json_object_get(json_object_get(old, "experiment"), "unopened") != NULL) {      /* of a bench that did not get so far as to say what it is of */
        json_decref(old);
        return true;
    }
    const bool same = same_text(old, r->root.at, "id") && same_text(old, r->root.at, "env_id");
    if (!same) {
        FAIL(err, same_text(old, r->root.at, "id") ? "/env_id" : "/id",
             "the directory holds another run (%s, made %s%s); give another --out",
             json_string_value(json_object_get(old, "id")),
             json_string_value(json_object_get(json_object_get(old, "provenance"), "started_utc")),
             same_text(old, r->root.at, "id") ? ", on another machine or build" : "");
        json_decref(old);
        return error_in(err, path);
    }
    if (strcmp(json_string_value(json_object_get(old, "status")), "ok") == 0) *found = old;
    else json_decref(old);
    return true;
}

bool result_is_done(Result *r, const char *dir, bool *done, Error *err) {
    char    path[PATH_MAX];
    json_t *found;
    if (!run_path(dir, path, err) || !finished_in(r, path, &found, err)) return false;
    *done = found != NULL;
    json_decref(found);
    return true;
}

/* "<key>_reason" where <key> has a value by now. */
static void drop_stale_reasons(json_t *object) {
    static const char ending[] = "_reason";
    const char *key;
    json_t     *member;
    void       *next;
    json_object_foreach_safe(object, next, key, member) {
        const size_t n = strlen(key), m = sizeof ending - 1;
        char         base[128];
        if (json_is_object(member)) drop_stale_reasons(member);
        if (n <= m || n - m >= sizeof base || strcmp(key + n - m, ending) != 0) continue;
        memcpy(base, key, n - m);
        base[n - m] = '\0';
        const json_t *value = json_object_get(object, base);
        if (value != NULL && !json_is_null(value)) json_object_del(object, key);
    }
}

/* Puts the verdict, its reasons, what is known at the end, and the digest of it all; once. */
static bool seal(Result *r, Error *err) {
    static const int with_reasons[] = {BLOCK_model, BLOCK_data, BLOCK_metrics, BLOCK_counters, BLOCK_depth_histogram,
                                       BLOCK_accuracy, BLOCK_provenance};
    char      id[RESULT_ID_SIZE], utc[CLOCK_UTC_SIZE];
    JsonSink *validity = &r->block[BLOCK_validity], reasons;
    char      digest[SHA256_TEXT_SIZE];
    if (r->sealed) return true;
    if (!result_id(r, id, err)) return false;
    clock_utc_text(utc);
    json_put_text(&r->root, "id", id);
    json_put_text(&r->root, "kind", r->kind);
    json_put_text(&r->root, "status", r->status);
    json_put_text(validity, "verdict", verdict_names[r->verdict]);
    json_put_array(validity, "reasons", &reasons);
    for (int i = 0; i < N_WARNINGS; i++)
        if (r->warned[i] && warnings[i].verdict != VERDICT_VALID) json_put_text(&reasons, NULL, warnings[i].code);
    json_put_text(&r->block[BLOCK_provenance], "finished_utc", utc);
    json_put_count(&r->block[BLOCK_provenance], "elapsed_ns", (int64_t)(clock_now_ns() - r->started_ns));
    for (size_t i = 0; i < sizeof with_reasons / sizeof *with_reasons; i++)
        drop_stale_reasons(r->block[with_reasons[i]].at);
    if (r->root.failed) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory while a result was made");
    if (!result_digest(r->root.at, digest, err)) return false;
    json_put_text(&r->root, "digest", digest);
    if (r->root.failed) return FAIL_STATUS(err, EXIT_MACHINE, "", "out of memory while a result was made");
    r->sealed = true;
    return result_check(r->root.at, err);
}

bool result_print(Result *r, Error *err) {
    return seal(r, err) && json_print(r->root.at, err);
}

bool result_write(Result *r, const char *dir, Error *err) {
    char    path[PATH_MAX];
    json_t *old = NULL;
    if (!run_path(dir, path, err) || !file_make_dirs(dir, err) || !finished_in(r, path, &old, err)) return false;
    if (old != NULL) {
        const json_t *was = json_object_get(json_object_get(old, "provenance"), "command_line");
        const bool  again = json_equal(was, json_object_get(r->block[BLOCK_provenance].at, "command_line"));
        json_decref(old);
        if (!again) {
            FAIL(err, "/id", "this run is there already, made by another command line; give another --out");
            return error_in(err, path);
        }
    }
    return seal(r, err) && json_save_file(r->root.at, path, err);
}
