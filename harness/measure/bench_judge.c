/* What lowers the worth of a cell's processes, rule by rule (bench.h). */
#include "harness/measure/bench.h"

#include "harness/measure/stats.h"
#include "harness/measure/steady.h"
#include "harness/options.h"
#include "harness/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double number(const json_t *said, const char *key) {
    const json_t *value = json_object_get(said, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t count(const json_t *said, const char *key) { return json_integer_value(json_object_get(said, key)); }

/* -- steadiness (rule V20) -- */

/* Movements below this share of the median are of no account. */
static const double steady_floor = 0.02, common_floor = 0.01;

static bool judge_steadiness(Result *r, const BenchCell *c, Error *err) {
    double drift[4096] = {0}, trend[4096] = {0}, mean = 0;
    int    n = 0, n_unsteady = 0, n_hurried = 0;
    for (int i = 0; i < c->n_said && n < 4096; i++) {
        const json_t *list = json_object_get(c->said[i], "latency_ns"), *value;
        const size_t  size = json_array_size(list);
        double       *x    = calloc(size + 1, sizeof *x);
        Steadiness    found;
        size_t        k;
        if (x == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu samples", size);
        json_array_foreach(list, k, value) x[k] = json_number_value(value);
        const bool ok = steady_judge(&found, x, size, steady_floor, err);
        free(x);
        if (!ok) return false;
        n_hurried += json_is_false(json_object_get(c->said[i], "warmup_settled"));
        if (size < STEADY_SAMPLES) continue;
        trend[n]   = found.trend_z;
        drift[n++] = found.drift_ratio;
        mean += found.drift_ratio;
        n_unsteady += found.trending || found.stepped || found.swinging;
    }
    mean /= n > 0 ? n : 1;
    if (fabs(mean) > common_floor && steady_common(drift, trend, (size_t)n))
        result_warn_detail(r, WARN_unsteady, "%s by %.1f %% in a process on average; the warm-up of %d of %d processes ended for want of time", mean > 0 ? "slower" : "faster",
                           100 * fabs(mean), n_hurried, c->n_said);
    else if (3 * n_unsteady > n)
        result_warn_detail(r, WARN_trend, "in %d of %d processes, each its own way", n_unsteady, n);
    return true;
}

/* -- quiet machine, each process by itself (rules V22 to V25) -- */

/* Notes a flag with the process. */
static void flag(json_t *process, const char *name) {
    json_t *flags = json_object_get(process, "flags");
    json_array_append_new(flags, json_string(name));
}

static void judge_processes(Result *r, const BenchCell *c) {
    int busy = 0, stolen = 0, drifted = 0, major = 0;
    for (int i = 0; i < c->n_said; i++) {
        json_t      *p       = c->said[i];
        const double seconds = number(p, "timed_ns") / 1e9, threads = (double)count(p, "threads_requested_count");
        const double before  = number(p, "spin_before_ns"), after = number(p, "spin_after_ns");
        if (number(p, "cpu_waiting_ratio") > 0.05 || number(p, "involuntary_switches_count") > 50 * seconds * threads) { flag(p, "machine_busy"); busy++; }
        if (number(p, "steal_ratio") > 0.01) { flag(p, "cpu_stolen"); stolen++; }
        if (fabs(after - before) > 0.02 * before) { flag(p, "frequency_drift"); drifted++; }
        if (count(p, "major_faults_count") > 0) { flag(p, "major_faults"); major++; }
    }
    if (10 * busy > c->n_said) result_warn_detail(r, WARN_machine_busy, "around %d of %d processes", busy, c->n_said);
    if (10 * stolen > c->n_said) result_warn_detail(r, WARN_cpu_stolen, "in %d of %d processes more than 1 %%", stolen, c->n_said);
    if (10 * drifted > c->n_said) result_warn_detail(r, WARN_frequency_drift, "by more than 2 %% in %d of %d processes", drifted, c->n_said);
    if (10 * major > c->n_said) result_warn_detail(r, WARN_major_faults, "in %d of %d processes", major, c->n_said);
}

/* -- outputs (rules V3, V5, V33) -- */

static void judge_outputs(Result *r, const BenchCell *c) {
    int64_t     differ = 0, compared = 0;
    int         vary = 0;
    const char *first = json_string_value(json_object_get(c->said[0], "output_sha256"));
    for (int i = 0; i < c->n_said; i++) {
        const json_t *p   = c->said[i];
        const char   *sum = json_string_value(json_object_get(p, "output_sha256")), *other = json_string_value(json_object_get(p, "end_to_end_output_sha256"));
        compared += count(p, "outputs_compared_count");
        differ   += count(p, "outputs_differ_count") + count(p, "end_to_end_differ_count");
        vary     += sum == NULL || first == NULL || strcmp(sum, first) != 0 || (other != NULL && strcmp(sum, other) != 0);
    }
    if (differ > 0) result_warn_detail(r, WARN_outputs_differ, "%lld of %lld samples", (long long)differ, (long long)compared);
    if (vary > 0) result_warn_detail(r, WARN_outputs_vary, "%d of %d processes, or passes end to end", vary, c->n_said);
    if (first != NULL && first[0] != '\0') json_put_text(result_block(r, "metrics"), "output_sha256", first);
    json_t *witness = json_object_get(c->said[0], "witness");  /* the same in all processes when the digest is */
    if (witness != NULL) json_put(result_block(r, "metrics"), "witness", json_incref(witness));
}

/* Rule V31: every process read what the first look at the files saw. A folder's digest is known to the parent alone. */
static void judge_files(Result *r, const BenchCell *c) {
    int changed = 0;
    for (int i = 0; i < c->n_said; i++) {
        const char *weights = json_string_value(json_object_get(c->said[i], "weights_sha256")), *data = json_string_value(json_object_get(c->said[i], "data_digest"));
        changed += (weights != NULL && strcmp(weights, c->arm->weights_sha256) != 0) ||
                   (data != NULL && data[0] != '\0' && c->arm->data->digest[0] != '\0' && !c->arm->data->synthetic && strcmp(data, c->arm->data->digest) != 0);
    }
    if (changed > 0) result_warn_detail(r, WARN_data_changed, "%d of %d processes read others", changed, c->n_said);
}

/* What random weights and generated images mean for a model whose cost depends on what it sees (rule V30). */
static void judge_routing(Result *r, const BenchCell *c) {
    const json_t *model  = result_block(r, "model")->at;
    bool          routed = json_is_true(json_object_get(model, "routed"));
    for (int i = 0; i < c->n_said; i++) routed = routed || json_is_true(json_object_get(c->said[i], "routed"));
    if (!routed) return;
    if (c->arm->data->synthetic) result_warn(r, WARN_synthetic_routing);
    if (c->arm->weights_sha256[0] != '\0') return;
    result_warn(r, WARN_untrained_routing);
    if (json_is_true(json_object_get(model, "decides_depth"))) result_warn(r, WARN_untrained_speed);
}

/* Rule V32. */
static void judge_build(Result *r, const BenchSettings *s) {
    const char *commit = json_string_value(report_at(result_block(r, "provenance")->at, "/commit")), *kind = json_string_value(report_at(result_block(r, "env")->at, "/build_kind"));
    if (strcmp(s->effort.name, "paper") != 0) return;
    if (commit == NULL || strstr(commit, "-dirty") != NULL || kind == NULL || strcmp(kind, "optimised") != 0)
        result_warn_detail(r, WARN_paper_build, "%s, commit %s", kind != NULL ? kind : "of an unknown kind", commit != NULL ? commit : "unknown");
}

/* Rule V4: the interval of the ratios of all processes lies below 0.9. */
static bool judge_repeats(Result *r, const BenchCell *c, Error *err) {
    double        ratio[4096];
    int           n = 0;
    StatsInterval s;
    for (int i = 0; i < c->n_said && n < 4096; i++)
        if (isfinite(number(c->said[i], "repeat_ratio"))) ratio[n++] = number(c->said[i], "repeat_ratio");
    if (n == 0) return true;
    if (!stats_process_interval(&s, ratio, NULL, (size_t)n, err)) return false;
    json_put_number(result_block(r, "metrics"), "repeated_input_ratio", s.median);
    if (s.high < 0.9) result_warn_detail(r, WARN_caching, "%.2f of the time, interval %.2f to %.2f", s.median, s.low, s.high);
    return true;
}

/* Rule V28: scopes and ops are the same time divided in two ways, which lies within the passes'; what they leave is told. */
static void judge_parts(Result *r, const BenchCell *c) {
    JsonSink     *profile = result_block(r, "profile");
    const json_t *list[]  = {report_at(profile->at, "/scopes"), report_at(profile->at, "/ops")}, *one;
    double        sum[2]  = {0, 0};
    double        whole   = NAN;
    size_t        i;
    for (int k = 0; k < c->n_said && isnan(whole); k++) whole = number(c->said[k], "profiled_ns");   /* one process was asked */
    for (int k = 0; k < 2; k++)
        json_array_foreach(list[k], i, one) sum[k] += report_number(one, "/elapsed_ns");
    if (!isfinite(whole)) return;
    json_put_count(profile, "passes_elapsed_ns", (int64_t)whole);
    json_put_count(profile, "unaccounted_ns", (int64_t)fmax(0, whole - sum[1]));
    if (fabs(sum[0] - sum[1]) > 0.02 * whole || sum[1] > 1.02 * whole)
        result_warn_detail(r, WARN_parts_disagree, "layers %.0f ns, ops %.0f ns, passes %.0f ns", sum[0], sum[1], whole);
}

bool bench_judge(Result *r, const BenchSettings *s, const BenchCell *c, Error *err) {
    if (!judge_steadiness(r, c, err) || !judge_repeats(r, c, err)) return false;
    judge_parts(r, c);
    judge_processes(r, c);
    judge_files(r, c);
    judge_routing(r, c);
    judge_build(r, s);
    if (!s->train) judge_outputs(r, c);
    return true;
}
