/* Judges claims (claims.h): conditions, corrections, verdicts. The outcome is JSON, which others print. */
#include "harness/report/claims.h"

#include "harness/measure/two_samples.h"
#include "harness/report/claim_measures.h"
#include "harness/report/claim_pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COMPARISONS_MOST = 4096 };
static const double certain_p = 0.05;

/* NOT_COUNTED: of a comparison or pair that cannot decide anything, and of nothing above. */
typedef enum Verdict { HOLDS, FAILS, UNDECIDED, NOT_COUNTED, N_VERDICTS } ClaimVerdict;
static const char *const verdict_names[] = {"holds", "fails", "undecided", "not counted"};

/* One condition of one pair in one context; entry: its place in the outcome. */
typedef struct Comparison { ClaimEstimate estimate; const json_t *condition; json_t *entry; int pair; } ClaimComparison;

typedef struct Judge {
    ClaimRuns        runs;
    ClaimComparison *comparison;     /* of the part at hand */
    int              n, pair;        /* the pair that comparisons are being made of; -1: all */
    bool             failed;         /* no memory somewhere */
} Judge;

static const char *const bounds[] = {"at_most", "at_least", "above", "below"};
static const char *const signs[]  = {"<=", ">=", ">", "<"};

static int bound_of(const json_t *condition, double *threshold) {
    for (int i = 0; i < 4; i++) {
        const json_t *value = json_object_get(condition, bounds[i]);
        if (value == NULL) continue;
        *threshold = json_number_value(value);
        return i;
    }
    return 0;                                            /* claims_check saw one */
}

static bool satisfies(int bound, double value, double threshold) {
    switch (bound) {
    case 0:  return value <= threshold;
    case 1:  return value >= threshold;
    case 2:  return value > threshold;
    default: return value < threshold;
    }
}

static json_t *run_ids(const Judge *j, const json_t *units) {
    json_t     *ids = json_array(), *unit;
    const char *name;
    json_object_foreach((json_t *)units, name, unit) {
        const json_t *run = j->runs.report->row[json_integer_value(json_object_get(unit, "row"))].run;
        json_array_append(ids, json_object_get(run, "id"));
    }
    return ids;
}

/* "cifar10-jpeg, 8 epochs", "batch 1, 2 threads": what tells one comparison of a pair from another, to people. */
static json_t *context_text(const Judge *j, const ClaimField *f, const json_t *units) {
    const char *name;
    json_t     *unit;
    char        text[256] = "";
    json_object_foreach((json_t *)units, name, unit) {
        const int     row = (int)json_integer_value(json_object_get(unit, "row"));
        const json_t *run = j->runs.report->row[row].run, *batch = report_at(run, "/metrics/batch_size_count");
        const json_t *threads = report_at(run, "/metrics/threads_effective_count"), *trained = j->runs.trained[row];
        const char   *data = json_string_value(report_at(run, "/data/name")), *env = json_string_value(report_at(run, "/env_id"));
        if (f->repeats == CLAIM_SEEDS && trained != NULL) {
            const json_t *epochs = report_at(trained, "/metrics/epochs_count");
            snprintf(text, sizeof text, "%s, trained %lld epoch%s", data != NULL ? data : "?", (long long)json_integer_value(epochs), json_integer_value(epochs) == 1 ? "" : "s");
        } else if (f->repeats == CLAIM_SEEDS) {
            snprintf(text, sizeof text, "%s", data != NULL ? data : "?");
        } else if (f->repeats == CLAIM_PROCESSES) {
            snprintf(text, sizeof text, "batch %lld, %lld threads, machine %.8s", (long long)json_integer_value(batch), (long long)json_integer_value(threads), env != NULL ? env : "?");
        }
        break;
    }
    return json_string(text);
}

/* ---- one comparison ---- */

static void put(Judge *j, json_t *to, const char *key, json_t *value) {
    if (json_object_set_new(to, key, value) != 0) j->failed = true;
}

static json_t *real_or_null(double v) { return isfinite(v) ? json_real(v) : json_null(); }

static void add_comparison(Judge *j, json_t *list, const json_t *condition, const ClaimField *f, const ClaimArms *arms, int n_arms, Error *err) {
    const ClaimMeasure *m = claim_measure_find(json_string_value(json_object_get(condition, "measure")));
    double              threshold = 0;
    const int           bound     = bound_of(condition, &threshold);
    ClaimEstimate       e;
    char                text[160];
    json_t             *entry = json_object();
    if (j->n == COMPARISONS_MOST) FAIL(err, "", "more than %d comparisons in one part of a claim: its selections are too wide for these runs", COMPARISONS_MOST);
    if (j->n == COMPARISONS_MOST || !m->estimate(&e, f, arms, n_arms, threshold, err)) {
        j->failed = true;
        json_decref(entry);
        return;
    }
    snprintf(text, sizeof text, "%s of %s %s %g", m->name, f->name, signs[bound], threshold);
    put(j, entry, "condition", json_string(text));
    put(j, entry, "field", json_string(f->name));
    put(j, entry, "measure", json_string(m->name));
    put(j, entry, "context", context_text(j, f, arms[0].a));
    put(j, entry, "threshold", json_real(threshold));
    put(j, entry, "value", real_or_null(e.value));
    put(j, entry, "low", real_or_null(e.low));
    put(j, entry, "high", real_or_null(e.high));
    put(j, entry, "interval_method", json_string(e.method));
    put(j, entry, "units_count", json_integer((json_int_t)e.n_units));
    put(j, entry, "p", real_or_null(e.p));
    put(j, entry, "lacks", json_string(e.lacks));
    json_t *ids_a = json_array(), *ids_b = json_array();
    for (int i = 0; i < n_arms; i++) {
        json_t *a = run_ids(j, arms[i].a), *b = arms[i].b != NULL ? run_ids(j, arms[i].b) : json_array();
        json_array_extend(ids_a, a);
        json_array_extend(ids_b, b);
        json_decref(a);
        json_decref(b);
    }
    put(j, entry, "runs_a", ids_a);
    put(j, entry, "runs_b", ids_b);
    j->comparison[j->n++] = (ClaimComparison){.estimate = e, .condition = condition, .entry = entry, .pair = j->pair};
    if (json_array_append_new(list, entry) != 0) j->failed = true;
}

static bool is_exact(const ClaimEstimate *e) { return strcmp(e->method, "exact") == 0 && isfinite(e->value); }

static ClaimVerdict compared(const ClaimComparison *c) {
    double    threshold = 0;
    const int bound     = bound_of(c->condition, &threshold);
    return satisfies(bound, c->estimate.value, threshold) ? HOLDS : FAILS;
}

/* A pair that an exact number rules out needs no other answer, and its comparisons do not make those of others harder. */
static bool is_ruled_out(const Judge *j, int pair) {
    for (int i = 0; i < j->n; i++)
        if (pair >= 0 && j->comparison[i].pair == pair && is_exact(&j->comparison[i].estimate) && compared(&j->comparison[i]) == FAILS) return true;
    return false;
}

static bool has_answer(const ClaimComparison *c) { return c->estimate.lacks[0] == '\0' && (is_exact(&c->estimate) || isfinite(c->estimate.p)); }

/* After all comparisons of a part are there: Holm over those that have a p. That all of them hold needs no correction, since each must
 * (the intersection-union test, Berger 1982); that one of them does, or fails, does. */
static void decide_comparisons(Judge *j, bool all, Error *err) {
    double *p = calloc((size_t)j->n + 1, sizeof *p);
    size_t  n = 0, k = 0;
    for (int i = 0; p != NULL && i < j->n; i++)
        if (has_answer(&j->comparison[i]) && isfinite(j->comparison[i].estimate.p) && !is_ruled_out(j, j->comparison[i].pair)) p[n++] = j->comparison[i].estimate.p;
    if (p == NULL || !holm_correct(p, n, err)) j->failed = true;
    for (int i = 0; !j->failed && i < j->n; i++) {
        const ClaimComparison *c = &j->comparison[i];
        const bool             out = is_ruled_out(j, c->pair), exact = is_exact(&c->estimate), counted = has_answer(c) && (exact || !out);
        const double           corrected = counted && !exact ? p[k++] : NAN;
        const ClaimVerdict     seems     = counted ? compared(c) : NOT_COUNTED;
        const bool             certain   = exact || (all && seems == HOLDS ? c->estimate.p : corrected) < certain_p;
        if (has_answer(c) && !counted) put(j, c->entry, "lacks", json_string("not asked: an exact condition fails"));
        put(j, c->entry, "p_corrected", real_or_null(corrected));
        put(j, c->entry, "comparisons_count", json_integer((json_int_t)n));
        put(j, c->entry, "verdict", json_string(verdict_names[!counted || certain ? seems : UNDECIDED]));
    }
    free(p);
}

/* ---- one pair ---- */

static const ClaimField *field_of(const json_t *condition) { return claim_field_find(json_string_value(json_object_get(condition, "field"))); }

/* A condition with "where" looks at all runs of the model, since a model that was chosen for its training is timed by others. */
static json_t *units_of(Judge *j, const json_t *condition, const ClaimGroup *g) {
    const json_t *where = json_object_get(condition, "where");
    ClaimGroup    all   = {0};
    if (where != NULL && !claim_group_all(&all, &j->runs, g)) j->failed = true;
    json_t *units = claim_units(&j->runs, field_of(condition), where, where != NULL ? all.row : g->row, where != NULL ? all.n : g->n);
    free(all.row);
    if (units == NULL) j->failed = true;
    return units;
}

/* The contexts that both have, each a comparison; none is one of its own, which says so. */
static void compare_pair(Judge *j, json_t *list, const json_t *condition, const ClaimGroup *a, const ClaimGroup *b, Error *err) {
    json_t     *of_a = units_of(j, condition, a), *of_b = b != NULL ? units_of(j, condition, b) : NULL, *units;
    const char *context;
    const size_t before = json_array_size(list);
    json_object_foreach(of_a, context, units) {
        const json_t *other = of_b != NULL ? json_object_get(of_b, context) : NULL;
        if (b != NULL && other == NULL) continue;
        add_comparison(j, list, condition, field_of(condition), &(ClaimArms){.runs = &j->runs, .a = units, .b = other}, 1, err);
    }
    if (json_array_size(list) == before) {
        char text[256];
        const char *name = json_string_value(json_object_get(condition, "field"));
        if (json_object_size(of_a) == 0 || (b != NULL && json_object_size(of_b) == 0))
            snprintf(text, sizeof text, "no run of %s that counts has %s%s", json_object_size(of_a) == 0 ? "A" : "B", name, json_object_get(condition, "where") != NULL ? " under the condition's where" : "");
        else snprintf(text, sizeof text, "no two runs of A and B with %s agree in all that must be equal", name);
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "field", name, "verdict", verdict_names[NOT_COUNTED], "lacks", text));
    }
    json_decref(of_a);
    json_decref(of_b);
}

/* ---- a measure over all pairs ---- */

typedef struct Pair { const ClaimGroup *a, *b; } Pair;

static void compare_over(Judge *j, json_t *list, const json_t *condition, const Pair *pair, int n, Error *err) {
    const char *along = json_string_value(json_object_get(condition, "along")), *context;
    ClaimArms  *arms  = calloc((size_t)n + 1, sizeof *arms);
    json_t    **of_a = calloc((size_t)n + 1, sizeof *of_a), **of_b = calloc((size_t)n + 1, sizeof *of_b), *units;
    if (arms == NULL || of_a == NULL || of_b == NULL) j->failed = true;
    for (int i = 0; !j->failed && i < n; i++) {
        of_a[i] = units_of(j, condition, pair[i].a);
        of_b[i] = units_of(j, condition, pair[i].b);
    }
    const size_t before = json_array_size(list);
    int          most   = 0;
    for (int first = 0; !j->failed && first < n; first++) json_object_foreach(of_a[first], context, units) {
        int  used  = 0;
        bool known = false;                              /* by an earlier pair, and its line is drawn */
        for (int i = 0; i < first; i++) known = known || json_object_get(of_a[i], context) != NULL;
        for (int i = first; !known && i < n; i++) {
            json_t *x = claim_at(&j->runs, pair[i].a->row[0], along);
            const json_t *a = json_object_get(of_a[i], context), *b = json_object_get(of_b[i], context);
            if (a != NULL && b != NULL && json_is_number(x)) arms[used++] = (ClaimArms){.runs = &j->runs, .a = a, .b = b, .x = json_number_value(x)};
            json_decref(x);
        }
        if (used > most) most = used;
        if (used >= CLAIM_POINTS_LEAST) add_comparison(j, list, condition, field_of(condition), arms, used, err);
    }
    if (json_array_size(list) == before) {
        char text[96];
        snprintf(text, sizeof text, "%d points at most to draw the line through, %d are needed", most, CLAIM_POINTS_LEAST);
        json_array_append_new(list, json_pack("{s:o, s:s, s:s}", "field", json_incref(json_object_get(condition, "field")), "verdict", "undecided", "lacks", text));
    }
    for (int i = 0; of_a != NULL && of_b != NULL && i < n; i++) {
        json_decref(of_a[i]);
        json_decref(of_b[i]);
    }
    free(of_a);
    free(of_b);
    free(arms);
}

/* ---- verdicts upwards ---- */

static ClaimVerdict verdict_of(const json_t *object) {
    const char *name = json_string_value(json_object_get(object, "verdict"));
    for (int i = 0; name != NULL && i < N_VERDICTS; i++)
        if (strcmp(name, verdict_names[i]) == 0) return (ClaimVerdict)i;
    return UNDECIDED;
}

static void tally(const json_t *list, size_t n[N_VERDICTS]) {
    const json_t *one;
    size_t        i;
    memset(n, 0, N_VERDICTS*sizeof *n);
    json_array_foreach(list, i, one) n[verdict_of(one)]++;
}

static ClaimVerdict all_of(const json_t *list, size_t least) {
    size_t n[N_VERDICTS];
    tally(list, n);
    return n[FAILS] > 0 ? FAILS : n[UNDECIDED] == 0 && n[HOLDS] >= least ? HOLDS : UNDECIDED;
}

/* That none will do is only said when enough were tried. */
static ClaimVerdict any_of(const json_t *list, size_t least) {
    size_t n[N_VERDICTS];
    tally(list, n);
    return n[HOLDS] > 0 ? HOLDS : n[UNDECIDED] == 0 && n[FAILS] >= least ? FAILS : UNDECIDED;
}

/* A pair: every condition must have an answer somewhere, and contexts without one (too few seeds) leave the others alone. Where one pair
 * suffices and conditions are not all exact, one that an exact number rules out is none that the claim speaks of. */
static ClaimVerdict verdict_of_pair(const Judge *j, int pair, const json_t *list, const json_t *conditions, bool any) {
    const json_t *condition;
    size_t        i, n[N_VERDICTS], n_answered = 0, n_exact = 0;
    json_array_foreach(conditions, i, condition) {
        bool answered = false, exact = false;
        for (int k = 0; k < j->n; k++) {
            const ClaimComparison *c = &j->comparison[k];
            if (c->pair != pair || c->condition != condition) continue;
            answered = answered || has_answer(c);
            exact    = exact || is_exact(&c->estimate);
        }
        n_answered += answered;
        n_exact    += exact;
    }
    tally(list, n);
    if (any && is_ruled_out(j, pair) && n_exact < json_array_size(conditions)) return NOT_COUNTED;
    if (n[FAILS] > 0) return FAILS;
    return n_answered < json_array_size(conditions) ? NOT_COUNTED : n[UNDECIDED] > 0 ? UNDECIDED : HOLDS;
}

/* ---- parts ---- */

static bool is_over(const json_t *condition) { return claim_measure_find(json_string_value(json_object_get(condition, "measure")))->over; }

static void say_missing(Judge *j, json_t *out, const json_t *part, const ClaimGroups *a, const ClaimGroups *b, size_t n_pairs, size_t n_counted) {
    const json_t *least = json_object_get(part, "at_least");
    json_t       *missing = json_array();
    char          text[768];
    const struct { const char *name; const ClaimGroups *groups; } side[] = {{"a", a}, {"b", b}};
    for (int i = 0; i < 2; i++) {
        const json_t *selection = json_object_get(part, side[i].name);
        if (selection == NULL || side[i].groups->n > 0) continue;
        char *chosen = claim_selection_text(selection);
        snprintf(text, sizeof text, "no run of %s: %.600s", i == 0 ? "A" : "B", chosen != NULL ? chosen : "?");
        json_array_append_new(missing, json_string(text));
        free(chosen);
    }
    if (json_array_size(missing) == 0 && n_pairs == 0)
        json_array_append_new(missing, json_string("no model of A and model of B agree in what a pair must agree in"));
    const size_t wanted = json_is_integer(least) ? (size_t)json_integer_value(least) : 1;
    if (n_pairs > 0 && n_counted < wanted) {
        snprintf(text, sizeof text, "%zu of %zu pairs that count, at least", n_counted, wanted);
        json_array_append_new(missing, json_string(text));
    }
    put(j, out, "missing", missing);
    json_t *made_by = json_object_get(part, "made_by"), *commands = json_array(), *file;
    size_t  i;
    json_array_foreach(made_by, i, file) {
        snprintf(text, sizeof text, "morbench run %.600s", json_string_value(file));
        json_array_append_new(commands, json_string(text));
    }
    put(j, out, "commands", commands);
}

/* A part as JSON: its pairs with their comparisons, and with a measure over pairs one entry for all. */
static json_t *judge_part(Judge *j, const json_t *part, Error *err) {
    const json_t *conditions = json_object_get(part, "conditions"), *condition, *name = json_object_get(part, "name"), *least = json_object_get(part, "at_least");
    const char   *over = json_string_value(json_object_get(part, "over"));
    const bool    any  = over != NULL && strcmp(over, "any") == 0, has_b = json_object_get(part, "b") != NULL;
    json_t       *out = json_object(), *pairs = json_array(), *together = json_array();
    ClaimGroups        a, b;
    Pair         *pair = NULL;
    int           n    = 0;
    size_t        i;
    j->n = 0;
    if (!claim_groups_find(&a, &j->runs, json_object_get(part, "a"))) j->failed = true;
    if (!claim_groups_find(&b, &j->runs, json_object_get(part, "b"))) j->failed = true;
    pair = calloc((size_t)(a.n * (has_b ? b.n : 1)) + 1, sizeof *pair);
    if (pair == NULL) j->failed = true;
    for (int x = 0; !j->failed && x < a.n; x++) {
        if (!has_b) pair[n++] = (Pair){&a.group[x], NULL};
        for (int y = 0; y < b.n; y++)
            if (claim_is_pair(&j->runs, &a.group[x], &b.group[y], part)) pair[n++] = (Pair){&a.group[x], &b.group[y]};
    }
    for (int k = 0; !j->failed && k < n; k++) {
        json_t *entry = json_object(), *list = json_array();
        put(j, entry, "a", claim_group_name(&j->runs, pair[k].a, &a, &b));
        put(j, entry, "b", pair[k].b != NULL ? claim_group_name(&j->runs, pair[k].b, &a, &b) : json_null());
        j->pair = k;
        json_array_foreach(conditions, i, condition)
            if (!is_over(condition)) compare_pair(j, list, condition, pair[k].a, pair[k].b, err);
        put(j, entry, "comparisons", list);
        json_array_append_new(pairs, entry);
    }
    j->pair = -1;
    json_array_foreach(conditions, i, condition)
        if (!j->failed && is_over(condition)) compare_over(j, together, condition, pair, n, err);
    if (!j->failed) decide_comparisons(j, !any, err);
    json_t *entry;
    size_t  n_counted = 0;
    json_array_foreach(pairs, i, entry) {
        const ClaimVerdict said = j->failed ? UNDECIDED : verdict_of_pair(j, (int)i, json_object_get(entry, "comparisons"), conditions, any);
        put(j, entry, "verdict", json_string(verdict_names[said]));
        n_counted += said != NOT_COUNTED;
    }
    const size_t       n_least = json_is_integer(least) ? (size_t)json_integer_value(least) : 1;
    const ClaimVerdict v       = json_array_size(together) > 0 ? all_of(together, 1) : any ? any_of(pairs, n_least) : all_of(pairs, n_least);
    put(j, out, "name", name != NULL ? json_incref((json_t *)name) : json_string(""));
    put(j, out, "verdict", json_string(verdict_names[v]));
    put(j, out, "over", json_string(any ? "any" : "all"));
    put(j, out, "pairs", pairs);
    put(j, out, "over_pairs", together);
    if (v == UNDECIDED) say_missing(j, out, part, &a, &b, (size_t)n, json_array_size(together) > 0 ? (size_t)n : n_counted);
    free(pair);
    claim_groups_free(&a);
    claim_groups_free(&b);
    return out;
}

static json_t *judge_claim(Judge *j, const json_t *claim, Error *err) {
    static const char *const copied[] = {"id", "claim", "source", "statement", "threshold", "note", "untestable"};
    const json_t *part;
    json_t       *out = json_object(), *parts = json_array();
    size_t        i;
    for (size_t k = 0; k < sizeof copied / sizeof *copied; k++) {
        json_t *value = json_object_get(claim, copied[k]);
        if (value != NULL) put(j, out, copied[k], json_incref(value));
    }
    json_array_foreach(json_object_get(claim, "parts"), i, part)
        if (!j->failed) json_array_append_new(parts, judge_part(j, part, err));
    put(j, out, "verdict", json_string(json_object_get(claim, "untestable") != NULL ? "not testable" : verdict_names[all_of(parts, 1)]));
    put(j, out, "parts", parts);
    return out;
}

bool claims_judge(json_t **out, const json_t *claims, const Report *report, Error *err) {
    Judge         j = {.comparison = calloc(COMPARISONS_MOST, sizeof *j.comparison)};
    const json_t *claim;
    json_t       *list = json_array();
    size_t        i;
    *out     = NULL;
    j.failed = j.comparison == NULL || list == NULL || !claim_runs_open(&j.runs, report, err);
    json_array_foreach(json_object_get(claims, "claims"), i, claim)
        if (!j.failed && json_array_append_new(list, judge_claim(&j, claim, err)) != 0) j.failed = true;
    claim_runs_close(&j.runs);
    free(j.comparison);
    if (!j.failed) *out = json_pack("{s:s, s:o}", "schema", CLAIMS_REPORT_SCHEMA, "claims", list);
    else           json_decref(list);
    if (*out == NULL && (err == NULL || err->message[0] == '\0')) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory to judge claims");
    return *out != NULL;
}
