/* What all processes of a cell said, as one Result (bench.h): statistics over processes. bench_judge.c says what lowers their worth. */
#include "harness/measure/bench.h"

#include "harness/measure/stats.h"
#include "harness/options.h"
#include "harness/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool bench_experiment(const BenchSettings *s, const BenchCell *c, json_t **out, Error *err) {
    JsonSink     root, model;
    const Model *m = c->arm->model;
    json_sink_begin(&root);
    json_put_text(&root, "mode", s->train ? "train_step" : "forward");
    if (m != NULL) {
        json_put_text(&root, "model_kind", m->kind->name);
        json_put_text(&root, "preset", m->preset);
        json_put_object(&root, "model", &model);
        result_put_settings(&model, m->kind->fields, m->self);
        json_put_text(&root, "data", c->arm->data->name);
        json_put_text(&root, "preprocess", c->arm->data->preprocess_text);
    } else {
        json_put_text(&root, "unopened", c->label);
    }
    json_put_count(&root, "batch_size_count", c->batch);
    json_put_count(&root, "threads_requested_count", runtime_threads());
    json_put_text(&root, "backend", runtime_backend()->name);
    json_put_text(&root, "profile", s->effort.name);
    json_put_count(&root, "processes_count", s->effort.processes);
    json_put_count(&root, "samples_least_count", s->effort.min_samples);
    json_put_number(&root, "seconds_least", s->effort.min_seconds);
    json_put_count(&root, "seed", (int64_t)s->seed);
    return json_sink_finish(&root, out, err);
}

bool bench_result_begin(Result **out, const BenchSettings *s, const BenchCell *c, Error *err) {
    json_t         *experiment = NULL;
    const BenchArm *a          = c->arm;
    /* of a folder it reads every file: once, not for each cell and again for its result */
    if (a->model != NULL && a->data->digest[0] == '\0' && !dataset_digest(a->data, a->data->digest, err)) return false;
    const bool ok = bench_experiment(s, c, &experiment, err) && session_result_of_machine(out, "bench", experiment, s->argc, s->argv, err)
                 && (a->model == NULL || (result_set_model(*out, a->model, a->weights_sha256, err) && result_set_data(*out, a->data, err)));
    json_decref(experiment);
    return ok;
}

/* -- numbers that each process told -- */

static double number(const json_t *said, const char *key) {
    const json_t *value = json_object_get(said, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t count(const json_t *said, const char *key) { return json_integer_value(json_object_get(said, key)); }

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median over the processes that told a number; NAN when fewer than half did. */
static double median_over(const BenchCell *c, const char *block, const char *key) {
    enum { MAX = 4096 };
    double x[MAX];
    int    n = 0;
    for (int i = 0; i < c->n_said && n < MAX; i++) {
        const json_t *from = block != NULL ? json_object_get(c->said[i], block) : c->said[i];
        const double  v    = number(from, key);
        if (isfinite(v)) x[n++] = v;
    }
    if (n == 0 || 2 * n < c->n_said) return NAN;
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 == 1 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* The first reason that a process gave for having no number. */
static const char *reason_over(const BenchCell *c, const char *block, const char *key) {
    char name[160];
    snprintf(name, sizeof name, "%s_reason", key);
    for (int i = 0; i < c->n_said; i++) {
        const char *reason = json_string_value(json_object_get(block != NULL ? json_object_get(c->said[i], block) : c->said[i], name));
        if (reason != NULL) return reason;
    }
    return "not_requested";
}

static void put_number(JsonSink *to, const char *key, double value, const char *reason) {
    if (isfinite(value)) json_put_number(to, key, value);
    else                 json_put_missing(to, key, reason);
}

/* -- latency -- */

/* All samples of one kind in the order of the processes; false: no memory. */
static bool collect(const BenchCell *c, const char *key, double **samples, int **process, size_t *n, Error *err) {
    *n = 0;
    for (int i = 0; i < c->n_said; i++) *n += json_array_size(json_object_get(c->said[i], key));
    *samples = calloc(*n + 1, sizeof **samples);
    *process = calloc(*n + 1, sizeof **process);
    if (*samples == NULL || *process == NULL) {
        free(*samples);
        free(*process);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu samples", *n);
    }
    size_t at = 0;
    for (int i = 0; i < c->n_said; i++) {
        const json_t *list = json_object_get(c->said[i], key), *value;
        size_t        k;
        json_array_foreach(list, k, value) {
            (*samples)[at]   = json_number_value(value);
            (*process)[at++] = i;
        }
    }
    return true;
}

static bool put_latency(Result *r, const BenchSettings *s, const BenchCell *c, bool end_to_end, Error *err) {
    double *samples;
    int    *process;
    size_t  n;
    if (!collect(c, end_to_end ? "end_to_end_latency_ns" : "latency_ns", &samples, &process, &n, err)) return false;
    int passes = 1;
    for (int i = 0; i < c->n_said; i++)
        if (count(c->said[i], "passes_per_sample_count") > passes) passes = (int)count(c->said[i], "passes_per_sample_count");
    const bool ok = (end_to_end && n == 0) || result_set_latency(r, &(ResultLatency){.samples_ns = samples, .process = process, .n = n, .batch_size = c->batch,
                                     .end_to_end = end_to_end, .train_step = s->train, .passes_per_sample = passes,
                                     .clock_overhead_ns = median_over(c, NULL, "clock_overhead_ns")}, err);
    free(samples);
    free(process);
    return ok;
}

static void put_threads(Result *r, const BenchCell *c) {
    ThreadsUsed used     = {.requested = runtime_threads(), .distinct = 1 << 20, .cpus = 1 << 20};
    int         n_pinned = 1 << 20;
    for (int i = 0; i < c->n_said; i++) {                    /* of the worst process */
        if (count(c->said[i], "threads_effective_count") < used.distinct) used.distinct = (int)count(c->said[i], "threads_effective_count");
        if (count(c->said[i], "threads_cpus_count") < used.cpus) used.cpus = (int)count(c->said[i], "threads_cpus_count");
        if (count(c->said[i], "threads_pinned_count") < n_pinned) n_pinned = (int)count(c->said[i], "threads_pinned_count");
    }
    result_set_threads(r, &used, n_pinned);
}

/* -- counts -- */

static void put_counts(Result *r, const BenchSettings *s, const BenchCell *c) {
    const json_t *p       = NULL;                            /* the process that was asked for a profile */
    JsonSink     *metrics = result_block(r, "metrics"), *profile = result_block(r, "profile");
    for (int i = 0; i < c->n_said && p == NULL; i++)
        if (json_is_object(json_object_get(c->said[i], "profile"))) p = c->said[i];
    if (p == NULL) return;
    const json_t *value;
    const char   *key;
    json_object_foreach(json_object_get(p, "profile"), key, value) json_put(profile, key, json_incref((json_t *)value));
    const double images = (double)count(p, "profiled_images_count");
    json_put_count(metrics, "peak_activation_bytes", count(p, "peak_activation_bytes"));
    if (s->train) json_put_count(metrics, "train_step_macs_count", (count(p, "forward_macs") + count(p, "backward_macs")) / count(p, "profiled_passes_count"));
    result_set_macs_of_images(r, count(p, "forward_macs"), count(p, "expected_macs"), (int64_t)images, count(p, "least_macs"), count(p, "most_macs"));
    if (!s->train && json_object_get(p, "forward_elementwise_count") != NULL)          /* a step's are those of its loss too */
        result_set_elementwise_executed(r, (double)count(p, "forward_elementwise_count") / images);
    const json_t *tokens = json_object_get(p, "depth_tokens_count");
    if (tokens != NULL) {
        int64_t histogram[EVALUATE_MAX_DEPTH + 1] = {0};
        const int n = (int)json_array_size(tokens);
        for (int d = 0; d < n && d <= EVALUATE_MAX_DEPTH; d++) histogram[d] = json_integer_value(json_array_get(tokens, (size_t)d));
        result_set_depth(r, histogram, n - 1, count(p, "profiled_images_count"), (int)count(p, "tokens_per_image_count"));
    }
}

/* -- counters -- */

static double counted(const BenchCell *c, const char *key) { return median_over(c, "counters", key); }

/* numerator / denominator, or null for the reason of the one that is missing. */
static void put_quotient(JsonSink *to, const BenchCell *c, const char *key, double numerator, const char *of, double denominator, const char *by) {
    const char *reason = !isfinite(numerator) ? reason_over(c, "counters", of) : !isfinite(denominator) ? reason_over(c, "counters", by) : "non_finite";
    put_number(to, key, denominator != 0 ? numerator / denominator : NAN, reason);
}

static double macs_of_pass(Result *r, const BenchSettings *s, const BenchCell *c) {
    return s->train ? report_number(result_block(r, "metrics")->at, "/train_step_macs_count") : report_number(result_block(r, "model")->at, "/counts/macs_executed") * c->batch;
}

static void put_counters(Result *r, const BenchSettings *s, const BenchCell *c) {
    JsonSink     *to    = result_block(r, "counters");
    const json_t *first = NULL, *value;
    const char   *key;
    bool          shared = false;
    for (int i = 0; i < c->n_said && first == NULL; i++) first = json_object_get(c->said[i], "counters");
    if (first == NULL) return;
    json_object_foreach((json_t *)first, key, value) {
        const size_t n      = strlen(key);
        const bool   reason = n > 7 && strcmp(key + n - 7, "_reason") == 0, running = strstr(key, "_running_ratio") != NULL;
        if (json_is_string(value) && !reason) json_put_text(to, key, json_string_value(value));
        if (reason || json_is_string(value)) continue;
        const double x = counted(c, key);
        shared = shared || running;
        if (!isfinite(x)) json_put_missing(to, key, reason_over(c, "counters", key));
        else if (running || strcmp(key, "loop_ratio") == 0) json_put_number(to, key, x);
        else json_put_count(to, key, (int64_t)llround(x));
    }
    if (shared) result_warn(r, WARN_counters_shared);
    const double seconds = report_number(result_block(r, "metrics")->at, "/latency_ns") / 1e9;
    const double macs    = macs_of_pass(r, s, c);
    put_quotient(to, c, "instructions_per_cycle", counted(c, "instructions_count"), "instructions_count", counted(c, "cycles_count"), "cycles_count");
    put_quotient(to, c, "float_operations_per_s", counted(c, "float_operations_count"), "float_operations_count", seconds, "float_operations_count");
    put_quotient(to, c, "memory_bytes_per_mac", 64 * counted(c, "last_level_misses_count"), "last_level_misses_count", macs, "last_level_misses_count");
    put_quotient(to, c, "last_level_miss_ratio", counted(c, "last_level_misses_count"), "last_level_misses_count", counted(c, "last_level_references_count"), "last_level_references_count");
    put_quotient(to, c, "branch_miss_ratio", counted(c, "branch_misses_count"), "branch_misses_count", counted(c, "branches_count"), "branches_count");
    const double joules = median_over(c, NULL, "energy_joules");
    put_number(to, "energy_joules", joules, reason_over(c, NULL, "energy_joules"));
    for (int i = 0; i < c->n_said; i++)
        if (isfinite(number(c->said[i], "idle_joules_per_s"))) json_put_number(to, "idle_joules_per_s", number(c->said[i], "idle_joules_per_s"));
    put_number(to, "energy_per_image_joules", joules / c->batch, reason_over(c, NULL, "energy_joules"));
    /* Rule V14, of one thread. */
    const double operations = counted(c, "float_operations_count"), executed = report_number(result_block(r, "model")->at, "/counts/flops_all_executed") * c->batch;
    if (!s->train && runtime_threads() == 1 && isfinite(operations) && isfinite(executed) && fabs(operations / executed - 1) > 0.05)
        result_warn_detail(r, WARN_operations_differ, "%.2f times flops_all_executed", operations / executed);
}

/* -- roofline (rule V16) -- */

static void put_roofline(Result *r, const BenchSettings *s, const BenchCell *c) {
    JsonSink     *to = result_block(r, "roofline");
    const json_t *value;
    const char   *key;
    if (s->ceilings == NULL) return;
    json_object_foreach((json_t *)s->ceilings, key, value) json_put(to, key, json_incref((json_t *)value));
    const double peak = report_number(s->ceilings, "/fma_peak_flops_2x_per_s"), seconds = report_number(result_block(r, "metrics")->at, "/latency_ns") / 1e9;
    const double longest = report_number(result_block(r, "metrics")->at, "/latency_high_ns") / 1e9, macs = macs_of_pass(r, s, c);
    double       bytes = 0;
    const json_t *ops = report_at(result_block(r, "profile")->at, "/ops"), *op;
    size_t        i;
    json_array_foreach(ops, i, op) bytes += report_number(op, "/moved_bytes");
    bytes /= report_number(result_block(r, "profile")->at, "/passes_count");
    put_number(to, "achieved_flops_2x_per_s", 2 * macs / seconds, "not_requested");
    put_number(to, "peak_ratio", 2 * macs / seconds / peak, "not_supported");
    put_number(to, "flops_2x_per_moved_byte", bytes > 0 ? 2 * macs / bytes : NAN, "not_requested");
    if (json_is_true(json_object_get(s->ceilings, "kernels_are_the_widest")) && 2 * macs / seconds > 1.05 * peak && !(2 * macs / longest <= 1.05 * peak))
        result_warn_detail(r, WARN_above_peak, "%.3g operations a second, the peak is %.3g", 2 * macs / seconds, peak);
}

bool bench_result_fill(Result *r, const BenchSettings *s, const BenchCell *c, Error *err) {
    JsonSink   *metrics = result_block(r, "metrics"), *processes = result_block(r, "processes");
    const char *short_of = effort_shortfall(&s->effort);
    CHECK(c->n_said > 0, "a cell that no process measured");
    json_put_text(result_block(r, "provenance"), "session", s->session);
    put_threads(r, c);
    if (!put_latency(r, s, c, false, err) || !put_latency(r, s, c, true, err)) return false;
    put_counts(r, s, c);
    if (!bench_judge(r, s, c, err)) return false;
    put_counters(r, s, c);
    put_roofline(r, s, c);
    json_put_count(metrics, "processes_count", c->n_said);
    put_number(metrics, "warmup_passes_count", floor(median_over(c, NULL, "warmup_passes_count")), "not_requested");
    const double passes = report_number(metrics->at, "/latency_samples_count") * report_number(metrics->at, "/latency_passes_per_sample_count") / c->n_said;
    const double faults = median_over(c, NULL, "minor_faults_count") / passes;
    put_number(metrics, "minor_faults_per_pass_count", faults, "not_requested");
    if (faults >= 1) result_warn_detail(r, WARN_minor_faults, "%.1f a pass", faults);
    const double resident = median_over(c, NULL, "peak_resident_bytes"), packed = median_over(c, NULL, "packed_weights_bytes");
    if (isfinite(resident)) json_put_count(metrics, "peak_resident_bytes", (int64_t)resident);
    if (isfinite(packed)) json_put_count(metrics, "packed_weights_bytes", (int64_t)packed);
    put_number(metrics, "order_tau", s->order_tau, "not_requested");
    if (fabs(s->order_tau) >= 0.2 && s->effort.processes > 1) result_warn_detail(r, WARN_order_not_random, "Kendall's tau %.2f", s->order_tau);
    if (strcmp(s->effort.name, "smoke") == 0) result_warn(r, WARN_smoke_profile);
    else if (short_of != NULL) result_warn_detail(r, WARN_too_short, "%s is below the profile %s", short_of, s->effort.name);
    if (c->arm->data->synthetic) result_warn(r, WARN_synthetic_data);
    session_warn_loading(r, c->arm->warning);
    /* last, for flags were added: the bulk of what they said is in its own places */
    static const char *const bulky[] = {"latency_ns", "end_to_end_latency_ns", "profile", "depth_tokens_count", "witness"};
    for (int i = 0; i < c->n_said; i++) {
        json_t *copy = json_copy(c->said[i]);
        for (size_t k = 0; k < sizeof bulky / sizeof *bulky; k++) json_object_del(copy, bulky[k]);
        json_put(processes, NULL, copy);
    }
    return true;
}
