/* The measures of claims, each once in `measures`, and the values they work on (claim_measures.h). */
#include "harness/report/claim_measures.h"

#include "harness/report/compare.h"
#include "harness/measure/student.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- fields ---- */

static const ClaimField fields[] = {
#define CLAIM_FIELD(name_, pointer_, repeats_, form_, what_, same_) \
    {.name = #name_, .pointer = pointer_, .what = what_, .same = same_, .repeats = CLAIM_##repeats_, .form = CLAIM_##form_},
#include "harness/report/claim_fields.def"
#undef CLAIM_FIELD
};

const ClaimField *claim_field_find(const char *name) {
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].name, name) == 0) return &fields[i];
    return NULL;
}

const char *claim_field_names(void) {
    static const char joined[] =
#define CLAIM_FIELD(name_, ...) ", " #name_
#include "harness/report/claim_fields.def"
#undef CLAIM_FIELD
        ;
    return joined + 2;
}

/* ---- values ---- */

/* The values at the pointers of `same`, one a line. free(); NULL: no memory. */
static char *same_key(const ClaimRuns *c, const ClaimField *f, int row) {
    char  *text = NULL, pointer[128];
    size_t n;
    FILE  *out = open_memstream(&text, &n);
    if (out == NULL) return NULL;
    for (const char *s = f->same; *s != '\0';) {
        const size_t length = strcspn(s, " ");
        snprintf(pointer, sizeof pointer, "%.*s", (int)length, s);
        json_t *value = claim_at(c, row, pointer);
        char   *shown = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        fprintf(out, "%s %s\n", strrchr(pointer, '/') + 1, shown != NULL ? shown : "none");
        free(shown);
        json_decref(value);
        s += length + (s[length] == ' ');
    }
    if (fclose(out) == 0) return text;
    free(text);
    return NULL;
}

/* The same work for every image, whatever the weights. */
static bool is_fixed(const json_t *run) {
    const json_t *least = report_at(run, "/model/counts/macs_executed_min"), *most = report_at(run, "/model/counts/macs_executed_max");
    return json_is_number(least) && json_is_number(most) && json_number_value(least) == json_number_value(most);
}

/* INVALID decides nothing; a smoke-profile timing shows that timing works; generated images teach nothing and route as they come. */
static bool counts(const ReportRow *row, const ClaimField *f) {
    const char *status    = json_string_value(report_at(row->run, "/status"));
    const bool  synthetic = json_is_true(report_at(row->run, "/data/synthetic"));
    if (status == NULL || strcmp(status, "ok") != 0 || strcmp(row->verdict, "INVALID") == 0) return false;
    if (f->repeats == CLAIM_EXACT) return true;
    if (f->repeats == CLAIM_SEEDS) return !synthetic;
    return strcmp(row->verdict, "SMOKE") != 0 && (!synthetic || is_fixed(row->run));
}

static bool add_unit(json_t *units, const ClaimRuns *c, const ClaimField *f, int row, const json_t *value) {
    char  seed[80] = "", *context = NULL;
    const json_t *run = c->report->row[row].run;
    const char   *session = json_string_value(report_at(run, "/provenance/session"));
    if (f->repeats == CLAIM_SEEDS && !(strcmp(f->name, "macs_executed") == 0 && is_fixed(run))) {
        claim_seed(c, row, seed);
        context = claim_training_key(c, row);
    } else {
        if (f->repeats == CLAIM_PROCESSES) snprintf(seed, sizeof seed, "%s", session != NULL ? session : "");
        context = f->repeats == CLAIM_SEEDS ? strdup("same work for every image") : same_key(c, f, row);
    }
    json_t *of_context = context != NULL ? json_object_get(units, context) : NULL;
    bool    ok         = context != NULL;
    if (ok && of_context == NULL) ok = json_object_set_new(units, context, of_context = json_object()) == 0;
    if (ok && json_object_get(of_context, seed) == NULL)
        ok = json_object_set_new(of_context, seed, json_pack("{s:O, s:i}", "value", value, "row", row)) == 0;
    free(context);
    return ok;
}

json_t *claim_units(const ClaimRuns *c, const ClaimField *f, const json_t *where, const int *rows, int n) {
    json_t *units = json_object();
    bool    ok    = units != NULL;
    for (int i = 0; ok && i < n; i++) {
        if (!counts(&c->report->row[rows[i]], f) || (where != NULL && !claim_selects(c, where, rows[i]))) continue;
        json_t *value = claim_at(c, rows[i], f->pointer);
        if (json_is_number(value)) ok = add_unit(units, c, f, rows[i], value);
        json_decref(value);
    }
    if (ok) return units;
    json_decref(units);
    return NULL;
}

/* ---- estimates ---- */

static double value_of(const json_t *unit) { return json_number_value(json_object_get(unit, "value")); }

static double one_value(const json_t *units) {
    const char *name;
    json_t     *unit;
    json_object_foreach((json_t *)units, name, unit) return value_of(unit);
    return NAN;
}

/* Values of seeds that both arms have; of one arm its own. */
static size_t pairs_of(const ClaimArms *arms, double a[CLAIM_UNITS_MOST], double b[CLAIM_UNITS_MOST]) {
    const char *name;
    json_t     *unit;
    size_t      n = 0;
    json_object_foreach((json_t *)arms->a, name, unit) {
        const json_t *other = arms->b != NULL ? json_object_get(arms->b, name) : unit;
        if (other == NULL || n == CLAIM_UNITS_MOST) continue;
        a[n]   = value_of(unit);
        b[n++] = value_of(other);
    }
    return n;
}

static bool is_exact(const ClaimField *f, const ClaimArms *arms) {
    if (f->repeats == CLAIM_EXACT) return true;
    return f->repeats == CLAIM_SEEDS && json_object_get(arms->a, "") != NULL && (arms->b == NULL || json_object_get(arms->b, "") != NULL);
}

static void exactly(ClaimEstimate *out, double value) {
    *out = (ClaimEstimate){.value = value, .low = NAN, .high = NAN, .p = NAN, .n_units = 1, .method = "exact"};
}

/* Student's t; too few seeds is an answer too. */
static void from_seeds(ClaimEstimate *out, const double *x, size_t n, double threshold) {
    *out = (ClaimEstimate){.value = NAN, .low = NAN, .high = NAN, .p = NAN, .n_units = n, .method = STUDENT_INTERVAL_METHOD};
    if (n > 0) {
        const Student s = student_mean(x, n, threshold);
        out->value = s.mean, out->low = s.low, out->high = s.high, out->p = s.p;
    }
    if (n < CLAIM_SEEDS_LEAST) snprintf(out->lacks, sizeof out->lacks, "%zu seed%s in common, %d are needed", n, n == 1 ? "" : "s", CLAIM_SEEDS_LEAST);
}

static bool value_measure(ClaimEstimate *out, const ClaimField *f, const ClaimArms *arms, int n_arms, double threshold, Error *err) {
    double a[CLAIM_UNITS_MOST], b[CLAIM_UNITS_MOST];
    (void)n_arms, (void)err;
    if (is_exact(f, arms)) exactly(out, one_value(arms->a));
    else                   from_seeds(out, a, pairs_of(arms, a, b), threshold);
    return true;
}

static bool difference_measure(ClaimEstimate *out, const ClaimField *f, const ClaimArms *arms, int n_arms, double threshold, Error *err) {
    double a[CLAIM_UNITS_MOST], b[CLAIM_UNITS_MOST];
    (void)n_arms, (void)err;
    if (is_exact(f, arms)) {
        exactly(out, one_value(arms->a) - one_value(arms->b));
        return true;
    }
    const size_t n = pairs_of(arms, a, b);
    for (size_t i = 0; i < n; i++) a[i] -= b[i];
    from_seeds(out, a, n, threshold);
    return true;
}

/* Of a timing the arms of one session where there is one: they took turns. */
static bool choose_sessions(const ClaimArms *arms, const json_t **a, const json_t **b) {
    const char *name;
    json_t     *unit;
    *a = *b = NULL;
    json_object_foreach((json_t *)arms->a, name, unit)
        if (name[0] != '\0' && json_object_get(arms->b, name) != NULL) *a = unit, *b = json_object_get(arms->b, name);
    if (*a != NULL) return true;
    json_object_foreach((json_t *)arms->a, name, unit) *a = unit;
    json_object_foreach((json_t *)arms->b, name, unit) *b = unit;
    return false;
}

/* a over b, of processes that took turns or, of two sessions, not; p: that it is the threshold. */
static bool hold_times(TwoSamples *out, double *p, const double *a, size_t n, double *b, size_t m, bool paired, double threshold, Error *err) {
    TwoSamples against = {.p = NAN};
    bool       ok = paired ? two_samples_paired(out, b, a, n, err) : two_samples_independent(out, b, m, a, n, err);      /* second over first */
    for (size_t i = 0; i < m; i++) b[i] *= threshold;                 /* equal to 1 where the ratio is the threshold */
    ok = ok && (paired ? two_samples_paired(&against, b, a, n, err) : two_samples_independent(&against, b, m, a, n, err));
    *p = against.p;
    return ok;
}

static bool satisfied_alike(double x, double y, double threshold) { return (x > threshold) == (y > threshold); }

/* Two sessions meet the machine at two clocks: then the answer must be the same at equal clock too, as in compare.c. */
static bool ratio_of_times(ClaimEstimate *out, const ClaimArms *arms, double threshold, Error *err) {
    const json_t *unit[2];
    const json_t *run[2] = {NULL, NULL};
    double       *x[2] = {NULL, NULL}, *at_clock[2] = {NULL, NULL}, loop, p = NAN, p_at_clock = NAN;
    size_t        n[2] = {0, 0};
    bool          same = choose_sessions(arms, &unit[0], &unit[1]), ok = true;
    TwoSamples    t    = {.ratio = NAN, .low = NAN, .high = NAN}, u = t;
    CompareLeftOut none = {0};                               /* every sample counts */
    for (int i = 0; ok && i < 2; i++) {
        const ReportRow *row = &arms->runs->report->row[json_integer_value(json_object_get(unit[i], "row"))];
        run[i] = row->run;
        ok = compare_units(row->run, COMPARE_LATENCY, false, &x[i], &n[i], &none, err) || error_in(err, row->path);
    }
    same = same && n[0] == n[1];
    const bool timed = ok && n[0] > 0 && n[1] > 0;
    if (timed && !same)
        for (int i = 0; i < 2; i++) at_clock[i] = compare_at_clock(run[i], COMPARE_LATENCY, x[i], n[i], &loop);
    if (timed) ok = hold_times(&t, &p, x[0], n[0], x[1], n[1], same, threshold, err);
    if (ok && at_clock[0] != NULL && at_clock[1] != NULL) {
        ok = hold_times(&u, &p_at_clock, at_clock[0], n[0], at_clock[1], n[1], false, threshold, err);
        p  = satisfied_alike(t.ratio, u.ratio, threshold) ? fmax(p, p_at_clock) : 1;
    }
    const size_t least = n[0] < n[1] ? n[0] : n[1];
    *out = (ClaimEstimate){.value = t.ratio, .low = t.low, .high = t.high, .p = p, .n_units = least,
                           .method = same ? "wilcoxon_walsh95" : "hodges_lehmann_moses95"};
    if (least < CLAIM_PROCESSES_LEAST) snprintf(out->lacks, sizeof out->lacks, "%zu process%s, %d are needed", least, least == 1 ? "" : "es", CLAIM_PROCESSES_LEAST);
    else if (!same && !isfinite(p_at_clock)) snprintf(out->lacks, sizeof out->lacks, "two sessions, without the fixed loop that follows the clock");
    for (int i = 0; i < 2; i++) {
        free(x[i]);
        free(at_clock[i]);
    }
    return ok;
}

static bool ratio_measure(ClaimEstimate *out, const ClaimField *f, const ClaimArms *arms, int n_arms, double threshold, Error *err) {
    double a[CLAIM_UNITS_MOST], b[CLAIM_UNITS_MOST];
    (void)n_arms;
    if (f->repeats == CLAIM_PROCESSES) return ratio_of_times(out, arms, threshold, err);
    if (is_exact(f, arms)) {
        exactly(out, one_value(arms->a) / one_value(arms->b));
        return true;
    }
    const size_t n = pairs_of(arms, a, b);
    for (size_t i = 0; i < n; i++) a[i] = log(a[i] / b[i]);
    from_seeds(out, a, n, log(threshold));
    out->value = exp(out->value), out->low = exp(out->low), out->high = exp(out->high);
    return true;
}

/* Least squares of a - b against log2 x, of each seed that all pairs have; then t over the slopes. */
static bool trend_measure(ClaimEstimate *out, const ClaimField *f, const ClaimArms *arms, int n_arms, double threshold, Error *err) {
    double      slope[CLAIM_UNITS_MOST] = {0};
    size_t      n = 0;
    const char *name;
    json_t     *unit;
    (void)f, (void)err;
    double sum = 0, square = 0;
    for (int i = 0; i < n_arms; i++) sum += log2(arms[i].x);
    for (int i = 0; i < n_arms; i++) square += pow(log2(arms[i].x) - sum / n_arms, 2);
    if (n_arms >= CLAIM_POINTS_LEAST && square > 0) json_object_foreach((json_t *)arms[0].a, name, unit) {
        double product = 0;
        bool   whole   = n < CLAIM_UNITS_MOST;
        for (int i = 0; whole && i < n_arms; i++) {
            const json_t *a = json_object_get(arms[i].a, name), *b = json_object_get(arms[i].b, name);
            whole = a != NULL && b != NULL;
            if (whole) product += (log2(arms[i].x) - sum / n_arms) * (value_of(a) - value_of(b));
        }
        if (whole) slope[n++] = product / square;
    }
    from_seeds(out, slope, n, threshold);
    if (!(square > 0)) snprintf(out->lacks, sizeof out->lacks, "all points of the line stand at one place");
    return true;
}

static const ClaimMeasure measures[] = {
    {.name = "value",      .what = "of A alone",                                         .estimate = value_measure},
    {.name = "difference", .what = "A - B",             .two_arms = true,                .estimate = difference_measure},
    {.name = "ratio",      .what = "A / B",             .two_arms = true,                .estimate = ratio_measure},
    {.name = "trend",      .what = "slope of A - B against log2 of a setting", .two_arms = true, .over = true, .estimate = trend_measure},
};

const ClaimMeasure *claim_measure_find(const char *name) {
    for (size_t i = 0; i < sizeof measures / sizeof *measures; i++)
        if (strcmp(measures[i].name, name) == 0) return &measures[i];
    return NULL;
}

const char *claim_measure_names(void) { return "value, difference, ratio, trend"; }
