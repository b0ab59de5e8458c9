/* Pairs runs and judges them (compare.h). */
#include "harness/compare.h"

#include "engine/digest.h"
#include "harness/report.h"
#include "harness/result.h"
#include "harness/stats.h"

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

/* The factors in which two runs differ, "model, threads"; how many. The model counts once, however many settings it has. */
static int factors(const json_t *a, const json_t *b, char *text, size_t size) {
    static const struct { const char *name, *where[4]; } factor[] = {
        {"what is timed", {"/kind", "/experiment/mode"}},
        {"model", {"/experiment/model_kind", "/experiment/model"}},
        {"weights", {"/model/weights_sha256"}},
        {"data", {"/data/digest"}},
        {"preprocessing", {"/data/preprocess"}},
        {"batch size", {"/experiment/batch_size_count"}},
        {"threads", {"/experiment/threads_requested_count"}},
        {"backend", {"/experiment/backend"}},
        {"matrix kernels", {"/env/blas_core", "/env/blas_config"}},
        {"seed", {"/experiment/seed"}},
    };
    int n = 0;
    text[0] = '\0';
    bool model = false;
    for (size_t i = 0; i < sizeof factor / sizeof *factor; i++) {
        bool differs = false;
        for (int k = 0; k < 4 && factor[i].where[k] != NULL; k++) {
            const json_t *x = report_at(a, factor[i].where[k]), *y = report_at(b, factor[i].where[k]);
            differs = differs || (x == NULL) != (y == NULL) || (x != NULL && !json_equal(x, y));
        }
        if (strcmp(factor[i].name, "model") == 0) model = differs;
        /* another model has other weights, and images made or resized to its size */
        if (model && (strcmp(factor[i].name, "weights") == 0 || strcmp(factor[i].name, "preprocessing") == 0 ||
                      (strcmp(factor[i].name, "data") == 0 && json_is_true(report_at(a, "/data/synthetic")) && json_is_true(report_at(b, "/data/synthetic")))))
            continue;
        /* generated images are as many as the batch needs */
        if (strcmp(factor[i].name, "data") == 0 && json_is_true(report_at(a, "/data/synthetic")) && json_is_true(report_at(b, "/data/synthetic"))) continue;
        if (!differs) continue;
        snprintf(text + strlen(text), size - strlen(text), "%s%s", n > 0 ? ", " : "", factor[i].name);
        n++;
    }
    return n;
}

static bool pair_all(Comparison *c, Error *err) {
    pair_by(c, true);
    pair_by(c, false);
    if (c->n_runs[0] == 1 && c->n_runs[1] == 1 && c->run[0]->partner < 0) {
        char text[256];
        const int n = factors(c->run[0]->run, c->run[1]->run, text, sizeof text);
        if (n > 1) {
            FAIL(err, "", "differs from %s in %d factors (%s): compare runs that differ in the one under study", c->run[0]->path, n, text);
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

bool compare_units(const json_t *run, CompareMetric metric, double **unit, size_t *n, Error *err) {
    const json_t *samples = report_at(run, metric == COMPARE_LATENCY ? "/samples/latency_ns" : "/samples/end_to_end_latency_ns"), *value;
    const json_t *process = report_at(run, metric == COMPARE_LATENCY ? "/samples/latency_process" : "/samples/end_to_end_latency_process");
    const size_t  size = json_array_size(samples);
    double       *x = calloc(size + 1, sizeof *x), *medians = calloc(size + 1, sizeof *medians);
    int          *owner = calloc(size + 1, sizeof *owner);
    bool          ok = x != NULL && medians != NULL && owner != NULL;
    size_t        i;
    *n = 0;
    if (!ok) FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %zu samples", size);
    if (ok && process != NULL && json_array_size(process) != size) ok = FAIL(err, "/samples/latency_process", "must be as long as the samples, %zu, got %zu", size, json_array_size(process));
    if (ok) {
        json_array_foreach(samples, i, value) {
            x[i]     = json_number_value(value);
            owner[i] = process != NULL ? (int)json_integer_value(json_array_get(process, i)) : 0;
        }
        for (size_t from = 0, to; ok && from < size; from = to) {            /* samples of a process lie together */
            StatsInterval s;
            for (to = from; to < size && owner[to] == owner[from];) to++;
            ok = stats_process_interval(&s, x + from, NULL, to - from, err);
            if (ok) medians[(*n)++] = s.median;
        }
    }
    free(x);
    free(owner);
    if (ok) *unit = medians;
    else    free(medians);
    return ok;
}

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

static const char *why_not_gated(const ComparePair *p) {
    if (!p->timed) return "not timed";
    if (p->barred != NULL) return p->barred;
    if (!p->same_env) return "different machines";
    if (strcmp(text_at(p->a->run, "/validity/verdict"), "NOISY") == 0 || strcmp(text_at(p->b->run, "/validity/verdict"), "NOISY") == 0) return "NOISY";
    if (p->same_session && strcmp(text_at(p->a->run, "/id"), text_at(p->b->run, "/id")) != 0) return "arms of one bench"; /* no before and after */
    if (p->t.n_first < JUDGED_UNITS || p->t.n_second < JUDGED_UNITS) return "fewer than 9 processes an arm";
    return NULL;
}

static bool measure_pair(Comparison *c, ComparePair *p, Error *err) {
    double *a = NULL, *b = NULL;
    size_t  n, m;
    const char *session = text_at(p->a->run, "/provenance/session"), *env = text_at(p->a->run, "/env_id");
    p->same_env     = env[0] != '\0' && strcmp(env, text_at(p->b->run, "/env_id")) == 0;
    p->same_session = session[0] != '\0' && strcmp(session, text_at(p->b->run, "/provenance/session")) == 0;
    bool ok = compare_units(p->a->run, c->options.metric, &a, &n, err) || error_in(err, p->a->path);
    ok = ok && (compare_units(p->b->run, c->options.metric, &b, &m, err) || error_in(err, p->b->path));
    p->timed = ok && n > 0 && m > 0;
    p->barred = barring_verdict(p);
    if (p->timed) {
        p->a_value = median(a, n);
        p->b_value = median(b, m);
        ok = p->same_session && n == m ? two_samples_paired(&p->t, a, b, n, err) : two_samples_independent(&p->t, a, n, b, m, err);
    }
    free(a);
    free(b);
    return ok;
}

bool compare_judge(Comparison *c, Error *err) {
    double *p = calloc((size_t)c->n_pairs, sizeof *p);
    bool    ok = p != NULL || FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d pairs", c->n_pairs);
    for (int i = 0; ok && i < c->n_pairs; i++) {
        ComparePair *pair = &c->pair[i];
        find_differences(c, pair->a->run, pair->b->run);
        ok = measure_pair(c, pair, err);
        c->different_machines = c->different_machines || !pair->same_env;
        if (ok && pair->timed && pair->barred == NULL) p[c->n_judged++] = pair->t.p;
    }
    ok = ok && holm_correct(p, (size_t)c->n_judged, err);
    for (int i = 0, n = 0; ok && i < c->n_pairs; i++) {
        ComparePair *pair = &c->pair[i];
        pair->not_gated = why_not_gated(pair);
        if (!pair->timed || pair->barred != NULL) continue;
        pair->p         = p[n++];
        pair->judgement = two_samples_judge(&pair->t, pair->p, c->options.margin);
        if (!isfinite(c->options.gate) || pair->not_gated != NULL) continue;
        c->n_gated++;
        pair->regressed = two_samples_regressed(&pair->t, pair->p, c->options.gate);
        c->n_regressed += pair->regressed;
    }
    free(p);
    return ok;
}
