/* Units of a comparison: the medians of a run's processes, with outliers or without (compare.h). */
#include "harness/report/compare.h"

#include "harness/measure/stats.h"
#include "harness/report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* x (n), sorted here, without what lies beyond Tukey's fences; how many are left, at the beginning. */
static size_t within_fences(double *x, size_t n, double *low, double *high) {
    qsort(x, n, sizeof *x, ascending);
    const double q1 = stats_quantile(x, n, 0.25), q3 = stats_quantile(x, n, 0.75);
    size_t       kept = 0;
    *low  = q1 - 1.5 * (q3 - q1);
    *high = q3 + 1.5 * (q3 - q1);
    for (size_t i = 0; i < n; i++)
        if (x[i] >= *low && x[i] <= *high) x[kept++] = x[i];
    return kept;
}

static bool median_of(double *x, size_t n, bool without_outliers, double *median, CompareLeftOut *left_out, Error *err) {
    StatsInterval s;
    double        low, high;
    if (without_outliers) {
        const size_t kept = within_fences(x, n, &low, &high);        /* never none: the quartiles lie within */
        left_out->n_samples += (int)(n - kept);
        n = kept;
    }
    const bool ok = stats_process_interval(&s, x, NULL, n, err);
    if (ok) *median = s.median;
    return ok;
}

static bool leave_out_processes(double *unit, size_t n, CompareLeftOut *left_out, Error *err) {
    double *sorted = malloc((n + 1) * sizeof *sorted), low = 0, high = 0;
    if (sorted == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu processes", n);
    memcpy(sorted, unit, n * sizeof *unit);
    if (n > 0) within_fences(sorted, n, &low, &high);
    for (size_t i = 0; i < n; i++) {
        if (unit[i] >= low && unit[i] <= high) continue;
        unit[i] = NAN;
        left_out->n_processes++;
    }
    free(sorted);
    return true;
}

/* The samples (n) and which process each is of; false: err says why. Both are the caller's. */
static bool read_samples(const json_t *run, CompareMetric metric, double **samples, int **owner, size_t *n, Error *err) {
    const json_t *list    = report_at(run, metric == COMPARE_LATENCY ? "/samples/latency_ns" : "/samples/end_to_end_latency_ns"), *value;
    const json_t *process = report_at(run, metric == COMPARE_LATENCY ? "/samples/latency_process" : "/samples/end_to_end_latency_process");
    size_t        i;
    *n       = json_array_size(list);
    *samples = calloc(*n + 1, sizeof **samples);
    *owner   = calloc(*n + 1, sizeof **owner);
    if (*samples == NULL || *owner == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu samples", *n);
    if (process != NULL && json_array_size(process) != *n)
        return FAIL(err, "/samples/latency_process", "must be as long as the samples, %zu, got %zu", *n, json_array_size(process));
    json_array_foreach(list, i, value) {
        (*samples)[i] = json_number_value(value);
        (*owner)[i]   = process != NULL ? (int)json_integer_value(json_array_get(process, i)) : 0;
    }
    return true;
}

double *compare_at_clock(const json_t *run, CompareMetric metric, const double *unit, size_t n, double *loop_ns) {
    const json_t *owners = report_at(run, metric == COMPARE_LATENCY ? "/samples/latency_process" : "/samples/end_to_end_latency_process"), *owner;
    const json_t *processes = json_object_get(run, "processes");
    double       *loop = calloc(n + 1, sizeof *loop), *out = calloc(n + 1, sizeof *out);
    long long     last = -1;
    size_t        i, at = 0;
    bool          ok = loop != NULL && out != NULL;
    json_array_foreach(owners, i, owner) {
        if (json_integer_value(owner) == last) continue;
        last = (long long)json_integer_value(owner);
        const json_t *process = json_array_get(processes, (size_t)last);
        const double  before = report_number(process, "/spin_before_ns"), after = report_number(process, "/spin_after_ns");
        ok = ok && at < n && before > 0 && after > 0;
        if (!ok) break;
        loop[at] = (before + after)/2;
        out[at]  = unit[at]/loop[at];            /* NAN stays */
        ok       = ok && (isnan(unit[at]) || (isfinite(out[at]) && out[at] > 0));
        at++;
    }
    ok = ok && n > 0 && at == n;
    if (ok) {
        qsort(loop, n, sizeof *loop, ascending);
        *loop_ns = stats_quantile(loop, n, 0.5);
    }
    free(loop);
    if (ok) return out;
    free(out);
    return NULL;
}

bool compare_units(const json_t *run, CompareMetric metric, bool without_outliers, double **unit, size_t *n, CompareLeftOut *left_out, Error *err) {
    double *x = NULL, *medians = NULL;
    int    *owner = NULL;
    size_t  size = 0;
    bool    ok = read_samples(run, metric, &x, &owner, &size, err);
    *n = 0;
    if (ok && (medians = calloc(size + 1, sizeof *medians)) == NULL) ok = FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu samples", size);
    for (size_t from = 0, to; ok && from < size; from = to) {                /* samples of a process lie together */
        for (to = from; to < size && owner[to] == owner[from];) to++;
        ok = median_of(x + from, to - from, without_outliers, &medians[*n], left_out, err);
        *n += ok;
    }
    ok = ok && (!without_outliers || leave_out_processes(medians, *n, left_out, err));
    free(x);
    free(owner);
    if (ok) *unit = medians;
    else    free(medians);
    return ok;
}
