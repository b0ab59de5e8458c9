/* Finds and reads the runs below a directory, and links timings to accuracies. */
#include "harness/report/report.h"

#include "harness/measure/witness.h"
#include "harness/report/answers.h"
#include "harness/report/escape.h"
#include "harness/result.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 16, MAX_RUNS = 100000 };

const json_t *report_at(const json_t *run, const char *pointer) {
    while (run != NULL && *pointer == '/') {
        char         key[128];
        const size_t n = strcspn(++pointer, "/");
        if (n >= sizeof key) return NULL;
        memcpy(key, pointer, n);
        key[n] = '\0';
        run = json_object_get(run, key);
        pointer += n;
    }
    return run;
}

bool report_is_training(const json_t *run) {
    const char *kind = json_string_value(report_at(run, "/kind"));
    return kind != NULL && strcmp(kind, "train") == 0;
}

double report_number(const json_t *run, const char *pointer) {
    const json_t *value = report_at(run, pointer);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_at(const json_t *run, const char *pointer) { return json_string_value(report_at(run, pointer)); }

static bool add_run(Report *r, const char *path, const char *shown, Error *err) {
    Error   wrong = {0};
    json_t *run   = NULL;
    if (!result_load(&run, path, &wrong)) {
        char text[1024];
        if (wrong.exit_status == EXIT_MACHINE) { if (err != NULL) *err = wrong; return false; }
        error_text(&wrong, text, sizeof text);
        fprintf(stderr, "warning: left out: ");
        escape_terminal(stderr, text);
        fputc('\n', stderr);
        r->n_unreadable++;
        return true;
    }
    if (r->n_rows == r->capacity) {
        const int  capacity = 2*r->capacity + 16;
        ReportRow *grown    = capacity <= 2*MAX_RUNS ? realloc(r->row, (size_t)capacity*sizeof *grown) : NULL;
        if (grown == NULL) {
            json_decref(run);
            return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for %d runs", capacity);
        }
        r->row      = grown;
        r->capacity = capacity;
    }
    char *copy = strdup(shown);
    if (copy == NULL) {
        json_decref(run);
        return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a path");
    }
    r->row[r->n_rows++] = (ReportRow){.path = copy, .run = run};
    return true;
}

static bool add_experiment(Report *r, const char *shown, Error *err) {
    Answer *grown = realloc(r->answer, (size_t)(r->n_answers + 1)*sizeof *grown);
    if (grown != NULL) {
        r->answer = grown;
        grown[r->n_answers] = (Answer){.dir = strdup(shown)};
        if (grown[r->n_answers].dir != NULL) return r->n_answers++, true;
    }
    return FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for an experiment");
}

/* Numbers inside names by their value: b1, b2, b16. */
static int by_name(const struct dirent **a, const struct dirent **b) { return strverscmp((*a)->d_name, (*b)->d_name); }

static int not_hidden(const struct dirent *e) { return e->d_name[0] != '.'; }

/* dir: what is read; shown: the same from the report's directory, "" at the top. */
static bool walk(Report *r, const char *dir, const char *shown, int depth, Error *err) {
    struct dirent **entry = NULL;
    bool            ok    = true;
    const int       n     = scandir(dir, &entry, not_hidden, by_name);
    if (n < 0) {
        FAIL_STATUS(err, errno == ENOMEM ? EXIT_MACHINE : EXIT_BAD_INPUT, "", "%s", strerror(errno));
        return error_in(err, dir);
    }
    for (int i = 0; i < n; i++) {
        char       *path = NULL, *below = NULL;
        struct stat s;
        if (ok && (asprintf(&path, "%s/%s", dir, entry[i]->d_name) < 0 ||
                   asprintf(&below, "%s%s%s", shown, *shown != '\0' ? "/" : "", entry[i]->d_name) < 0))
            ok = FAIL_STATUS(err, EXIT_MACHINE, "", "no memory for a path");
        if (ok && lstat(path, &s) == 0) {
            if (S_ISDIR(s.st_mode) && depth < MAX_DEPTH) ok = walk(r, path, below, depth + 1, err);
            else if (S_ISREG(s.st_mode) && strcmp(entry[i]->d_name, "run.json") == 0) ok = add_run(r, path, below, err);
            else if (S_ISREG(s.st_mode) && strcmp(entry[i]->d_name, "experiment.json") == 0) ok = add_experiment(r, shown, err);
        }
        free(path);
        free(below);
        free(entry[i]);
    }
    free(entry);
    return ok;
}

static bool equal_at(const json_t *a, const json_t *b, const char *pointer) {
    const json_t *x = report_at(a, pointer), *y = report_at(b, pointer);
    return x != NULL && y != NULL && !json_is_null(x) && json_equal(x, y);
}

static bool alike_at(const json_t *a, const json_t *b, const char *pointer) {
    const json_t *x = report_at(a, pointer), *y = report_at(b, pointer);
    const bool    no_x = x == NULL || json_is_null(x), no_y = y == NULL || json_is_null(y);
    return no_x || no_y ? no_x == no_y : json_equal(x, y);
}

static const json_t *witness_of(const json_t *run) {
    const json_t *of_accuracy = report_at(run, "/accuracy/witness");
    return of_accuracy != NULL ? of_accuracy : report_at(run, "/metrics/witness");
}

/* Same model, weights, preprocessing and images. */
static bool same_subject(const json_t *run, const json_t *other) {
    static const char *const same[] = {"/model/name", "/model/settings", "/model/weights_sha256", "/data/preprocess"};
    for (size_t k = 0; k < sizeof same / sizeof *same; k++)
        if (!equal_at(run, other, same[k])) return false;
    return equal_at(run, other, "/data/digest") || json_equal(report_at(run, "/data/digest"), report_at(other, "/data/test/digest"));
}

/* Same code, and what decides the bits it computes. */
static bool same_numerics(const json_t *run, const json_t *other) {
    static const char *const same[] = {"/provenance/version", "/provenance/commit", "/provenance/build_flags", "/env/blas_config", "/env/blas_core"};
    for (size_t k = 0; k < sizeof same / sizeof *same; k++)
        if (!alike_at(run, other, same[k])) return false;
    const json_t *backend = report_at(other, "/experiment/backend");     /* a training has none among its settings */
    return backend == NULL || alike_at(run, other, "/experiment/backend");
}

/* Of a routed model one image in fifty may choose other tokens, where two scores are equal to the last bits. */
static bool witnesses_differ(const json_t *run, const WitnessAgreement *w) {
    const bool routed = report_number(run, "/model/counts/macs_router") > 0;
    return routed ? 50 * w->n_differ > w->n_compared : w->n_differ > 0;
}

/* Rules V2 and V3: an accuracy belongs to a timing when model, weights, preprocessing and images are the same, and either both said
 * the same of images they share, or code and numeric configuration are the same too. When what they said differs, the timing is of
 * other work. */
static void link_accuracy(const Report *r, ReportRow *row) {
    if (json_is_number(report_at(row->run, "/accuracy/top1_ratio"))) {
        row->accuracy = row->run;
        return;
    }
    for (int i = 0; i < r->n_rows; i++) {
        const json_t *other = r->row[i].run;
        if (!json_is_number(report_at(other, "/accuracy/top1_ratio")) || strcmp(text_at(other, "/validity/verdict"), "INVALID") == 0 ||
            !same_subject(row->run, other))
            continue;
        const WitnessAgreement w = witness_compare(witness_of(row->run), witness_of(other));
        if (w.n_compared > 0 && witnesses_differ(row->run, &w)) {
            row->contradicted_by = other;
            row->accuracy        = NULL;
            return;
        }
        if (row->accuracy == NULL && (w.n_compared > 0 || same_numerics(row->run, other))) row->accuracy = other;
    }
}

/* The worst verdict of the reasons, a missing accuracy left out; whether one of them bars it from any accuracy, and one says NOISY. */
static Verdict worst_reason(const json_t *run, bool *untrained, bool *noisy) {
    const json_t *reasons = report_at(run, "/validity/reasons"), *reason;
    Verdict       worst   = VERDICT_VALID;
    size_t        i;
    *untrained = *noisy = false;
    json_array_foreach(reasons, i, reason)
        for (Warning w = 0; w < N_WARNINGS; w++)
            if (w != WARN_no_accuracy && json_is_string(reason) && strcmp(json_string_value(reason), warning_code(w)) == 0) {
                if (warning_verdict(w) > worst) worst = warning_verdict(w);
                if (warning_verdict(w) == VERDICT_SPEED_ONLY) *untrained = true;
                if (warning_verdict(w) == VERDICT_NOISY) *noisy = true;
            }
    return worst;
}

static void judge(Report *r) {
    for (int i = 0; i < r->n_rows; i++) {
        ReportRow *row = &r->row[i];
        bool       untrained;
        Verdict    worst = worst_reason(row->run, &untrained, &row->noisy);
        link_accuracy(r, row);
        row->speed_only = row->accuracy == NULL || untrained;
        row->verdict    = text_at(row->run, "/validity/verdict");
        if (row->speed_only && worst < VERDICT_SPEED_ONLY) worst = VERDICT_SPEED_ONLY;
        /* only these depend on what lies beside the run: an accuracy may have come since, or may be gone */
        if (strcmp(row->verdict, "SMOKE") != 0 && strcmp(row->verdict, "INVALID") != 0) row->verdict = verdict_name(worst);
        if (row->contradicted_by != NULL) row->verdict = "INVALID";
    }
}

bool report_read(Report *out, const char *dir, Error *err) {
    *out = (Report){0};
    if (!walk(out, dir, "", 0, err)) return false;
    if (out->n_rows == 0) {
        if (out->n_unreadable > 0) FAIL_STATUS(err, EXIT_IO, "", "none of the %d run.json below it could be read", out->n_unreadable);
        else FAIL(err, "", "no run.json below it; train, eval and bench write one into --out");
        return error_in(err, dir);
    }
    if (!report_name_models(out, err)) return false;
    judge(out);
    return true;
}

void report_free(Report *r) {
    answers_free(r);
    for (int i = 0; i < r->n_models; i++) free(r->model[i].label);
    free(r->model);
    for (int i = 0; i < r->n_rows; i++) {
        free(r->row[i].path);
        json_decref(r->row[i].run);
    }
    free(r->row);
    *r = (Report){0};
}
