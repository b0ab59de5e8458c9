/* Pairs runs and judges them (compare.h). */
#include "harness/report/compare.h"

#include "engine/digest.h"
#include "harness/measure/stats.h"
#include "harness/report/factors.h"
#include "harness/report/report.h"
#include "harness/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *text_at(const json_t *run, const char *pointer) {
    const char *text = json_string_value(report_at(run, pointer));
    return text != NULL ? text : "";
}

void compare_free(Comparison *c) {
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < c->n_runs[side]; i++) {
            free(c->run[side][i].path);
            json_decref(c->run[side][i].run);
        }
        free(c->run[side]);
    }
    free(c->pair);
    *c = (Comparison){0};
}

/* -- reading -- */

/* Settings that say how long was measured, not what. */
static const char *const effort_keys[] = {"profile", "processes_count", "samples_least_count", "seconds_least"};

/* What is compared, as JSON: everything that decides the numbers but code, machine and effort. */
static json_t *identity(const json_t *run) {
    json_t *experiment = json_copy(json_object_get(run, "experiment"));
    for (size_t i = 0; i < sizeof effort_keys / sizeof *effort_keys; i++) json_object_del(experiment, effort_keys[i]);
    const bool training = strcmp(text_at(run, "/kind"), "train") == 0;
    return json_pack("{s:s, s:o, s:s, s:s}", "kind", text_at(run, "/kind"), "experiment", experiment, "weights",
                     text_at(run, training ? "/model/initial_weights_sha256" : "/model/weights_sha256"), "data", text_at(run, "/data/digest"));
}

static bool cell_id(const json_t *run, char id[17], Error *err) {
    char    sum[SHA256_TEXT_SIZE];
    json_t *what = identity(run);
    char   *text = what != NULL ? json_canonical_text(what) : NULL;
    bool    ok   = text != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for the identity of a cell");
    ok = ok && digest_sha256(text, strlen(text), sum, err);
    if (ok) snprintf(id, 17, "%.16s", sum);
    free(text);
    json_decref(what);
    return ok;
}

static bool add(Comparison *c, int side, const char *path, json_t *run, Error *err) {
    CompareRun *grown = realloc(c->run[side], (size_t)(c->n_runs[side] + 1) * sizeof *grown);
    if (grown != NULL) c->run[side] = grown;
    char *copy = strdup(path);
    if (grown == NULL || copy == NULL) {
        free(copy);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d runs", c->n_runs[side] + 1);
    }
    CompareRun *r = &grown[c->n_runs[side]++];
    *r = (CompareRun){.path = copy, .run = json_incref(run), .partner = -1};
    if (!cell_id(run, r->cell, err)) return error_in(err, path);
    for (int i = 0; i + 1 < c->n_runs[side]; i++)
        if (strcmp(grown[i].cell, r->cell) == 0 && strcmp(text_at(grown[i].run, "/id"), text_at(run, "/id")) == 0) {
            FAIL(err, "/id", "is that of %s too: one run of a cell on each side, please", grown[i].path);
            return error_in(err, path);
        }
    return true;
}

static bool read_side(Comparison *c, int side, const char *name, Error *err) {
    struct stat s;
    if (stat(name, &s) == 0 && S_ISDIR(s.st_mode)) {
        Report report;
        bool   ok = report_read(&report, name, err);
        for (int i = 0; ok && i < report.n_rows; i++) ok = add(c, side, report.row[i].path, report.row[i].run, err);
        report_free(&report);
        return ok;
    }
    json_t *run = NULL;
    if (!result_load(&run, name, err)) return false;
    const bool ok = add(c, side, name, run, err);
    json_decref(run);
    return ok;
}

/* -- pairing -- */

static void pair_by(Comparison *c, bool by_id) {
    for (int i = 0; i < c->n_runs[0]; i++) {
        CompareRun *a = &c->run[0][i];
        for (int k = 0; k < c->n_runs[1] && a->partner < 0; k++) {
            CompareRun *b = &c->run[1][k];
            if (b->partner >= 0) continue;
            if (by_id ? strcmp(text_at(a->run, "/id"), text_at(b->run, "/id")) != 0 : strcmp(a->cell, b->cell) != 0) continue;
            a->partner = k;
            b->partner = i;
        }
    }
}

static bool pair_all(Comparison *c, Error *err) {
    pair_by(c, true);
    pair_by(c, false);
    if (c->n_runs[0] == 1 && c->n_runs[1] == 1 && c->run[0]->partner < 0) {
        char    text[160];
        Factors f = {.n = 0};
        factors_of_pair(&f, c->run[0]->run, c->run[1]->run);
        if (f.n > 1) {
            factors_text(&f, text, sizeof text);
            FAIL(err, "", "differs from %s in %d factors (%s): compare runs that differ in the one under study", c->run[0]->path, f.n, text);
            return error_in(err, c->run[1]->path);
        }
        c->run[0]->partner = c->run[1]->partner = 0;
    }
    for (int i = 0; i < c->n_runs[0]; i++) c->n_pairs += c->run[0][i].partner >= 0;
    if (c->n_pairs == 0) {
        FAIL(err, "", "has no cell in common with %s (%d and %d runs)", c->name[0], c->n_runs[1], c->n_runs[0]);
        return error_in(err, c->name[1]);
    }
    c->pair = calloc((size_t)c->n_pairs, sizeof *c->pair);
    if (c->pair == NULL) return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d pairs", c->n_pairs);
    int n = 0;
    for (int i = 0; i < c->n_runs[0]; i++)
        if (c->run[0][i].partner >= 0) c->pair[n++] = (ComparePair){.a = &c->run[0][i], .b = &c->run[1][c->run[0][i].partner]};
    return true;
}

bool compare_read(Comparison *out, const char *a, const char *b, const CompareOptions *options, Error *err) {
    *out = (Comparison){.options = *options, .name = {a, b}};
    return read_side(out, 0, a, err) && read_side(out, 1, b, err) && pair_all(out, err);
}

/* -- differences of machine, build and code -- */

static void value_text(const json_t *value, char text[256]) {
    char *dumped = value == NULL ? NULL : json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    if (value == NULL) snprintf(text, 256, "(not there)");
    else if (json_is_string(value)) snprintf(text, 256, "%s", json_string_value(value));
    else snprintf(text, 256, "%s", dumped != NULL ? dumped : "?");
    free(dumped);
}

static void note_difference(Comparison *c, const char *field, const json_t *a, const json_t *b) {
    CompareDifference d;
    if (a == b || (a != NULL && b != NULL && json_equal(a, b))) return;
    snprintf(d.field, sizeof d.field, "%s", field);
    value_text(a, d.a);
    value_text(b, d.b);
    for (int i = 0; i < c->n_differences; i++)
        if (strcmp(c->difference[i].field, d.field) == 0 && strcmp(c->difference[i].a, d.a) == 0 && strcmp(c->difference[i].b, d.b) == 0) return;
    if (c->n_differences == COMPARE_DIFFERENCES_MAX) c->n_more++;
    else c->difference[c->n_differences++] = d;
}

/* Facts that make the environment; the others change from minute to minute. */
static void find_differences(Comparison *c, const json_t *a, const json_t *b) {
    static const char *const facts[] = {
#define PART_ID(key)   #key,
#define PART_NOTE(key)
#define FACT(form, part, key, where) PART_##part(key)
#include "harness/machine.def"
        "simd", "caches", "mitigations", "environment",
    };
    static const char *const others[] = {"/provenance/version", "/provenance/commit", "/provenance/build_flags", "/metrics/threads_effective_count", "/metrics/threads_pinned_count",
                                         "/experiment/profile"};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        char pointer[96];
        snprintf(pointer, sizeof pointer, "/env/%s", facts[i]);
        note_difference(c, pointer, report_at(a, pointer), report_at(b, pointer));
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) note_difference(c, others[i], report_at(a, others[i]), report_at(b, others[i]));
}

/* -- judging -- */

static double median(const double *x, size_t n) {
    StatsInterval s;
    Error         unused;
    return n > 0 && stats_process_interval(&s, x, NULL, n, &unused) ? s.median : NAN;
}

static const char *barring_verdict(const ComparePair *p) {
    const json_t *runs[] = {p->a->run, p->b->run};
    for (int i = 0; i < 2; i++) {
        const char *verdict = text_at(runs[i], "/validity/verdict");
        if (strcmp(verdict, "INVALID") == 0) return "INVALID";
        if (strcmp(verdict, "SMOKE") == 0) return "SMOKE";
    }
    return NULL;
}

/* A clock that moved within processes is no reason where times are held against each other at equal clock too. */
static bool is_noisy(const ComparePair *p, const json_t *run) {
    const json_t *reasons = report_at(run, "/validity/reasons"), *reason;
    size_t        i;
    bool          of_clock = false;
    if (strcmp(text_at(run, "/validity/verdict"), "NOISY") != 0) return false;
    json_array_foreach(reasons, i, reason) {
        Warning w = 0;
        while (w < N_WARNINGS && (!json_is_string(reason) || strcmp(json_string_value(reason), warning_code(w)) != 0)) w++;
        if (w == N_WARNINGS) return true;                        /* who knows of what */
        of_clock = of_clock || w == WARN_frequency_drift;
        if (w != WARN_frequency_drift && warning_verdict(w) == VERDICT_NOISY) return true;
    }
    return !of_clock || !p->has_clock;
}

static const char *why_not_gated(const ComparePair *p) {
    if (!p->timed) return "not timed";
    if (p->barred != NULL) return p->barred;
    if (!p->same_env) return "different machines";
    if (is_noisy(p, p->a->run) || is_noisy(p, p->b->run)) return "NOISY";
    if (p->same_session && strcmp(text_at(p->a->run, "/id"), text_at(p->b->run, "/id")) != 0) return "arms of one bench"; /* no before and after */
    if (!p->same_session && !p->has_clock) return "processes without the fixed loop that follows the clock";
    if (p->t.n_first < JUDGED_UNITS || p->t.n_second < JUDGED_UNITS) return "fewer than 9 processes an arm";
    return NULL;
}

/* Units of both arms held against each other. Those that are no number were left out; of a pair, then, both. */
static bool hold_against(TwoSamples *t, double *a, size_t n, double *b, size_t m, bool paired, Error *err) {
    size_t kept[2] = {0, 0};
    for (size_t i = 0; paired && i < n; i++) {
        if (isnan(a[i]) || isnan(b[i])) continue;
        a[kept[0]++] = a[i];
        b[kept[1]++] = b[i];
    }
    for (size_t i = 0; !paired && i < n; i++)
        if (!isnan(a[i])) a[kept[0]++] = a[i];
    for (size_t i = 0; !paired && i < m; i++)
        if (!isnan(b[i])) b[kept[1]++] = b[i];
    *t = (TwoSamples){.ratio = NAN, .low = NAN, .high = NAN, .p = 1, .slower_share = NAN, .paired = paired};
    if (kept[0] == 0) return true;                           /* every pair had an outlier */
    return paired ? two_samples_paired(t, a, b, kept[0], err) : two_samples_independent(t, a, kept[0], b, kept[1], err);
}

/* outliers: left out; *left_out gets how many samples and processes that were. */
static bool measure_units(const Comparison *c, ComparePair *p, bool outliers, TwoSamples *t, TwoSamples *at_clock, CompareLeftOut *left_out, Error *err) {
    double *a = NULL, *b = NULL, *a_clock = NULL, *b_clock = NULL, loop[2];
    size_t  n = 0, m = 0;
    bool    ok = compare_units(p->a->run, c->options.metric, outliers, &a, &n, left_out, err) || error_in(err, p->a->path);
    ok = ok && (compare_units(p->b->run, c->options.metric, outliers, &b, &m, left_out, err) || error_in(err, p->b->path));
    p->timed = ok && n > 0 && m > 0;
    if (p->timed && !outliers) {
        p->a_value = median(a, n);
        p->b_value = median(b, m);
    }
    if (p->timed && !p->same_session && p->same_env) {
        a_clock = compare_at_clock(p->a->run, c->options.metric, a, n, &loop[0]);
        b_clock = compare_at_clock(p->b->run, c->options.metric, b, m, &loop[1]);
    }
    p->has_clock = a_clock != NULL && b_clock != NULL;
    if (p->timed) ok = hold_against(t, a, n, b, m, p->same_session && n == m, err);
    if (ok && p->has_clock) {
        p->clock_ratio = loop[1]/loop[0];
        ok = hold_against(at_clock, a_clock, n, b_clock, m, false, err);
    }
    free(a);
    free(b);
    free(a_clock);
    free(b_clock);
    return ok;
}

static bool measure_pair(Comparison *c, ComparePair *p, Error *err) {
    const char    *session = text_at(p->a->run, "/provenance/session"), *env = text_at(p->a->run, "/env_id");
    CompareLeftOut none = {0};
    p->same_env     = env[0] != '\0' && strcmp(env, text_at(p->b->run, "/env_id")) == 0;
    p->same_session = session[0] != '\0' && strcmp(session, text_at(p->b->run, "/provenance/session")) == 0;
    p->barred       = barring_verdict(p);
    return measure_units(c, p, false, &p->t, &p->at_clock, &none, err) && measure_units(c, p, true, &p->without, &p->without_at_clock, &p->left_out, err);
}

/* Two sessions meet the machine at two clocks, which no spread within either shows. So anything sure is said only where the times and
 * the times at equal clock agree. */
static Judgement judge(bool has_clock, const TwoSamples *t, const TwoSamples *at_clock, double corrected_p, double margin) {
    const Judgement said = two_samples_judge(t, corrected_p, margin);
    if (!has_clock || said == JUDGED_INSUFFICIENT || said == JUDGED_UNCERTAIN || said == JUDGED_UNCERTAIN_LARGE) return said;
    const bool agree = said == JUDGED_FASTER ? at_clock->high < 1 : said == JUDGED_SLOWER ? at_clock->low > 1 : at_clock->low > 1 - margin && at_clock->high < 1 + margin;
    return agree ? said : fabs(t->ratio - 1) >= margin ? JUDGED_UNCERTAIN_LARGE : JUDGED_UNCERTAIN;
}

/* Rule V39: what would be said without the outliers. It counts for nothing and is told where it is something else. */
static bool judge_without_outliers(Comparison *c, double *p, Error *err) {
    int n = 0;
    for (int i = 0; i < c->n_pairs; i++)
        if (c->pair[i].timed && c->pair[i].barred == NULL) p[n++] = c->pair[i].has_clock ? fmax(c->pair[i].without.p, c->pair[i].without_at_clock.p) : c->pair[i].without.p;
    if (!holm_correct(p, (size_t)n, err)) return false;
    n = 0;
    for (int i = 0; i < c->n_pairs; i++) {
        ComparePair *pair = &c->pair[i];
        if (!pair->timed || pair->barred != NULL) continue;
        TwoSamples t = pair->without;
        t.n_first  = pair->t.n_first;                        /* as many were measured, and no fewer */
        t.n_second = pair->t.n_second;
        pair->without_p         = p[n++];
        pair->judgement_without = judge(pair->has_clock, &t, &pair->without_at_clock, pair->without_p, c->options.margin);
    }
    return true;
}

bool compare_judge(Comparison *c, Error *err) {
    double *p = calloc((size_t)c->n_pairs, sizeof *p);
    bool    ok = p != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d pairs", c->n_pairs);
    for (int i = 0; ok && i < c->n_pairs; i++) {
        ComparePair *pair = &c->pair[i];
        find_differences(c, pair->a->run, pair->b->run);
        ok = measure_pair(c, pair, err);
        c->different_machines = c->different_machines || !pair->same_env;
        if (ok && pair->timed && pair->barred == NULL) p[c->n_judged++] = pair->has_clock ? fmax(pair->t.p, pair->at_clock.p) : pair->t.p;
    }
    ok = ok && holm_correct(p, (size_t)c->n_judged, err);
    for (int i = 0, n = 0; ok && i < c->n_pairs; i++) {
        ComparePair *pair = &c->pair[i];
        pair->not_gated = why_not_gated(pair);
        if (!pair->timed || pair->barred != NULL) continue;
        pair->p         = p[n++];
        pair->judgement = judge(pair->has_clock, &pair->t, &pair->at_clock, pair->p, c->options.margin);
        if (!isfinite(c->options.gate) || pair->not_gated != NULL) continue;
        c->n_gated++;
        pair->regressed = two_samples_regressed(&pair->t, pair->p, c->options.gate) &&
                          (!pair->has_clock || two_samples_regressed(&pair->at_clock, pair->p, c->options.gate));
        c->n_regressed += pair->regressed;
    }
    ok = ok && judge_without_outliers(c, p, err);
    free(p);
    return ok;
}
